"""Make the folds of one split: which groups of images train and which evaluate.

--split is JSON, for example {"by": "patient", "folds": 5, "seed": 0}; --census tells what is on the two sides of each fold.
At each of the --magnifications, by default at all, every fold must have both classes on both sides.
"""

import json
from pathlib import Path

from histobench.datasets import folds, given_folds, make_folds, manifest
from histobench.io.errors import run_script
from histobench.io.files import write_csv
from histobench.study import arguments


def main() -> None:
    given = arguments.parse(__doc__, "manifest", "output", "census", split=json.loads, magnifications=[])
    split = given.split
    images = manifest.load(given.manifest)
    scales = [int(text) for text in given.magnifications] or None
    if split["by"] == "official":
        made = make_folds.official(images, [Path(file) for file in split["files"]], scales)
    elif split["by"] == "file":
        made = given_folds.read(images, Path(split["file"]), split["folds"], scales)
    else:
        made = make_folds.stratified(images, split["by"], split["folds"], split["seed"], scales)
    folds.save(made, images, given.output)
    write_csv(given.census, folds.CENSUS_COLUMNS, folds.census(images, made))
    print(f"split by {made.policy}: {len(images)} images in {len(made.tested)} groups, {made.count} folds")


if __name__ == "__main__":
    run_script(main)
