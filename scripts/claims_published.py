"""Compare every claim of the paper with its own published tables; no study and no image is needed."""

import yaml

from histobench.claims import ledger
from histobench.claims.evidence import Paper, patients
from histobench.datasets import breakhis
from histobench.io.errors import run_script
from histobench.report import published_tables, render
from histobench.report.tables.claims_table import published_table
from histobench.study import arguments


def main() -> None:
    given = arguments.parse(__doc__, "claims", "architectures", "output_prefix", several=["tables"])
    paper = Paper(
        tables={number: published_tables.load(path) for number, path in enumerate(given.tables, start=1)},
        patients=patients(breakhis.official()),
        models=yaml.safe_load(given.architectures.read_text(encoding="utf-8")),
    )
    render.write(published_table(ledger.on_paper(ledger.load(given.claims), paper)), given.output_prefix)


if __name__ == "__main__":
    run_script(main)
