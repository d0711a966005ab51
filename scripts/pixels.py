"""Decode and resize every image of a dataset into one pixel store.

With --trained-on, the manifest of another dataset, the store holds tiles at the scale of its images of --magnification; --microns is
the micrometres per pixel of both, JSON: [{magnification: number}, {magnification: number}], that of the tiles first.
"""

import json
import time

import PIL

from histobench.datasets import manifest, pixels, tiles
from histobench.io.errors import run_script
from histobench.study import arguments


def main() -> None:
    files, values = ("source", "manifest", "output"), {"workers": 1, "magnification": 0, "microns": ""}
    given = arguments.parse(__doc__, *files, optional=["trained_on"], size=int, **values)
    images, cut = manifest.load(given.manifest), None
    if given.trained_on:
        cut = tiles.sizes(images, manifest.load(given.trained_on), given.magnification, json.loads(given.microns))
    start = time.perf_counter()
    pixels.build(given.source, images, given.size, given.output, given.workers, cut)
    seconds = time.perf_counter() - start
    print(
        f"{len(images)} images{' in tiles' if cut else ''} of {given.size}x{given.size} pixels in {seconds:.1f} s "
        f"({len(images) / seconds:.0f} per second), resized by Pillow {PIL.__version__} bicubic"
    )


if __name__ == "__main__":
    run_script(main)
