"""Hold every claim of the paper against its own published tables; no study and no image is needed.

PREFIX.csv, PREFIX.md and PREFIX.tex are written.
"""

import argparse
import json
from pathlib import Path

from histobench.io.errors import run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--claims", type=Path, required=True, help="the ledger, claims.yaml")
    parser.add_argument("--tables", type=Path, nargs=7, required=True, metavar="CSV", help="published Tables 1 to 7")
    parser.add_argument(
        "--models", type=json.loads, default={}, help="JSON: for each vision-language model in print its configuration"
    )
    parser.add_argument("--output-prefix", type=Path, required=True, metavar="PREFIX")
    arguments = parser.parse_args()

    from histobench.claims import ledger
    from histobench.claims.evidence import Paper, patients
    from histobench.datasets import breakhis
    from histobench.report import published_tables, render
    from histobench.report.tables.claims_table import published_table

    paper = Paper(
        tables={number: published_tables.load(path) for number, path in enumerate(arguments.tables, start=1)},
        patients=patients(breakhis.official()),
        models=arguments.models,
    )
    rows = ledger.on_paper(ledger.load(arguments.claims), paper)
    render.write(published_table(rows), arguments.output_prefix)


if __name__ == "__main__":
    run_script(main)
