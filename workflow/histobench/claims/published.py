"""The published tables of a paper, and facts about the data and models that they describe."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from histobench.claims.score_bounds import PrintedMean
from histobench.claims.table_cells import Cell, Row, Unavailable, places, rounding, table_title
from histobench.datasets import breakhis
from histobench.io.errors import HistoBenchError
from histobench.io.files import read_csv

KEYS = ("model", "mode", "magnification")
"""The columns of a table that name a row; a table may lack each of them, and a row may leave it empty."""


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

    tables: Mapping[str, Sequence[Row]]
    """Name of a table's file, for example `table4` -> its rows."""
    census: Sequence[Patient] = ()
    """The patient folders of BreakHis."""
    architectures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name in print of a vision-language model -> the values of its published config.json that claims need."""

    def row(self, cell: Cell) -> Row:
        """Return the row that holds a cell.

        Raises:
            Unavailable: there is none.
            ValueError: there is no such table, or its rows have other names.
        """
        wanted, rows = {key: getattr(cell, key) for key in KEYS}, self.table(cell.table)
        for row in rows:
            if all(row.get(key, "") == value for key, value in wanted.items()):
                return row
        named = [key for key in KEYS if wanted[key]]
        patterns = [[key for key in KEYS if row.get(key)] for row in rows]
        if named not in patterns:
            raise ValueError(
                f"a cell named by {', '.join(named)} is no cell of {cell.table}: its rows have {', '.join(patterns[0])}"
            )
        where = f" at {cell.magnification}X" if cell.magnification else ""
        raise Unavailable(f"{table_title(cell.table)} has no row {cell.arm}{where}")

    def text(self, cell: Cell) -> str:
        """Return the score in a cell, as printed.

        Raises:
            Unavailable: the table has no such row, or nothing there.
            ValueError: there is no such table or column.
        """
        row = self.row(cell)
        text = row.get(f"{cell.metric}_mean", row.get(cell.metric))
        if text is None:
            raise ValueError(f"{cell.metric} is no cell of {cell.table}: its columns are {', '.join(row)}")
        if not text:
            raise Unavailable(f"the paper does not print it for {cell.arm} ({cell.setting})")
        return text

    def value(self, cell: Cell) -> Fraction:
        """Return the score in a cell, exactly as printed."""
        return Fraction(self.text(cell))

    def digits(self, cells: Iterable[Cell]) -> int:
        """Return the most decimals that the scores in some cells have."""
        return max(places(self.text(cell)) for cell in cells)

    def table(self, name: str) -> Sequence[Row]:
        """Return the rows of a table.

        Raises:
            ValueError: there is none of that name, or it is empty.
        """
        if not self.tables.get(name):
            known = ", ".join(name for name, rows in self.tables.items() if rows) or "none"
            raise ValueError(f"there is no table {name!r}, the paper's tables are: {known}")
        return self.tables[name]

    def column(self, table: str, name: str) -> list[str]:
        """Return a column of a table as printed, without empty cells.

        Raises:
            ValueError: there is none of that name.
        """
        rows = self.table(table)
        if name not in rows[0]:
            raise ValueError(f"{table} has no column {name}, its columns are: {', '.join(rows[0])}")
        return [row[name] for row in rows if row[name]]

    def score(self, table: str, row: Row, metric: str, folds: int) -> PrintedMean:
        """Return a score of a row as a fraction of 1, with what rounding and folds allow.

        Raises:
            Unavailable: the row has no such score, or there are folds, but no deviations.
            ValueError: there is no such column.
        """
        name = f"{metric}_mean" if f"{metric}_mean" in row else metric
        if row.get(name) == "":
            raise Unavailable(f"{table_title(table)} has no {metric} in a row")
        unit = self.unit(table, name)
        half, deviation = float(rounding(row[name]) / unit), 0.0
        if folds > 1:
            if not row.get(f"{metric}_std"):
                raise Unavailable(f"{table_title(table)} has no deviations of {metric} over folds")
            deviation = float(row[f"{metric}_std"]) / unit + float(self.rounding_of(table, f"{metric}_std") / unit)
        return PrintedMean(float(row[name]) / unit, half, deviation)

    def unit(self, table: str, column: str) -> int:
        """Return 100 for a column in per cent, which has a value above 1, else 1."""
        return 100 if any(Fraction(text) > 1 for text in self.column(table, column)) else 1

    def rounding_of(self, table: str, column: str) -> Fraction:
        """Return half a unit of the last digit of a column; a zero that ends every number of it is not counted as one."""
        texts = self.column(table, column)
        return rounding(max([*(text.rstrip("0") for text in texts if "." in text), "0"], key=places))

    def rows(self, tables: Sequence[str]) -> list[tuple[str, Row]]:
        """Return the rows of some tables, each with the name of its table."""
        return [(name, row) for name in tables for row in self.table(name)]

    def images(self, table: str, column: str) -> dict[str, int]:
        """Return a column of a table of numbers of images: magnification -> number, without the row of totals."""
        self.column(table, column)
        return {row["magnification"]: int(row[column]) for row in self.table(table) if row["magnification"].isdecimal()}


def read_paper(tables: Sequence[Path], architectures: Path | None = None) -> Paper:
    """Return the published numbers, with the official census of BreakHis.

    Args:
        tables: the tables' files, `NAME.csv`.
        architectures: YAML: name in print -> `hub`, `revision` and `config`.

    Raises:
        HistoBenchError: a row of a table has more or fewer cells than its header.
    """
    import yaml

    rows = {path.stem: read_csv(path, ()) for path in tables}
    for path in tables:
        for number, row in enumerate(rows[path.stem], start=1):
            if None in row or None in row.values():
                raise HistoBenchError(f"{path}: row {number} has more or fewer cells than the header; correct it there")
    models = yaml.safe_load(architectures.read_text(encoding="utf-8")) if architectures else {}
    return Paper(
        rows,
        official_census(),
        {name: model["config"] for name, model in models.items()},
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
