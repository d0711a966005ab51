"""The published tables, and facts about the data and models that they describe."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from histobench.claims.table_cells import Cell, Row, Unavailable
from histobench.datasets import breakhis


class Patient(NamedTuple):
    """A patient folder of the BreakHis archive: one pair of subtype and slide."""

    malignant: bool
    slide: str
    accession: str
    images: tuple[int, ...]
    """Number of images at each magnification, ascending."""


@dataclass(frozen=True)
class Paper:
    """The published numbers, and what claims need to know of the data and models."""

    tables: Mapping[int, Sequence[Row]]
    """Rows of Tables 1 to 7."""
    census: Sequence[Patient] = ()
    """The patient folders of BreakHis."""
    architectures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name in print of a vision-language model -> the values of its published config.json that claims need."""

    def row(self, cell: Cell) -> Row:
        """Return the row of Table 4, 5 or 6 that holds a cell.

        Raises:
            Unavailable: there is none.
        """
        for row in self.tables[cell.table]:
            if (row["model"], row["mode"], row.get("magnification", "")) == (cell.model, cell.mode, cell.magnification):
                return row
        where = f" at {cell.magnification}X" if cell.magnification else ""
        raise Unavailable(f"Table {cell.table} has no row {cell.arm}{where}")

    def value(self, cell: Cell) -> Fraction:
        """Return the printed mean, exactly as printed."""
        return Fraction(self.row(cell)[f"{cell.metric}_mean"])

    def rows(self, tables: Sequence[int]) -> list[tuple[int, Row]]:
        """Return the rows of some tables, each with the number of its table."""
        return [(table, row) for table in tables for row in self.tables[table]]

    def images(self, column: str) -> dict[str, int]:
        """Return a column of Table 1: magnification -> number of images."""
        return {row["magnification"]: int(row[column]) for row in self.tables[1] if row["magnification"].isdecimal()}

    def rank(self) -> int:
        """Return the rank of LoRA in Table 3."""
        return next(int(row["value"]) for row in self.tables[3] if row["hyperparameter"] == "Rank r")


def read_paper(tables: Sequence[Sequence[Row]], architectures: Path) -> Paper:
    """Return the published numbers, with the official census of BreakHis.

    Args:
        tables: rows of Tables 1 to 7.
        architectures: YAML: name in print -> `hub`, `revision` and `config`.
    """
    import yaml

    models = yaml.safe_load(architectures.read_text(encoding="utf-8"))
    return Paper(
        dict(enumerate(tables, start=1)), official_census(), {name: model["config"] for name, model in models.items()}
    )


def official_census() -> list[Patient]:
    """Return the patient folders of BreakHis in the order in which they first occur."""
    folders: dict[tuple[str, ...], Counter[int]] = {}
    for image in breakhis.official():
        folder = folders.setdefault((image.label, image.subtype, image.slide, image.accession), Counter())
        folder[image.magnification] += 1
    return [
        Patient(label == "malignant", slide, accession, tuple(count for _, count in sorted(counts.items())))
        for (label, _, slide, accession), counts in folders.items()
    ]
