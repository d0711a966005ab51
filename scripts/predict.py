"""Predict every image of another dataset with the kept weights of a run: nothing is trained or chosen here.

--specification is what was trained, --trained its weights.safetensors, --weights the pretrained weights that it started from,
unless they were random, and --trained-on the manifest of its dataset. --manifest and --pixels are of the other dataset.
With --microns, as for scripts/pixels.py, the pixels are those of its tiles, whose logits are averaged per image.
"""

import json

from histobench.io.errors import HistoBenchError, run_script
from histobench.study import arguments
from histobench.study.spec import RunSpec


def main() -> None:
    given = arguments.parse(
        __doc__,
        *("trained", "trained_on", "manifest", "pixels", "output"),
        optional=["weights"],
        microns="",
        specification=RunSpec.model_validate_json,
        **arguments.HARDWARE,
    )

    import numpy as np

    from histobench.datasets import manifest, pixels, tiles
    from histobench.io.files import write_csv
    from histobench.study import run_files
    from histobench.training import device as devices
    from histobench.training import kept_weights
    from histobench.training.data import Stored
    from histobench.training.microbatch import MicroBatch

    spec = given.specification
    images = manifest.load(given.manifest)
    trained_on = manifest.load(given.trained_on)
    known = {image.sha256: image.image_id for image in trained_on}
    if seen := [image for image in images if image.sha256 in known]:
        raise HistoBenchError(
            f"{given.manifest}: {len(seen)} images have equal pixels in {given.trained_on} (first: {seen[0].image_id} "
            f"and {known[seen[0].sha256]}), so that models would be tested on what they were trained on; remove them"
        )
    device = devices.choose(given.device, given.threads, given.share)
    module = kept_weights.load(spec, given.weights, given.trained, device)
    counts = np.ones(len(images), int)
    if given.microns:
        cut = tiles.sizes(images, trained_on, spec.magnification, json.loads(given.microns))
        counts = np.array([tiles.count(image, tile) for image, tile in zip(images, cut, strict=True)])
    rows = counts.sum()
    store = pixels.load(given.pixels, rows, spec.model.image_size)
    source = Stored(store[None], np.arange(rows), np.zeros(rows, np.float32))
    micro = MicroBatch(given.micro_batch or None, spec.recipe.batch_size, device)
    logits = kept_weights.logits(module, source, micro, given.trained)
    means = np.add.reduceat(logits.astype(float), np.cumsum(counts) - counts) / counts
    write_csv(given.output, run_files.EXTERNAL, map(run_files.external_row, images, means))


if __name__ == "__main__":
    run_script(main)
