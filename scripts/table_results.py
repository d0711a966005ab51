"""Write Table 4 or 5, the scores per arm and magnification, and its companion beside the published one.

PREFIX.csv, PREFIX.md, PREFIX.tex and PREFIX-beside-published.csv, .md, .tex are written.
"""

import argparse
import json
from pathlib import Path

from histobench.evaluation.predictions import SELECTIONS
from histobench.evaluation.summary import SUMMARY_COLUMNS
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import published_tables, render
from histobench.report.tables import paper_tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--summary", type=Path, required=True, help="summary.csv of the study")
    parser.add_argument("--number", type=int, choices=(4, 5), required=True, help="number of the table")
    parser.add_argument("--dataset", required=True, help="name of the dataset")
    parser.add_argument("--split", required=True, help="name of the split policy")
    parser.add_argument("--augmentation", required=True, help="name of the augmentation")
    parser.add_argument("--selection", choices=tuple(SELECTIONS), default="last", help="which epoch is scored")
    parser.add_argument("--names", default="{}", help="JSON: the name in print of each model")
    parser.add_argument("--study", required=True, help="name of the study")
    parser.add_argument("--note", action="append", default=[], help="sentence for the caption; may be repeated")
    parser.add_argument("--published", type=Path, required=True, help="the published table")
    parser.add_argument("--output-prefix", type=Path, required=True, metavar="PREFIX")
    arguments = parser.parse_args()

    table, beside = paper_tables.results_tables(
        read_csv(arguments.summary, SUMMARY_COLUMNS),
        published_tables.load(arguments.published),
        arguments.number,
        arguments.dataset,
        arguments.split,
        arguments.augmentation,
        arguments.selection,
        paper_tables.Context(arguments.study, json.loads(arguments.names), arguments.note),
    )
    render.write(table, arguments.output_prefix)
    render.write(beside, Path(f"{arguments.output_prefix}-beside-published"))


if __name__ == "__main__":
    run_script(main)
