"""Draw the share of images called malignant in each class of an external dataset: PREFIX.pdf, .svg and .png."""

import argparse
from pathlib import Path

from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report.figures import scores, style


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=Path, required=True, help="external_groups.csv of the study")
    parser.add_argument("--on", required=True, help="name of the external dataset")
    parser.add_argument("--dataset", required=True, help="name of the dataset that models were trained on")
    parser.add_argument("--split", required=True, help="name of the split policy")
    parser.add_argument("--augmentation", required=True, help="name of the augmentation")
    parser.add_argument("--arms", type=style.arms_of, required=True, help="JSON: the arms of the study, in its order")
    parser.add_argument("--note", action="append", default=[], help="sentence for the foot; may be repeated")
    parser.add_argument("--output-prefix", type=Path, required=True, metavar="PREFIX")
    arguments = parser.parse_args()

    setting = {name: getattr(arguments, name) for name in ("on", "dataset", "split", "augmentation")}
    rows = scores.chosen(read_csv(arguments.groups, scores.GROUPS), setting)
    style.save(scores.external(rows, arguments.on, arguments.arms, arguments.note), arguments.output_prefix)


if __name__ == "__main__":
    run_script(main)
