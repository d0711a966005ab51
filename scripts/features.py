"""Compute the features of every image of a magnification, or of every augmented view of it, by a frozen backbone.

Features are one embedding for each image or, for a vision-language model, its visual tokens; embeddings can be computed
from visual tokens. They are made from --pixels, the pixel store of the whole manifest, or from --tokens (views, images,
tokens, dimensions). --weights are pretrained ones, unless they are random; where the specification has a prompt, they need
a --tokenizer. The .npy holds (views, images, dimensions)
float32, or (views, images, tokens, dimensions), bf16 as uint16. The .json beside it says how many seconds it took, with
those of the tokens.
"""

import json
import shutil
import time
from functools import partial
from itertools import product
from pathlib import Path

from histobench.io.errors import HistoBenchError, run_script
from histobench.study import arguments
from histobench.study.spec import FeatureSpec

BATCH = 32
STARTED = time.perf_counter()


def main() -> None:
    given = arguments.parse(
        __doc__,
        *("manifest", "output"),
        optional=["pixels", "tokens", "weights", "tokenizer"],
        specification=FeatureSpec.model_validate_json,
        **arguments.HARDWARE,
    )

    import numpy as np
    import torch
    from tqdm import tqdm

    from histobench.datasets import manifest
    from histobench.io.files import atomic_path
    from histobench.models import build
    from histobench.training import device as devices
    from histobench.training import inputs
    from histobench.training.data import prefetch
    from histobench.training.microbatch import MicroBatch

    spec = given.specification
    device = devices.choose(given.device, max(1, given.workers), given.share)
    torch.backends.cudnn.allow_tf32 = False  # else devices would differ
    images = manifest.load(given.manifest)
    here = [row for row, image in enumerate(images) if image.magnification == spec.magnification]
    if not here:
        raise HistoBenchError(f"{given.manifest}: no image at {spec.magnification}x; take it out of the grid")
    precision, tokens = devices.precision(device), given.tokens is not None
    with devices.memory_errors("the model"):
        compute, shape, dtype = build.feature_extractor(spec, given.weights, precision, tokens, device, given.tokenizer)
    shape = (spec.views, len(here), *shape)
    source = inputs.unlabelled(spec, images, here, given.pixels, given.tokens, given.workers)
    require_space(given.output, spec.part, np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64)))
    micro = MicroBatch(given.micro_batch or None, BATCH, device)

    def computed(batch: torch.Tensor, size: int) -> torch.Tensor:
        return torch.cat([compute(part).cpu() for part in batch.split(size)])

    plan = product(range(1, spec.views + 1), np.split(np.arange(len(here)), range(BATCH, len(here), BATCH)))
    with (
        torch.inference_mode(),
        devices.memory_errors("a batch of images"),
        atomic_path(given.output) as temporary,
        temporary.open("wb") as file,
        tqdm(total=shape[0] * shape[1], unit="image", desc=spec.part) as bar,
    ):
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for batch, _ in prefetch(source.batches(plan), device):
            block = micro.retry(partial(computed, batch))
            block = block.view(torch.uint16) if block.dtype == torch.bfloat16 else block
            file.write(block.numpy().astype(dtype, copy=False).tobytes())
            bar.update(len(batch))
        before = inputs.feature_seconds(given.tokens)
        seconds = None if before is None else round(before + time.perf_counter() - STARTED, 3)
        with atomic_path(given.output.with_suffix(".json")) as record:
            record.write_text(json.dumps({"seconds": seconds}) + "\n", encoding="utf-8")
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
