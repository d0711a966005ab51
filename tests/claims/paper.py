"""The published tables and the ledger as the scripts read them."""

import csv
from pathlib import Path

from histobench.claims import ledger
from histobench.claims.published import read_paper

FOLDER = Path(__file__).parents[2] / "resources" / "papers" / "zhaksylyk-2026"


def table(name: str) -> list[dict[str, str]]:
    with (FOLDER / "tables" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


PAPER = read_paper(sorted((FOLDER / "tables").glob("*.csv")), FOLDER / "architectures.yaml")
LEDGER = {claim.id: claim for claim in ledger.load(FOLDER / "claims.yaml")}
