"""Write the intervals of Table 4, 5 or 6, a cell for every arm, magnification and score: PREFIX.csv, .md and .tex."""

import argparse
import json
from pathlib import Path

from histobench.evaluation.comparisons import EXTERNAL_INTERVALS_COLUMNS, INTERVALS_COLUMNS
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import published_tables, render
from histobench.report.tables import comparison_tables, paper_tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--intervals", type=Path, required=True, help="intervals.csv or external_intervals.csv")
    parser.add_argument("--number", type=int, choices=(4, 5, 6), required=True, help="number of the table")
    parser.add_argument("--rows", required=True, help="JSON: which rows, for example {'split': 'patient'}")
    parser.add_argument("--names", default="{}", help="JSON: the name in print of each model")
    parser.add_argument("--study", required=True, help="name of the study")
    parser.add_argument("--note", action="append", default=[], help="sentence for the caption; may be repeated")
    parser.add_argument("--published", type=Path, required=True, help="the published table")
    parser.add_argument("--output-prefix", type=Path, required=True, metavar="PREFIX")
    given = parser.parse_args()

    table = comparison_tables.intervals_table(
        read_csv(given.intervals, EXTERNAL_INTERVALS_COLUMNS if given.number == 6 else INTERVALS_COLUMNS),
        published_tables.load(given.published),
        given.number,
        json.loads(given.rows),
        paper_tables.Context(given.study, json.loads(given.names), given.note),
    )
    render.write(table, given.output_prefix)


if __name__ == "__main__":
    run_script(main)
