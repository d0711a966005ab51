"""Numbers and tables for a terminal."""

import textwrap
from collections.abc import Sequence

WIDTH = 100


def columns(header: Sequence[str], rows: Sequence[Sequence[str]], left: int, totals: int = 0) -> list[str]:
    """Return a table with a line under its header.

    Args:
        header: name of each column.
        rows: its cells.
        left: how many of the first columns are flush left; the others are flush right.
        totals: how many of the last rows have a line above them.
    """
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    rule = "  ".join("-" * width for width in widths)
    body = [line(row) for row in rows]
    if totals:
        body.insert(len(body) - totals, rule)
    return [line(header), rule, *body]


def amount(size: float) -> str:
    """Return bytes for a reader: `4.0 GB`, `12 MB`."""
    for unit, bytes_each in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= bytes_each:
            number = size / bytes_each
            return f"{number:.1f} {unit}" if number < 9.95 else f"{number:,.0f} {unit}"
    return "< 1 MB" if size else "0 MB"


def duration(seconds: float | None) -> str:
    """Return a time for a reader: `40 s`, `12 min`, `3.4 h`, `12 days`; `?` where it is not known."""
    if seconds is None:
        return "?"
    for unit, length in (("days", 86400 * 1.5), ("h", 3600), ("min", 90)):
        if seconds >= length:
            number = seconds / {"days": 86400, "h": 3600, "min": 60}[unit]
            return f"{number:.1f} {unit}" if number < 9.95 else f"{number:,.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else "< 1 s"


def speed(operations: float) -> str:
    """Return operations per second for a reader: `989 TFLOP/s`, `21 GFLOP/s`."""
    return f"{operations / 1e12:.3g} TFLOP/s" if operations >= 1e12 else f"{operations / 1e9:.3g} GFLOP/s"


def wrapped(text: str, indent: str = "") -> list[str]:
    """Return a text in lines of at most `WIDTH`; those after the first begin with `indent`."""
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
