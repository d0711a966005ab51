"""Write Table 6 and its companion, and beside them the whole external test: TABLES/table6 and TABLES/external, each as .csv, .md and .tex."""

import argparse
import json
from pathlib import Path

from histobench.evaluation.external import GROUPS_COLUMNS, SUMMARY_COLUMNS
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import published_tables, render
from histobench.report.tables import external_tables
from histobench.report.tables.paper_tables import Context


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--summary", type=Path, required=True, help="external_summary.csv of the study")
    parser.add_argument("--groups", type=Path, required=True, help="external_groups.csv of the study")
    parser.add_argument(
        "--rows", required=True, help="JSON: on, dataset, split, magnification, augmentation of Table 6"
    )
    parser.add_argument("--names", default="{}", help="JSON: the name in print of each model")
    parser.add_argument("--study", required=True, help="name of the study")
    parser.add_argument("--note", action="append", default=[], help="sentence for the caption; may be repeated")
    parser.add_argument("--published", type=Path, required=True, help="the published Table 6")
    parser.add_argument("--output", type=Path, required=True, metavar="TABLES", help="folder of the tables")
    arguments = parser.parse_args()

    context = Context(arguments.study, json.loads(arguments.names), arguments.note)
    summary = read_csv(arguments.summary, SUMMARY_COLUMNS)
    groups = read_csv(arguments.groups, GROUPS_COLUMNS)
    table, companion = external_tables.table6(
        summary, published_tables.load(arguments.published), json.loads(arguments.rows), context
    )
    render.write(table, arguments.output / "table6")
    render.write(companion, arguments.output / "table6-beside-published")
    render.write(external_tables.full_table(summary, groups, context), arguments.output / "external")


if __name__ == "__main__":
    run_script(main)
