"""Write the scores of every arm of a study, under every split policy and both selections: PREFIX.csv, .md and .tex."""

import argparse
import json
from pathlib import Path

from histobench.evaluation.summary import SUMMARY_COLUMNS
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import render
from histobench.report.tables import paper_tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--summary", type=Path, required=True, help="summary.csv of the study")
    parser.add_argument(
        "--folds", type=Path, nargs="+", required=True, help="census of each split: DATASET/folds/census/SPLIT.csv"
    )
    parser.add_argument("--splits", required=True, help="JSON: the study's split policies by name")
    parser.add_argument("--names", default="{}", help="JSON: the name in print of each model")
    parser.add_argument("--study", required=True, help="name of the study")
    parser.add_argument("--note", action="append", default=[], help="sentence for the caption; may be repeated")
    parser.add_argument("--output-prefix", type=Path, required=True, metavar="PREFIX")
    arguments = parser.parse_args()

    context = paper_tables.Context(arguments.study, json.loads(arguments.names), arguments.note)
    summary = read_csv(arguments.summary, SUMMARY_COLUMNS)
    equal_pixels = {
        (path.parts[-4], path.stem): [int(row["equal_pixels"]) for row in read_csv(path, ("equal_pixels",))]
        for path in arguments.folds
    }
    table = paper_tables.scores_table(summary, json.loads(arguments.splits), equal_pixels, context)
    render.write(table, arguments.output_prefix)


if __name__ == "__main__":
    run_script(main)
