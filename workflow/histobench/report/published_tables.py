"""A study's own tables beside the published ones."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

from histobench.io.files import read_csv
from histobench.report.render import Table
from histobench.report.terms import ABSENT, Texts, head, minus, printed
from histobench.study import paper
from histobench.study.resolved import Study

COMPARED = "Cells read: reproduced / published (reproduced minus published); a dash marks what one side lacks."


def read(path: Path | None, table: int, study: Study) -> list[Texts]:
    """Return the rows of a published table that belong beside a study; none without a file."""
    return paper.published(read_csv(path, ()), table, study) if path else []


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
) -> Table:
    """Return the companion of a table: each quantity as reproduced, as published, and the difference.

    The CSV has one row per key and quantity. In print a row is one key, and a cell `reproduced / published
    (difference)`, without standard deviations; a table of a single quantity gets a column for each instead. What one side
    lacks is empty in the CSV and a dash in print.

    The reproduced rows hold `keys`, which name a row, and `quantities` as printed, where an empty text is an absent value.
    The published ones may lack rows or columns.
    """
    known = {tuple(row.get(key) for key in keys): row for row in published}
    sides = ("reproduced", "published", "difference")
    columns = (*keys, "quantity", *sides)
    shown = [name for name in quantities if not name.endswith("_std")]
    rows, cells = [], []
    for row in reproduced:
        names = [row[key] for key in keys]
        values = []
        for quantity in quantities:
            ours, theirs = row[quantity], known.get(tuple(names), {}).get(quantity) or ""
            apart = difference(ours, theirs)
            rows.append(dict(zip(columns, (*names, quantity, ours, theirs, apart), strict=True)))
            ours, theirs, apart = ours or ABSENT, theirs or ABSENT, minus(apart)
            if len(quantities) == 1:
                values = [ours, theirs, apart or ABSENT]
            elif quantity in shown:
                values.append(f"{ours} / {theirs}" + (f" ({apart})" if apart else ""))
        cells.append((*map(printed, keys, names), *values))
    heads = sides if len(quantities) == 1 else [name.removesuffix("_p") for name in shown]
    return Table(
        title=f"{title} beside the published",
        caption=caption,
        columns=columns,
        rows=rows,
        header=tuple(map(head, (*keys, *heads))),
        cells=cells,
    )
