"""Write Table 3, how the models are trained, and its companion beside the published one.

PREFIX.csv, PREFIX.md, PREFIX.tex and PREFIX-beside-published.csv, .md, .tex are written.
"""

import argparse
import json
from pathlib import Path

from histobench.io.errors import run_script
from histobench.report import published_tables, render
from histobench.report.tables import paper_tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", required=True, help="JSON: {model: {mode: recipe}} of the study's arms")
    parser.add_argument("--augmentations", required=True, help="JSON: the study's named lists of transforms")
    parser.add_argument("--splits", required=True, help="JSON: the study's split policies by name")
    parser.add_argument("--names", default="{}", help="JSON: the name in print of each model")
    parser.add_argument("--study", required=True, help="name of the study")
    parser.add_argument("--note", action="append", default=[], help="sentence for the caption; may be repeated")
    parser.add_argument("--published", type=Path, required=True, help="the published Table 3")
    parser.add_argument("--output-prefix", type=Path, required=True, metavar="PREFIX")
    arguments = parser.parse_args()

    modes = json.loads(arguments.recipes)
    table, beside = paper_tables.hyperparameter_tables(
        {(model, mode): recipe for model, recipes in modes.items() for mode, recipe in recipes.items()},
        json.loads(arguments.augmentations),
        json.loads(arguments.splits),
        published_tables.load(arguments.published),
        paper_tables.Context(arguments.study, json.loads(arguments.names), arguments.note),
    )
    render.write(table, arguments.output_prefix)
    render.write(beside, Path(f"{arguments.output_prefix}-beside-published"))


if __name__ == "__main__":
    run_script(main)
