"""Make the folds of one split: which groups of images train and which evaluate."""

import argparse
import json
from pathlib import Path

from histobench.datasets import folds, make_folds, manifest
from histobench.io.errors import run_script
from histobench.io.files import write_csv


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--split", required=True, help='JSON, for example {"by": "patient", "folds": 5, "seed": 0}')
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--census", type=Path, required=True, help="CSV of what is on the two sides of each fold")
    arguments = parser.parse_args()
    split = json.loads(arguments.split)

    images = manifest.load(arguments.manifest)
    if split["by"] == "official":
        made = make_folds.official(images, [Path(file) for file in split["files"]])
    else:
        made = make_folds.stratified(images, split["by"], split["folds"], split["seed"])
    folds.save(made, arguments.output)
    write_csv(arguments.census, folds.CENSUS_COLUMNS, folds.census(images, made))
    print(f"split by {made.policy}: {len(images)} images in {len(made.groups)} groups, {made.count} folds")


if __name__ == "__main__":
    run_script(main)
