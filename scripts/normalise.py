"""Normalise the stain of all images of a magnification to that of the training images of one fold.

--pixels is the pixel store of the whole --manifest, of --size pixels, and --output one of the same form, without content in the rows of
other magnifications. --reference is the target, a JSON file. --kept is the share of the training groups that is kept for choosing and
the seed that draws them, where the mode keeps some: these do not count, as evaluation images do not.
"""

import json

import numpy as np

from histobench.datasets import folds, manifest, normalised, pixels
from histobench.io.errors import run_script
from histobench.io.files import atomic_path
from histobench.study import arguments


def main() -> None:
    files = ("manifest", "folds", "pixels", "output", "reference")
    numbers = dict.fromkeys(("magnification", "fold", "size"), int)
    given = arguments.parse(__doc__, *files, stain=str, split_by=str, kept=[], workers=1, **numbers)
    images = manifest.load(given.manifest)
    split = folds.load(given.folds, images, given.split_by, [given.magnification])
    kept = (float(given.kept[0]), int(given.kept[1])) if given.kept else None
    trains, others = normalised.sides(images, split, given.fold, given.magnification, kept)
    store = pixels.load(given.pixels, len(images), given.size)
    with atomic_path(given.output) as temporary:
        found = normalised.write(store, trains, others, given.stain, temporary, given.workers)
    with atomic_path(given.reference) as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(
        f"{len(trains) + len(others)} images normalised to {len(trains)} training images by {given.stain}; "
        f"{found['unchanged']} with too little tissue stay as they are: {json.dumps(np.round(found['target'], 4).tolist())}"
    )


if __name__ == "__main__":
    run_script(main)
