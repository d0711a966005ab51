"""Write Table 2, the models and their sizes, and its companion beside the published one.

PREFIX.csv, PREFIX.md, PREFIX.tex and PREFIX-beside-published.csv, .md, .tex are written.
"""

import argparse
import json
from pathlib import Path

from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import published_tables, render
from histobench.report.tables import paper_tables

COLUMNS = ("model", "mode", "parameters_published_form", "parameters", "trainable", "lora")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameters", type=Path, required=True, help=f"CSV with columns {', '.join(COLUMNS)}")
    parser.add_argument("--models", required=True, help="JSON: the settings of each model by its name")
    parser.add_argument("--names", default="{}", help="JSON: the name in print of each model")
    parser.add_argument("--study", required=True, help="name of the study")
    parser.add_argument("--note", action="append", default=[], help="sentence for the caption; may be repeated")
    parser.add_argument("--published", type=Path, required=True, help="the published Table 2")
    parser.add_argument("--output-prefix", type=Path, required=True, metavar="PREFIX")
    arguments = parser.parse_args()

    table, beside = paper_tables.model_tables(
        read_csv(arguments.parameters, COLUMNS),
        json.loads(arguments.models),
        published_tables.load(arguments.published),
        paper_tables.Context(arguments.study, json.loads(arguments.names), arguments.note),
    )
    render.write(table, arguments.output_prefix)
    render.write(beside, Path(f"{arguments.output_prefix}-beside-published"))


if __name__ == "__main__":
    run_script(main)
