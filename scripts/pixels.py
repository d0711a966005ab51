"""Decode and resize every image of a dataset into one pixel store."""

import time

import PIL

from histobench.datasets import manifest, pixels
from histobench.io.errors import run_script
from histobench.study import arguments


def main() -> None:
    given = arguments.parse(__doc__, "source", "manifest", "output", size=int, workers=1)
    images = manifest.load(given.manifest)
    start = time.perf_counter()
    pixels.build(given.source, images, given.size, given.output, given.workers)
    seconds = time.perf_counter() - start
    print(
        f"{len(images)} images of {given.size}x{given.size} pixels in {seconds:.1f} s "
        f"({len(images) / seconds:.0f} per second), resized by Pillow {PIL.__version__} bicubic"
    )


if __name__ == "__main__":
    run_script(main)
