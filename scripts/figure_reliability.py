"""Draw how often images of a given predicted probability are malignant: PREFIX.pdf, .svg and .png."""

import argparse
from pathlib import Path

from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report.figures import reliability, scores, style


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calibration", type=Path, required=True, help="calibration.csv of the study")
    parser.add_argument("--dataset", required=True, help="name of the dataset")
    parser.add_argument("--split", required=True, help="name of the split policy")
    parser.add_argument("--augmentation", required=True, help="name of the augmentation")
    parser.add_argument("--arms", type=style.arms_of, required=True, help="JSON: the arms of the study, in its order")
    parser.add_argument("--note", action="append", default=[], help="sentence for the foot; may be repeated")
    parser.add_argument("--output-prefix", type=Path, required=True, metavar="PREFIX")
    arguments = parser.parse_args()

    setting = {"dataset": arguments.dataset, "split": arguments.split, "augmentation": arguments.augmentation}
    rows = scores.chosen(read_csv(arguments.calibration, reliability.COLUMNS), {**setting, "selection": "last"})
    style.save(reliability.reliability(rows, arguments.arms, arguments.note), arguments.output_prefix)


if __name__ == "__main__":
    run_script(main)
