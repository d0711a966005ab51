"""Write Table 7: PREFIX (the paper's form), PREFIX-beside-published and PREFIX-honest, each as .csv, .md and .tex."""

import argparse
import json
from pathlib import Path

from histobench.evaluation.comparisons import COMPARISONS_COLUMNS
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import published_tables, render
from histobench.report.tables import comparison_tables, paper_tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--comparisons", type=Path, required=True, help="comparisons.csv of the study")
    parser.add_argument("--dataset", required=True, help="name of the dataset")
    parser.add_argument("--split", required=True, help="name of the split policy")
    parser.add_argument("--magnification", type=int, required=True, help="of the images")
    parser.add_argument("--augmentation", required=True, help="name of the augmentation")
    parser.add_argument("--names", default="{}", help="JSON: the name in print of each model")
    parser.add_argument("--study", required=True, help="name of the study")
    parser.add_argument("--note", action="append", default=[], help="sentence for the caption; may be repeated")
    parser.add_argument("--published", type=Path, required=True, help="the published table")
    parser.add_argument("--output-prefix", type=Path, required=True, metavar="PREFIX")
    given = parser.parse_args()

    made = comparison_tables.comparison_tables(
        read_csv(given.comparisons, COMPARISONS_COLUMNS),
        published_tables.load(given.published),
        given.dataset,
        given.split,
        given.magnification,
        given.augmentation,
        paper_tables.Context(given.study, json.loads(given.names), given.note),
    )
    for table, suffix in zip(made, ("", "-beside-published", "-honest"), strict=True):
        render.write(table, Path(f"{given.output_prefix}{suffix}"))


if __name__ == "__main__":
    run_script(main)
