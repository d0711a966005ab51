"""Compute the features of every image of a magnification, or of every augmented view of it, by a frozen backbone.

Features are one embedding for each image or, for a vision-language model, its visual tokens; embeddings can be computed
from visual tokens.
"""

import argparse
import shutil
from itertools import product
from pathlib import Path

from histobench.io.errors import HistoBenchError, run_script
from histobench.study.spec import FeatureSpec

BATCH = 32


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    specification = FeatureSpec.model_validate_json
    parser.add_argument("--specification", type=specification, required=True, help="what to compute, as JSON")
    parser.add_argument("--manifest", type=Path, required=True)
    inputs = parser.add_mutually_exclusive_group(required=True)
    inputs.add_argument("--pixels", type=Path, help="pixel store of the whole manifest")
    inputs.add_argument("--tokens", type=Path, help="visual tokens (views, images, T, D) to compute embeddings from")
    parser.add_argument("--weights", type=Path, help="pretrained weights, unless they are random")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--share", type=int, default=1, help="jobs that may share its GPU; 0: no GPU is needed")
    parser.add_argument("--workers", type=int, default=1, help="processor threads, and processes that augment images")
    shape = "(views, images, dimensions) float32, or (views, images, tokens, dimensions), bf16 as uint16"
    parser.add_argument("--output", type=Path, required=True, help=f".npy, {shape}")
    return parser.parse_args()


def main() -> None:
    given = parsed()

    import numpy as np
    import torch
    from tqdm import tqdm

    from histobench.datasets import manifest
    from histobench.io.files import atomic_path
    from histobench.models import build
    from histobench.training import device as devices
    from histobench.training import inputs
    from histobench.training.data import prefetch

    spec = given.specification
    build.require_weights(spec.model, given.weights)
    device = devices.choose(given.device, max(1, given.workers), given.share)
    torch.backends.cudnn.allow_tf32 = False  # else devices would differ
    images = manifest.load(given.manifest)
    here = [row for row, image in enumerate(images) if image.magnification == spec.magnification]
    if not here:
        raise HistoBenchError(
            f"{given.manifest}: no image at {spec.magnification}x; take that magnification out of the grid"
        )
    precision, tokens = devices.precision(device), given.tokens is not None
    compute, shape, dtype = build.feature_extractor(spec, given.weights, precision, tokens, device)
    shape = (spec.views, len(here), *shape)
    source = inputs.unlabelled(spec, images, here, given.pixels, given.tokens, given.workers, device.type == "cuda")
    require_space(given.output, spec.part, np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64)))
    plan = product(range(1, spec.views + 1), np.split(np.arange(len(here)), range(BATCH, len(here), BATCH)))
    with (
        torch.inference_mode(),
        atomic_path(given.output) as temporary,
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
    print(f"{given.output}: {shape[0]} views of {shape[1]} images, {' x '.join(map(str, shape[2:]))} numbers each")


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
