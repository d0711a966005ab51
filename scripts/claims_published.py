"""Compare every claim of the paper with its own published tables; no study and no image is needed.

PREFIX.csv, PREFIX.md and PREFIX.tex are written.
"""

import argparse
from pathlib import Path

from histobench.io.errors import run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--claims", type=Path, required=True, help="the ledger, claims.yaml")
    parser.add_argument("--tables", type=Path, nargs=7, required=True, metavar="CSV", help="published Tables 1 to 7")
    parser.add_argument("--architectures", type=Path, required=True, help="architectures.yaml")
    parser.add_argument("--output-prefix", type=Path, required=True, metavar="PREFIX")
    given = parser.parse_args()

    from histobench.claims import ledger
    from histobench.claims.published import read_paper
    from histobench.report import published_tables, render
    from histobench.report.tables.claims_table import published_table

    paper = read_paper([published_tables.load(path) for path in given.tables], given.architectures)
    rows = ledger.on_paper(ledger.load(given.claims), paper)
    render.write(published_table(rows), given.output_prefix)


if __name__ == "__main__":
    run_script(main)
