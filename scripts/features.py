"""Compute what a frozen backbone makes of every image of a magnification, or of every augmented view of it.

That is one embedding for each image or, for a vision-language model, its visual tokens; embeddings can be computed from
these.
"""

import argparse
import shutil
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from histobench.io.errors import HistoBenchError, run_script
from histobench.study.spec import CnnSettings, FeatureSpec

if TYPE_CHECKING:
    import numpy as np
    import torch

    from histobench.datasets.manifest import Image
    from histobench.training.data import Source

    Backbone = tuple[Callable[[torch.Tensor], torch.Tensor], tuple[int, ...], str]

BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--specification",
        type=FeatureSpec.model_validate_json,
        required=True,
        help="what to compute: a FeatureSpec as JSON",
    )
    parser.add_argument("--manifest", type=Path, required=True)
    inputs = parser.add_mutually_exclusive_group(required=True)
    inputs.add_argument("--pixels", type=Path, help="pixel store of the whole manifest")
    inputs.add_argument("--tokens", type=Path, help="visual tokens (views, images, T, D) to compute embeddings from")
    parser.add_argument("--weights", type=Path, help="pretrained weights; none where they are random")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--share", type=int, default=1, help="jobs that may share its GPU; 0: no GPU is needed")
    parser.add_argument("--workers", type=int, default=1, help="processor threads, and processes that augment images")
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help=".npy, (views, images, dimensions) float32, or (views, images, tokens, dimensions); bf16 as uint16",
    )
    arguments = parser.parse_args()

    import numpy as np
    import torch
    from tqdm import tqdm

    from histobench.datasets import manifest
    from histobench.io.files import atomic_path
    from histobench.training import devices
    from histobench.training.data import prefetch

    spec = arguments.specification
    if (arguments.weights is None) != (spec.model.weights == "random"):
        fault = "is missing; give the file" if arguments.weights is None else "is of no use; leave it out"
        raise HistoBenchError(f"--weights: for a {spec.model.family} with weights {spec.model.weights!r} it {fault}")
    device = devices.choose(arguments.device, max(1, arguments.workers), arguments.share)
    torch.backends.cudnn.allow_tf32 = False  # float32 is to mean float32, so that devices agree
    images = manifest.load(arguments.manifest)
    rows = np.array([row for row, image in enumerate(images) if image.magnification == spec.magnification])
    if not len(rows):
        raise HistoBenchError(
            f"{arguments.manifest}: no image at {spec.magnification}x; take that magnification out of the grid"
        )
    compute, shape, dtype = backbone(arguments, spec, device)
    shape = (spec.views, len(rows), *shape)
    source = batches_of(arguments, spec, images, rows, device.type == "cuda")
    starts = np.split(np.arange(len(rows)), range(BATCH, len(rows), BATCH))
    plan = product(range(1, spec.views + 1), starts)
    require_space(arguments.output, spec.part, np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64)))
    with (
        torch.inference_mode(),
        atomic_path(arguments.output) as temporary,
        temporary.open("wb") as file,
        tqdm(total=shape[0] * shape[1], unit="image", desc=spec.part) as bar,
    ):
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for batch, _ in prefetch(source.batches(plan), device):
            block = compute(batch)
            block = block.view(torch.uint16) if block.dtype == torch.bfloat16 else block
            file.write(block.cpu().numpy().astype(dtype, copy=False).tobytes())
            bar.update(len(batch))
    print(f"{arguments.output}: {shape[0]} views of {shape[1]} images, {' x '.join(map(str, shape[2:]))} numbers each")


def backbone(arguments: argparse.Namespace, spec: FeatureSpec, device: "torch.device") -> "Backbone":
    """Return what to do with a batch, and the shape and numpy type of what that gives for each image."""
    import torch

    from histobench.training import devices

    if isinstance(spec.model, CnnSettings):
        from histobench.io.state_dicts import read
        from histobench.models import cnn

        state = read(arguments.weights) if arguments.weights else None
        network = cnn.build(spec.model, spec.seed, state).to(device).eval()
        return network.embed, (network.head.in_features,), "<f4"
    from histobench.models import vlm

    bf16 = devices.precision(device) == "bf16"
    tokens = spec.part == "tokens"
    parts = ("vision",) if tokens else ("decoder",) if arguments.tokens else vlm.WHOLE
    dtype = torch.bfloat16 if bf16 else torch.float32
    model = vlm.build(spec.model, spec.seed, arguments.weights, parts, dtype).to(device).eval()
    shape = model.token_shape

    def compute(batch: torch.Tensor) -> torch.Tensor:
        with devices.autocast(device):  # as in training
            return model.tokens(batch) if tokens else model.embed(batch)

    return compute, shape if tokens else shape[1:], "<u2" if tokens and bf16 else "<f4"


def batches_of(
    arguments: argparse.Namespace, spec: FeatureSpec, images: "Sequence[Image]", rows: "np.ndarray", pin: bool
) -> "Source":
    """Return the images of the magnification, their augmented views, or their visual tokens."""
    import numpy as np

    from histobench.datasets import pixels
    from histobench.io.arrays import mapped
    from histobench.training.data import Augmented, Stored

    unused = np.zeros(len(rows), np.float32)  # labels
    if arguments.tokens:
        try:
            tokens = mapped(arguments.tokens)
        except (OSError, ValueError) as error:
            raise HistoBenchError(
                f"{arguments.tokens}: cannot be read as visual tokens ({error}); delete it to have it made again"
            ) from error
        if tokens.ndim != 4 or tokens.shape[:2] != (spec.views, len(rows)):
            raise HistoBenchError(
                f"{arguments.tokens}: holds {tokens.shape}, expected ({spec.views} views, {len(rows)} images, tokens, "
                "dimensions); delete it to have it made again"
            )
        return Stored(tokens, np.arange(len(rows)), unused, pin)
    store = pixels.load(arguments.pixels, len(images), spec.model.image_size)
    if not spec.augmentation:
        return Stored(store[None], rows, unused, pin)
    from histobench.datasets.augment import Augmentation

    ids = [images[row].image_id for row in rows]
    augmentation = Augmentation(spec.augmentation, spec.model.image_size)
    return Augmented(store, rows, unused, ids, augmentation, spec.seed, arguments.workers, pin)


def require_space(path: Path, part: str, size: int) -> None:
    """Raise before anything is computed if `size` bytes do not fit on the disk of `path`."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    if size > free:
        instead = ", or set `vision: live` in the mode to do without stored visual tokens" if part == "tokens" else ""
        raise HistoBenchError(
            f"{path}: needs {size / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free; free some space{instead}"
        )


if __name__ == "__main__":
    run_script(main)
