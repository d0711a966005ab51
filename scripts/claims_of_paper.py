"""Compare every claim of a paper with its own published tables; no study and no image is needed."""

from pathlib import Path

from histobench.claims import ledger
from histobench.claims.published import read_paper
from histobench.io.errors import run_script
from histobench.report import render
from histobench.report.tables.claims_table import published_table
from histobench.study import arguments


def main() -> None:
    given = arguments.parse(__doc__, "claims", "output_prefix", optional=["architectures"], tables=[])
    paper = read_paper([Path(table) for table in given.tables], given.architectures)
    render.write(published_table(ledger.on_paper(ledger.load(given.claims), paper)), given.output_prefix)


if __name__ == "__main__":
    run_script(main)
