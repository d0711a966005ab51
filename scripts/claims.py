"""Compare every claim of the paper with a study, beside what its own tables say.

PREFIX.csv, PREFIX.md and PREFIX.tex are written. A result file that is not given, or not there, leaves the claims that need it `not run`.
"""

import argparse
from pathlib import Path

from histobench.claims.evidence import FILES, read_results
from histobench.io.errors import run_script
from histobench.io.files import read_csv


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, required=True, help="study.json")
    parser.add_argument("--claims", type=Path, required=True, help="the ledger, claims.yaml")
    parser.add_argument("--published", type=Path, required=True, help="claims_published.csv")
    for name in FILES:
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, help=f"{name}.csv of the study")
    parser.add_argument("--output-prefix", type=Path, required=True, metavar="PREFIX")
    given = parser.parse_args()

    from histobench.claims import ledger
    from histobench.report import render
    from histobench.report.tables.claims_table import study_table
    from histobench.report.tables.paper_tables import Context
    from histobench.study import resolved

    study = resolved.load(given.study)
    published = read_csv(given.published, ledger.PUBLISHED_COLUMNS)
    rows = ledger.on_study(ledger.load(given.claims), published, read_results(study, vars(given)))
    render.write(study_table(rows, Context(study.name, study.labels, study.notes)), given.output_prefix)


if __name__ == "__main__":
    run_script(main)
