"""CSV tables as the page shows them: each value knows the CSV cell that it was read from."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from string import Formatter

from histobench.io.files import read_csv
from histobench.report.terms import ABSENT, NO_INTERVAL, SELECTIONS, head, minus, printed

FINE = re.compile(r"[+-]?\d+\.\d{5,}(e[+-]?\d+)?", re.IGNORECASE)
"""A number with more than four decimals."""
ENDS = re.compile(r"\[\{(\w+)\}, \{(\w+)\}\]")
"""An interval in a template."""
SHORT = re.compile(r"[+-]?\d(\.\d)?e[+-]?\d+", re.IGNORECASE)
"""A number in scientific notation with at most two digits."""


@dataclass(frozen=True)
class Value:
    """A value on the page and the CSV cell that it was read from."""

    text: str
    """As shown on the page."""
    value: str
    """As written in the CSV."""
    column: str
    row: int
    """Row of the CSV, counted from 0 after the header."""
    file: str | None
    """Path of the CSV as seen from the page; None inside a table of that file."""
    negated: bool
    """Whether it is shown with the opposite sign."""


@dataclass(frozen=True)
class RowCount:
    """The number of rows of a CSV with some text in a column, or the sum of a column."""

    text: str
    file: str
    column: str
    equals: str | None
    """The text of the rows that are counted; None for the sum of the column."""


Cell = Sequence[Value | RowCount | str]


@dataclass(frozen=True)
class Source:
    """A CSV file with its rows as texts."""

    path: Path
    link: str
    """Path of the file as seen from the page."""
    names: Mapping[str, str]
    """Names of the models in print."""
    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, str]]
    fine: frozenset[str]
    """Columns with numbers of more than four decimals; all their numbers are shown with four."""

    @classmethod
    def read(cls, path: Path, folder: Path, names: Mapping[str, str]) -> "Source":
        """Return the CSV at `path` for a page in `folder`.

        Raises:
            HistoBenchError: the file is missing.
        """
        rows = read_csv(path, ())
        with Path(path).open(encoding="utf-8") as file:
            columns = tuple(file.readline().rstrip("\n").split(","))
        fine = frozenset(name for name in columns if any(FINE.fullmatch(row[name] or "") for row in rows))
        return cls(Path(path), Path(os.path.relpath(path, folder)).as_posix(), names, columns, rows, fine)

    def value(self, row: int, column: str, *, away: bool = False, negate: bool = False) -> Value:
        """Return the value of a CSV cell: `away` if it is shown outside a table of its file, `negate` for the opposite sign."""
        value = self.rows[row][column] or ""
        text = shown(column, value, self.names, column in self.fine)
        if negate:
            text = text[1:] if text.startswith("−") else ("−" if float(value) else "") + text.removeprefix("+")
        return Value(text, value, column, row, self.link if away else None, negate)

    def fill(self, template: str, row: int, *, away: bool = False, negate: bool = False) -> list[Value | str]:
        """Return the template with its fields filled in; it ends before the first field that is empty.

        An interval that is a single value is left out, and it is said that there is none unless it is all of the template.
        """
        if (
            (ends := ENDS.search(template))
            and ends[0] != template
            and len({self.rows[row].get(name) for name in ends.groups()}) == 1
        ):
            template = template.replace(ends[0], NO_INTERVAL)
        parts: list[Value | str] = []
        for literal, name, _, _ in Formatter().parse(template):
            if name is None:
                parts.append(literal)
                continue
            if not self.rows[row].get(name):
                return parts if any(isinstance(part, Value) for part in parts) else [ABSENT]
            parts += [literal] if literal else []
            parts.append(self.value(row, name, away=away, negate=negate))
        return parts


@dataclass(frozen=True)
class Column:
    """A column of a table on the page: its head, and a template whose fields are columns of the CSV."""

    head: str
    template: str
    kind: str = ""
    """`text` for prose that may wrap, `verdict` for a badge; empty to decide by the values of the column."""
    more: Sequence[str] = ()
    """Further templates for the same cell; those whose fields are empty are left out."""


@dataclass(frozen=True)
class Row:
    cells: Sequence[Cell]
    index: int | None
    """The CSV row of all its values; None where they come from several."""


@dataclass
class View:
    """A table on the page."""

    identity: str
    title: str
    caption: str
    link: str
    heads: Sequence[str]
    kinds: Sequence[str]
    """For each column `number`, `name`, `text`, `verdict`, `stack` (keeps line breaks) or `list` (of names)."""
    rows: Sequence[Row]
    shared: Sequence[tuple[str, Value]] = ()
    """Head and value of columns that are equal in all rows; they are shown once above the table."""
    best: set[tuple[int, str]] = field(default_factory=set)
    """(CSV row, column) of the values in bold."""
    companions: Sequence["View"] = ()
    """Tables that are folded away below it."""
    cards: bool = False
    """Whether each row is a card of its own on a phone."""


def number(text: str, fine: bool = False) -> str | None:
    """Return how a number is shown, or None if `text` is no number.

    Numbers with up to four decimals are shown as they are. Others are rounded to four, or to two significant digits
    below 0.00005. With `fine`, decimal numbers have at least four.
    """
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    if not value.is_finite():
        return None
    digits = text.lower().lstrip("+-")
    if SHORT.fullmatch(text):
        shown = text.lower().lstrip("+")
    elif "e" not in digits and len(digits.partition(".")[2]) <= 4:
        shown = f"{value:,.4f}" if fine and "." in digits else f"{value:,}"
    elif 0 < abs(value) < Decimal("0.00005"):
        shown = f"{value:.1e}"
    else:
        shown = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4f}"
    shown = re.sub(r"e\+?(-?)0*(?=\d)", r"e\1", shown)
    return ("+" if text.startswith("+") else "") + minus(shown)


def shown(column: str, text: str, names: Mapping[str, str], fine: bool = False) -> str:
    """Return how the text of a CSV cell is shown; `fine` as for :func:`number`."""
    if column == "model":
        return names.get(text, text)
    model, _, mode = text.rpartition("/")
    if column in ("first", "second") and model in names:
        return f"{names[model]} {printed('mode', mode)}"
    if column == "metric":
        return head(text)
    if column in ("mode", "magnification") or (column == "selection" and text in SELECTIONS):
        return printed(column, text)
    return number(text, fine) or text


def plain(*names: str) -> list[Column]:
    """Return a column for each column of a CSV, under its name in print."""
    return [Column(head(name), f"{{{name}}}") for name in names]


def columns_of(source: Source) -> list[Column]:
    """Return the columns of a CSV; a mean and its deviation are one column, as are an estimate and its interval."""
    found: list[Column] = []
    names = list(source.columns)
    while names:
        name = names.pop(0)
        stem = name.removesuffix("_mean").removesuffix("_estimate")
        template, parts = f"{{{name}}}", []
        if names[:1] == [f"{stem}_std"]:
            template, parts = f"{{{name}}} ± {{{stem}_std}}", names[:1]
        elif names[:2] in ([f"{stem}_low", f"{stem}_high"], ["low", "high"]):
            template, parts = f"{{{name}}} [{{{names[0]}}}, {{{names[1]}}}]", names[:2]
        del names[: len(parts)]
        found.append(Column(head(name), template))
    return found


def view(
    source: Source,
    title: str,
    caption: str,
    columns: Sequence[Column] | None = None,
    rows: Sequence[int] | None = None,
    fold: Sequence[str] = (),
) -> View:
    """Return rows of a CSV as a table of the page.

    All columns and rows (by number, in order) are shown unless others are given. Columns of `fold` that are equal in all
    rows are shown once above the table.
    """
    chosen = range(len(source.rows)) if rows is None else rows
    constant = [
        name
        for name in fold
        if name in source.columns and len(chosen) > 1 and len({source.rows[row][name] for row in chosen}) == 1
    ]
    shows = [column for column in columns or columns_of(source) if column.template[1:-1] not in constant]
    lines = [Row([_cell(column, source, row) for column in shows], row) for row in chosen]
    return View(
        re.sub(r"[^a-z0-9]+", "-", f"{source.path.stem} {title}".lower()).strip("-"),
        title,
        caption,
        source.link,
        [column.head for column in shows],
        [column.kind or kind for column, kind in zip(shows, _kinds(lines, len(shows)), strict=True)],
        lines,
        [(head(one), source.value(chosen[0], one)) for one in constant if source.rows[chosen[0]][one]],
    )


def pivot(
    source: Source,
    title: str,
    caption: str,
    rows: Sequence[int],
    keys: Sequence[str],
    by: str,
    cell: Callable[[int], Cell],
) -> View:
    """Return a table with a row for each combination of texts in the columns `keys`, and a column for each text in `by`.

    `rows` are numbers of rows of the CSV, of each of which `cell` makes a cell.
    """
    places: dict[tuple[str, ...], dict[str, int]] = {}
    for index in rows:
        row = source.rows[index]
        places.setdefault(tuple(row[key] for key in keys), {})[row[by]] = index
    names = list(dict.fromkeys(source.rows[index][by] for index in rows))
    lines = []
    for found in places.values():
        named: list[Cell] = [[source.value(next(iter(found.values())), key)] for key in keys]
        lines.append(Row([*named, *(cell(found[name]) if name in found else [ABSENT] for name in names)], None))
    heads = [head(name) for name in (*keys, *names)]
    return View(source.path.stem, title, caption, source.link, heads, _kinds(lines, len(heads)), lines)


def beside(source: Source, title: str, caption: str) -> View:
    """Return a table of reproduced and published values: one column per quantity, `reproduced / published (difference)`.

    A table with a single quantity has one column for each of the three. Standard deviations are left out.
    """
    keys = source.columns[: source.columns.index("quantity")]
    if len({row["quantity"] for row in source.rows}) == 1:
        sides = (Column(column.head, column.template, "text") for column in plain(*source.columns[len(keys) + 1 :]))
        return view(source, title, caption, [*plain(*keys), *sides])

    def three(row: int) -> Cell:
        ours, theirs, apart = (source.value(row, name) for name in ("reproduced", "published", "difference"))
        if not ours.value and not theirs.value:
            return [ABSENT]
        cell = [ours if ours.value else ABSENT, " / ", theirs if theirs.value else ABSENT]
        return [*cell, " (", apart, ")"] if apart.value else cell

    rows = [index for index, row in enumerate(source.rows) if not row["quantity"].endswith("_std")]
    return pivot(source, title, caption, rows, keys, "quantity", three)


def _cell(column: Column, source: Source, row: int) -> Cell:
    further = [source.fill(template, row) for template in column.more]
    filled = [part for cell in further if cell != [ABSENT] for part in (" ", *cell)]
    return [*source.fill(column.template, row), *filled]


def _kinds(lines: Sequence[Row], columns: int) -> list[str]:
    """Return for each column `number` if every filled cell starts with a number, `text` if some are long, else `name`."""
    kinds = []
    for place in range(columns):
        values = [part for line in lines for part in line.cells[place][:1] if isinstance(part, Value)]
        if values and all(number(value.value) is not None for value in values):
            kinds.append("number")
        else:
            kinds.append("text" if any(len(value.text) > 48 for value in values) else "name")
    return kinds
