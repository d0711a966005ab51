"""Draw the accuracy of every arm by magnification, beside the published values (Figure 5): PREFIX.pdf, .svg and .png."""

import argparse
import json
from pathlib import Path

from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import published_tables
from histobench.report.figures import scores, style


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--intervals", type=Path, required=True, help="intervals.csv of the study")
    parser.add_argument("--dataset", required=True, help="name of the dataset")
    parser.add_argument("--split", required=True, help="name of the split policy")
    parser.add_argument(
        "--panels", type=json.loads, required=True, help="JSON: {augmentation: published table}, from top to bottom"
    )
    parser.add_argument("--arms", type=style.arms_of, required=True, help="JSON: the arms of the study, in its order")
    parser.add_argument("--note", action="append", default=[], help="sentence for the foot; may be repeated")
    parser.add_argument("--output-prefix", type=Path, required=True, metavar="PREFIX")
    arguments = parser.parse_args()

    rows = read_csv(arguments.intervals, scores.INTERVALS)
    setting = {"dataset": arguments.dataset, "split": arguments.split, "selection": "last"}
    panels = [
        scores.Panel(
            f"augmentation: {augmentation}",
            scores.pooled(rows, "accuracy", augmentation=augmentation, **setting),
            scores.published_means(published_tables.load(Path(table)), "accuracy", arguments.arms),
        )
        for augmentation, table in arguments.panels.items()
    ]
    style.save(scores.accuracy(panels, arguments.arms, arguments.note), arguments.output_prefix)


if __name__ == "__main__":
    run_script(main)
