"""Draw how images become a decision (Figures 3 and 4), from the study's configuration: each as PDF, SVG and PNG."""

import argparse
import json
from pathlib import Path

from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report.figures import methods, style


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parameters", type=Path, required=True, help="parameters.csv of the study")
    parser.add_argument("--models", type=json.loads, required=True, help="JSON: the settings of each model by its name")
    parser.add_argument("--recipes", type=json.loads, required=True, help="JSON: {model: {mode: recipe}}")
    parser.add_argument("--augmentations", type=json.loads, required=True, help="JSON: the named lists of transforms")
    parser.add_argument("--splits", type=json.loads, required=True, help="JSON: the study's split policies by name")
    parser.add_argument("--dataset", required=True, help="name of the dataset")
    parser.add_argument("--arms", type=style.arms_of, required=True, help="JSON: the arms of the study, in its order")
    parser.add_argument("--note", action="append", default=[], help="sentence for the foot; may be repeated")
    parser.add_argument("--cnn", type=Path, metavar="PREFIX", help="draw Figure 3")
    parser.add_argument("--vlm", type=Path, metavar="PREFIX", help="draw Figure 4")
    arguments = parser.parse_args()

    method = methods.Method(
        arguments.dataset,
        arguments.arms,
        arguments.models,
        {(model, mode): recipe for model, modes in arguments.recipes.items() for mode, recipe in modes.items()},
        read_csv(arguments.parameters, methods.COLUMNS),
        arguments.augmentations,
        list(arguments.splits.values()),
    )
    for draw, prefix in ((methods.cnn, arguments.cnn), (methods.vlm, arguments.vlm)):
        if prefix:
            style.save(draw(method, arguments.note), prefix)


if __name__ == "__main__":
    run_script(main)
