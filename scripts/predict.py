"""Predict every image of another dataset with the kept weights of a run: nothing is trained or chosen here.

--specification is what was trained, --trained its weights.safetensors, --weights the pretrained weights that it started from,
unless they were random, and --trained-on the manifest of its dataset. --manifest and --pixels are of the other dataset.
With --microns, as for scripts/pixels.py, the pixels are those of its tiles, whose logits are averaged per image.
"""

import json
from functools import partial

from histobench.io.errors import HistoBenchError, run_script
from histobench.study import arguments
from histobench.study.spec import RunSpec


def main() -> None:
    given = arguments.parse(
        __doc__,
        *("trained", "trained_on", "manifest", "pixels", "output"),
        optional=["weights", "tokenizer"],
        microns="",
        specification=RunSpec.model_validate_json,
        **arguments.HARDWARE,
    )

    import numpy as np
    import torch

    from histobench.datasets import manifest, pixels, tiles
    from histobench.io.files import write_csv
    from histobench.models import build
    from histobench.study import run_files
    from histobench.training import device as devices
    from histobench.training.data import Stored
    from histobench.training.fit import predict
    from histobench.training.microbatch import MicroBatch

    spec = given.specification
    if not given.trained.exists():
        raise HistoBenchError(
            f"{given.trained}: the weights of this run are not there; delete the predictions.csv beside it to have it "
            "trained again"
        )
    images = manifest.load(given.manifest)
    trained_on = manifest.load(given.trained_on)
    known = {image.sha256: image.image_id for image in trained_on}
    if seen := [image for image in images if image.sha256 in known]:
        raise HistoBenchError(
            f"{given.manifest}: {len(seen)} images have equal pixels in {given.trained_on} (first: {seen[0].image_id} "
            f"and {known[seen[0].sha256]}), so that models would be tested on what they were trained on; remove them"
        )
    device = devices.choose(given.device, given.threads, given.share)
    module = build.trained(spec, given.weights, given.trained, devices.precision(device), given.tokenizer)
    with devices.memory_errors("the model"):
        module.to(device)
    if spec.recipe.trainable == "head":
        torch.backends.cudnn.allow_tf32 = False  # as embeddings are computed for training
    elif device.type == "cuda":
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as in training
    counts = np.ones(len(images), int)
    if given.microns:
        cut = tiles.sizes(images, trained_on, spec.magnification, json.loads(given.microns))
        counts = np.array([tiles.count(image, tile) for image, tile in zip(images, cut, strict=True)])
    rows = counts.sum()
    store = pixels.load(given.pixels, rows, spec.model.image_size)
    source = Stored(store[None], np.arange(rows), np.zeros(rows, np.float32))
    micro = MicroBatch(given.micro_batch or None, spec.recipe.batch_size, device)
    logits = micro.retry(partial(predict, module, source, device)).numpy()
    if not np.isfinite(logits).all():
        raise HistoBenchError(
            f"{given.trained}: {(~np.isfinite(logits)).sum()} of {rows} logits are not finite; train this run again"
        )
    means = np.add.reduceat(logits.astype(float), np.cumsum(counts) - counts) / counts
    write_csv(given.output, run_files.EXTERNAL, map(run_files.external_row, images, means))


if __name__ == "__main__":
    run_script(main)
