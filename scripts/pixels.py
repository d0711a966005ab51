"""Decode and resize every image of a dataset into one pixel store."""

import argparse
import time
from pathlib import Path

import PIL

from histobench.datasets import manifest, pixels
from histobench.io.errors import run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()

    images = manifest.load(arguments.manifest)
    start = time.perf_counter()
    pixels.build(arguments.source, images, arguments.size, arguments.output, arguments.workers)
    seconds = time.perf_counter() - start
    print(
        f"{len(images)} images of {arguments.size}x{arguments.size} pixels in {seconds:.1f} s "
        f"({len(images) / seconds:.0f} per second), resized by Pillow {PIL.__version__} bicubic"
    )


if __name__ == "__main__":
    run_script(main)
