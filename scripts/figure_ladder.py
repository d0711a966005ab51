"""Draw what each step of optimism adds to the accuracy of an arm: PREFIX.pdf, .svg and .png."""

import argparse
import json
from pathlib import Path

from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import published_tables
from histobench.report.figures import scores, style


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.csv of the study")
    parser.add_argument("--dataset", required=True, help="name of the dataset")
    parser.add_argument("--augmentation", required=True, help="name of the augmentation")
    parser.add_argument("--splits", type=json.loads, required=True, help="JSON: the study's split policies by name")
    parser.add_argument("--published", type=Path, required=True, help="the published Table 4")
    parser.add_argument("--arms", type=style.arms_of, required=True, help="JSON: the arms of the study, in its order")
    parser.add_argument("--note", action="append", default=[], help="sentence for the foot; may be repeated")
    parser.add_argument("--output-prefix", type=Path, required=True, metavar="PREFIX")
    arguments = parser.parse_args()

    setting = {"dataset": arguments.dataset, "augmentation": arguments.augmentation}
    metrics = scores.chosen(read_csv(arguments.metrics, scores.METRICS), setting)
    theirs = scores.published_means(published_tables.load(arguments.published), "accuracy", arguments.arms)
    figure = scores.ladder(metrics, arguments.splits, theirs, arguments.arms, arguments.note)
    style.save(figure, arguments.output_prefix)


if __name__ == "__main__":
    run_script(main)
