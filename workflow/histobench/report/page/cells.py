"""CSV tables as the page shows them: each value knows the CSV cell that it was read from."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from string import Formatter

from histobench.io.files import read_csv
from histobench.report.terms import ABSENT, head, printed

FINE = re.compile(r"[+-]?\d+\.\d{5,}(e[+-]?\d+)?", re.IGNORECASE)
"""A number with more than four decimals."""
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
    file: str | None = None
    """Path of the CSV as seen from the page; None inside a table of that file."""
    negated: bool = False
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
    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, str]]
    fine: frozenset[str]
    """Columns with numbers of more than four decimals; all their numbers are shown with four."""

    @classmethod
    def read(cls, path: Path, folder: Path) -> "Source":
        """Return the CSV at `path` for a page in `folder`.

        Raises:
            HistoBenchError: the file is missing.
        """
        rows = read_csv(path, ())
        with Path(path).open(encoding="utf-8") as file:
            columns = tuple(file.readline().rstrip("\n").split(","))
        fine = frozenset(name for name in columns if any(FINE.fullmatch(row[name] or "") for row in rows))
        return cls(Path(path), Path(os.path.relpath(path, folder)).as_posix(), columns, rows, fine)


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
    digits = text.lstrip("+-")
    if SHORT.fullmatch(text):
        shown = _scientific(text.lower().lstrip("+"))
    elif "e" not in digits.lower() and len(digits.partition(".")[2]) <= 4:
        shown = f"{value:,.4f}" if fine and "." in digits else f"{value:,}"
    elif 0 < abs(value) < Decimal("0.00005"):
        shown = _scientific(f"{float(value):.1e}")
    elif abs(value) >= 1000:
        shown = f"{value:,.0f}"
    else:
        shown = f"{value:.4f}"
    sign = "+" if text.startswith("+") else ""
    return sign + shown.replace("-", "−")


def _scientific(text: str) -> str:
    """Return a number in scientific notation without zeros before its exponent."""
    mantissa, _, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}"


def shown(column: str, text: str, names: Mapping[str, str], fine: bool = False) -> str:
    """Return how the text of a CSV cell is shown; `fine` as for :func:`number`."""
    if column == "model":
        return names.get(text, text)
    model, _, mode = text.rpartition("/")
    if column in ("first", "second") and model in names:
        return f"{names.get(model, model)} {printed('mode', mode)}"
    if column == "metric":
        return head(text)
    if column in ("mode", "magnification") or (column == "selection" and text in ("last", "best_epoch")):
        return printed(column, text)
    return number(text, fine) or text


def value_of(source: Source, row: int, column: str, names: Mapping[str, str], *, away: bool = False) -> Value:
    """Return the value of a CSV cell; `away` if it is shown outside a table of its file."""
    value = source.rows[row][column] or ""
    return Value(shown(column, value, names, column in source.fine), value, column, row, source.link if away else None)


def negated(cell: Value) -> Value:
    """Return a number with the opposite sign."""
    text = cell.text[1:] if cell.text[:1] in "−+" else cell.text
    sign = "−" if cell.text[:1] not in "−" and float(cell.value) else ""
    return Value(sign + text, cell.value, cell.column, cell.row, cell.file, not cell.negated)


def fill(template: str, source: Source, row: int, names: Mapping[str, str], *, away: bool = False) -> list[Value | str]:
    """Return the template with its fields filled in; it ends before the first field that is empty."""
    parts: list[Value | str] = []
    for literal, name, _, _ in Formatter().parse(template):
        if name is None:
            parts.append(literal)
            continue
        if name not in source.columns or not source.rows[row][name]:
            return parts if any(isinstance(part, Value) for part in parts) else [ABSENT]
        if literal:
            parts.append(literal)
        parts.append(value_of(source, row, name, names, away=away))
    return parts


def _cell(column: Column, source: Source, row: int, names: Mapping[str, str]) -> Cell:
    further = [fill(template, source, row, names) for template in column.more]
    filled = [part for cell in further if cell != [ABSENT] for part in (" ", *cell)]
    return [*fill(column.template, source, row, names), *filled]


def columns_of(source: Source, hidden: Sequence[str] = ()) -> list[Column]:
    """Return the columns of a CSV; a mean and its deviation are one column, as are an estimate and its interval."""
    found, done = [], set(hidden)
    for name, following in zip(source.columns, (*source.columns[1:], ""), strict=True):
        if name in done:
            continue
        mean, estimate = name.removesuffix("_mean"), name.removesuffix("_estimate")
        template, parts = f"{{{name}}}", []
        if name.endswith("_mean") and f"{mean}_std" in source.columns:
            template, parts = f"{{{name}}} ± {{{mean}_std}}", [f"{mean}_std"]
        elif name.endswith("_estimate") and f"{estimate}_high" in source.columns:
            template = f"{{{name}}} [{{{estimate}_low}}, {{{estimate}_high}}]"
            parts = [f"{estimate}_low", f"{estimate}_high"]
        elif following == "low" and "high" in source.columns:
            template, parts = f"{{{name}}} [{{low}}, {{high}}]", ["low", "high"]
        done |= set(parts)
        found.append(Column(head(name), template))
    return found


def view(
    source: Source,
    title: str,
    caption: str,
    names: Mapping[str, str],
    columns: Sequence[Column] | None = None,
    rows: Sequence[int] | None = None,
    fold: Sequence[str] = (),
) -> View:
    """Return rows of a CSV as a table of the page.

    Args:
        source: the CSV.
        title: title of the table.
        caption: text below the title.
        names: names of the models in print.
        columns: the columns that are shown; every column of the CSV by default.
        rows: numbers of the rows that are shown, in order; all by default.
        fold: columns that are shown once above the table if they are equal in all rows.
    """
    chosen = range(len(source.rows)) if rows is None else rows
    constant = [
        name
        for name in fold
        if name in source.columns and len(chosen) > 1 and len({source.rows[row][name] for row in chosen}) == 1
    ]
    shared = [(head(one), value_of(source, chosen[0], one, names)) for one in constant if source.rows[chosen[0]][one]]
    shows = [column for column in columns or columns_of(source) if column.template[1:-1] not in constant]
    lines = [Row([_cell(column, source, row, names) for column in shows], row) for row in chosen]
    return View(
        identity=re.sub(r"[^a-z0-9]+", "-", f"{Path(source.link).stem} {title}".lower()).strip("-"),
        title=title,
        caption=caption,
        link=source.link,
        heads=[column.head for column in shows],
        kinds=[column.kind or _kind([line.cells[place] for line in lines]) for place, column in enumerate(shows)],
        rows=lines,
        shared=shared,
    )


def beside(source: Source, title: str, caption: str, names: Mapping[str, str]) -> View:
    """Return a table of reproduced and published values: one column per quantity, `reproduced / published (difference)`.

    A table with a single quantity has one column for each of the three. Standard deviations are left out.
    """
    keys = source.columns[: source.columns.index("quantity")]
    quantities = dict.fromkeys(row["quantity"] for row in source.rows)
    if len(quantities) == 1:
        columns = [Column(head(name), f"{{{name}}}", "" if name in keys else "text") for name in source.columns]
        return view(source, title, caption, names, [column for column in columns if column.head != head("quantity")])
    quantities = [name for name in quantities if not name.endswith("_std")]
    places: dict[tuple[str, ...], dict[str, int]] = {}
    for index, row in enumerate(source.rows):
        places.setdefault(tuple(row[key] for key in keys), {})[row["quantity"]] = index
    lines = []
    for indices in places.values():
        first = next(iter(indices.values()))
        keyed: list[Cell] = [[value_of(source, first, key, names)] for key in keys]
        values = [_three(source, indices[name], names) if name in indices else [ABSENT] for name in quantities]
        lines.append(Row([*keyed, *values], None))
    heads = [*(head(key) for key in keys), *(head(name) for name in quantities)]
    kinds = [_kind([line.cells[place] for line in lines]) for place in range(len(heads))]
    return View(source.path.stem, title, caption, source.link, heads, kinds, lines)


def _three(source: Source, row: int, names: Mapping[str, str]) -> Cell:
    ours, theirs, apart = (value_of(source, row, name, names) for name in ("reproduced", "published", "difference"))
    if not ours.value and not theirs.value:
        return [ABSENT]
    cell = [ours if ours.value else ABSENT, " / ", theirs if theirs.value else ABSENT]
    return [*cell, " (", apart, ")"] if apart.value else cell


def _kind(cells: Sequence[Cell]) -> str:
    """Return `number` if every filled cell starts with a number, `text` if some are long, else `name`."""
    values = [cell[0] for cell in cells if cell and isinstance(cell[0], Value)]
    if values and all(number(value.value) is not None for value in values):
        return "number"
    return "text" if any(len(value.text) > 48 for value in values) else "name"
