"""Make the folds of one split: which groups of images train and which evaluate."""

import argparse
import json
from pathlib import Path

import numpy as np

from histobench.datasets import folds, manifest
from histobench.study.errors import run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--split", required=True, help='JSON, for example {"by": "patient", "folds": 5, "seed": 0}')
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    split = json.loads(arguments.split)

    images = manifest.load(arguments.manifest)
    if split["by"] == "official":
        made = folds.official(images, [Path(file) for file in split["files"]])
    else:
        made = folds.make(images, split["by"], split["folds"], split["seed"])
    folds.save(made, arguments.output)

    print(f"split by {made.policy}: {len(images)} images in {len(made.groups)} groups, {made.count} folds")
    sides, leaks = made.sides(images), folds.leaks(images, made)
    malignant = np.array([image.label == "malignant" for image in images])
    groups = np.array(made.tested)
    for fold in range(made.count):
        print(f"fold {fold + 1}:")
        for side, rows, members in (
            ("train", ~sides[:, fold], ~groups[:, fold]),
            ("test", sides[:, fold], groups[:, fold]),
        ):
            benign = np.sum(rows & ~malignant)
            print(f"  {side}: {benign} benign, {rows.sum() - benign} malignant images of {members.sum()} groups")
        print(f"  equal pixels on both sides: {leaks[fold]} pairs of images")
    print(f"equal pixels in different groups: {len(folds.twins(images, made.policy))} pairs of images")


if __name__ == "__main__":
    run_script(main)
