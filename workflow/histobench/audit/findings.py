"""What an audit found, in the form that terminal, audit.json and page share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Cell = str | int | float | None
"""A cell of a table; None where there is no value. Shares are numbers from 0 to 1."""


@dataclass(frozen=True)
class Table:
    """A table of findings."""

    name: str
    """Lower case and hyphens, unique in an audit: its key in audit.json."""
    caption: str
    """What a row is, what the columns mean, and their units; plain text."""
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    formats: Mapping[str, str] = field(default_factory=dict)
    """Column -> format specification of its numbers, such as `.1%` or `.3f`."""


@dataclass(frozen=True)
class Section:
    """A part of an audit: one split, one set of predictions, or one printed table."""

    title: str
    sentences: Sequence[str]
    """The findings in plain sentences, the most important first. What is certain is told from what is a strict reading."""
    tables: Sequence[Table] = ()
    figures: Sequence[tuple[str, str]] = ()
    """Caption and SVG text of each figure."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What audit.json has beside the sentences and tables; JSON values."""
    warnings: Sequence[str] = ()
    """What was guessed about the files, or ignored in them."""
    is_part: bool = False
    """Whether it is of one fold, below a section of all: the terminal shows its sentences alone."""


def percent(share: float) -> str:
    """Return a share of 1 as `12.3 %`."""
    return f"{100 * share:.1f} %"
