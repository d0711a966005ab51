"""Compute the embeddings of a frozen backbone: of every image of a magnification, or of every augmented view of it."""

import argparse
from itertools import product
from pathlib import Path

from histobench.study.errors import HistoBenchError, run_script
from histobench.study.spec import FeatureSpec

BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--specification",
        type=FeatureSpec.model_validate_json,
        required=True,
        help="what to compute: a FeatureSpec as JSON",
    )
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--pixels", type=Path, required=True, help="pixel store of the whole manifest")
    parser.add_argument("--weights", type=Path, help="pretrained state dict; none where weights are random")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--workers", type=int, default=1, help="processor threads, and processes that augment images")
    parser.add_argument("--output", type=Path, required=True, help=".npy, (views, images, dimensions) float32")
    arguments = parser.parse_args()

    import numpy as np
    import torch
    from tqdm import tqdm

    from histobench.datasets import manifest, pixels
    from histobench.models.cnn import build
    from histobench.models.embeddings import embeddings
    from histobench.models.state import read
    from histobench.study.files import atomic_path
    from histobench.training import devices
    from histobench.training.data import Augmented, Stored, prefetch

    spec = arguments.specification
    if (arguments.weights is None) != (spec.model.weights == "random"):
        fault = "is missing; give the file" if arguments.weights is None else "is of no use; leave it out"
        raise HistoBenchError(
            f"--weights: for {spec.model.architecture} with weights {spec.model.weights!r} it {fault}"
        )
    device = devices.choose(arguments.device, max(1, arguments.workers))
    torch.backends.cudnn.allow_tf32 = False  # float32 is to mean float32, so that devices agree
    images = manifest.load(arguments.manifest)
    rows = np.array([row for row, image in enumerate(images) if image.magnification == spec.magnification])
    if not len(rows):
        raise HistoBenchError(
            f"{arguments.manifest}: no image at {spec.magnification}x; take that magnification out of the grid"
        )
    store = pixels.load(arguments.pixels, len(images), spec.model.image_size)
    state = read(arguments.weights) if arguments.weights else None
    classifier = build(spec.model, spec.seed, state).to(device)

    unused = np.zeros(len(rows), np.float32)  # labels
    pin = device.type == "cuda"
    source: Stored | Augmented = Stored(store[None], rows, unused, pin)
    if spec.augmentation:
        from histobench.datasets.augment import Augmentation

        ids = [images[row].image_id for row in rows]
        augmentation = Augmentation(spec.augmentation, spec.model.image_size)
        source = Augmented(store, rows, unused, ids, augmentation, spec.seed, arguments.workers, pin)
    starts = np.split(np.arange(len(rows)), range(BATCH, len(rows), BATCH))
    plan = product(range(1, spec.views + 1), starts)
    batches = (batch for batch, _ in prefetch(source.batches(plan), device))

    shape = (spec.views, len(rows), classifier.head.in_features)
    with (
        atomic_path(arguments.output) as temporary,
        temporary.open("wb") as file,
        tqdm(total=shape[0] * shape[1], unit="image", desc="embeddings") as bar,
    ):
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for block in embeddings(classifier, batches):
            file.write(block.astype("<f4", copy=False).tobytes())
            bar.update(len(block))
    print(f"{arguments.output}: {shape[0]} views of {shape[1]} images, {shape[2]} dimensions each")


if __name__ == "__main__":
    run_script(main)
