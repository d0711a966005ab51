"""The tables of the published comparison, and a study's own tables set beside them."""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

from histobench.io.errors import HistoBenchError
from histobench.io.files import read_csv
from histobench.report.render import Table
from histobench.report.terms import HEADS, Texts, printed

COMPARED = "Cells read: reproduced / published (reproduced minus published); a dash marks what one side lacks."
ABSENT = "–"


def load(path: Path) -> list[dict[str, str]]:
    """Read a published table; which columns and rows it has is its own business.

    Raises:
        HistoBenchError: the file is missing.
    """
    if not Path(path).is_file():
        raise HistoBenchError(f"{path}: no such file; restore it with `git checkout resources/paper`")
    return read_csv(path, ())


def difference(reproduced: str, published: str) -> str:
    """Return reproduced minus published as printed, `same` or `differs` for text, and nothing when one is absent.

    The difference is that of the two printed numbers, exactly, so that a reader who subtracts finds the same.
    """
    if not reproduced or not published:
        return ""
    try:
        value = Decimal(reproduced) - Decimal(published)
    except InvalidOperation:
        return "same" if reproduced == published else "differs"
    return f"{value:+f}" if value else f"{abs(value):f}"


def beside(
    title: str,
    reproduced: Sequence[Texts],
    published: Sequence[Texts],
    keys: Sequence[str],
    quantities: Sequence[str],
    caption: str,
    printed_as: Mapping[str, str] | None = None,
) -> Table:
    """Return the companion of a table: each quantity as reproduced, as published, and the difference.

    The CSV has one row per key and quantity. In print a row is one key, and a cell `reproduced / published
    (difference)`; a table of a single quantity gets a column for each instead. What one side lacks is empty in the CSV
    and a dash in print.

    Args:
        title: of the reproduced table.
        reproduced: rows that hold `keys` and `quantities`, as printed; an empty text is an absent value.
        published: rows that may lack rows or columns.
        keys: columns that name a row.
        quantities: columns to compare.
        caption: what follows the title.
        printed_as: the quantities shown in print, and the terms they are headed by; all, as themselves, by default.
    """
    terms = printed_as or {quantity: quantity for quantity in quantities}
    known = {tuple(row.get(key) for key in keys): row for row in published}
    rows, cells = [], []
    for row in reproduced:
        identity = {key: row[key] for key in keys}
        compared = {}
        for quantity in quantities:
            ours, theirs = row[quantity], known.get(tuple(identity.values()), {}).get(quantity) or ""
            compared[quantity] = {"reproduced": ours, "published": theirs, "difference": difference(ours, theirs)}
        rows += [identity | {"quantity": quantity} | values for quantity, values in compared.items()]
        names = [printed(key, text) for key, text in identity.items()]
        if len(quantities) == 1:
            cells.append((*names, *(_minus(text) or ABSENT for text in compared[quantities[0]].values())))
        else:
            cells.append((*names, *(_cell(**compared[quantity]) for quantity in terms)))
    sides = ("reproduced", "published", "difference")
    heads = map(str.capitalize, sides) if len(quantities) == 1 else (HEADS[term] for term in terms.values())
    return Table(
        title=f"{title} beside the published",
        caption=caption,
        columns=(*keys, "quantity", *sides),
        rows=rows,
        header=(*(HEADS[key] for key in keys), *heads),
        cells=cells,
    )


def _cell(reproduced: str, published: str, difference: str) -> str:
    text = f"{reproduced or ABSENT} / {published or ABSENT}"
    return f"{text} ({_minus(difference)})" if difference else text


def _minus(text: str) -> str:
    """Return `text` with a true minus sign for a leading hyphen."""
    return text.replace("-", "−", 1) if text.startswith("-") else text
