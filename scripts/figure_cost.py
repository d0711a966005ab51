"""Draw accuracy against seconds of training and trainable parameters: PREFIX.pdf, .svg and .png."""

import argparse
from pathlib import Path

from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report.figures import cost, scores, style


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--costs", type=Path, required=True, help="costs.csv of the study")
    parser.add_argument("--parameters", type=Path, required=True, help="parameters.csv of the study")
    parser.add_argument("--summary", type=Path, required=True, help="summary.csv of the study")
    parser.add_argument("--dataset", required=True, help="name of the dataset")
    parser.add_argument("--split", required=True, help="name of the split policy")
    parser.add_argument("--augmentation", required=True, help="name of the augmentation")
    parser.add_argument("--arms", type=style.arms_of, required=True, help="JSON: the arms of the study, in its order")
    parser.add_argument("--note", action="append", default=[], help="sentence for the foot; may be repeated")
    parser.add_argument("--output-prefix", type=Path, required=True, metavar="PREFIX")
    arguments = parser.parse_args()

    setting = {"dataset": arguments.dataset, "split": arguments.split, "augmentation": arguments.augmentation}
    figure = cost.cost(
        scores.chosen(read_csv(arguments.costs, cost.COSTS), setting),
        read_csv(arguments.parameters, cost.PARAMETERS),
        scores.chosen(read_csv(arguments.summary, scores.SUMMARY), {**setting, "selection": "last"}),
        arguments.arms,
        arguments.note,
    )
    style.save(figure, arguments.output_prefix)


if __name__ == "__main__":
    run_script(main)
