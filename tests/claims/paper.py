"""The published tables and the ledger as the scripts read them."""

import csv
from pathlib import Path

from histobench.claims import ledger
from histobench.claims.published import read_paper

FOLDER = Path(__file__).parents[2] / "resources" / "paper"


def table(number: int) -> list[dict[str, str]]:
    with (FOLDER / "tables" / f"table{number}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


PAPER = read_paper([table(number) for number in range(1, 8)], FOLDER / "architectures.yaml")
LEDGER = {claim.id: claim for claim in ledger.load(FOLDER / "claims.yaml")}
