"""Cells of published tables, weighted sums of them, and how both are written in evidence."""

import itertools
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from histobench.study.resolved import printed_mode

_ADDRESS = re.compile(r"([\w-]+) ([^/]+?)(?:/(\S+))?(?: (\d+)x)? (\w+)")

Bound = str | None
"""A number as printed, or None."""


class Unavailable(Exception):
    """The paper or the study lacks what a claim needs; the message is a clause without a full stop."""


@dataclass(frozen=True)
class Cell:
    """A score of one arm, in one of the paper's tables."""

    table: str
    """Name of the table's file, for example `table4`."""
    model: str
    """Name in print, which is the model's `label` in the configuration."""
    mode: str
    """Empty where the table has no column `mode`."""
    magnification: str
    """Of the images trained and tested on, for example `200`; empty where the row has none."""
    metric: str
    """Beginning of the names of its columns, `METRIC_mean` and `METRIC_std`, or the name of its only column."""

    @classmethod
    def parse(cls, address: str) -> "Cell":
        """Return the cell of an address such as `table4 SmolVLM/ft 200x accuracy` or `table2 VGG19 parameters_millions`.

        Raises:
            ValueError: it is not of that form.
        """
        match = _ADDRESS.fullmatch(address)
        if not match:
            raise ValueError(
                f"{address!r} is no cell; write `TABLE MODEL/MODE 200x SCORE`, without what the table's rows lack"
            )
        table, model, mode, magnification, metric = match.groups()
        return cls(table, model, mode or "", magnification or "", metric)

    @property
    def arm(self) -> str:
        """Return the name of the arm in print, for example `SmolVLM FT`."""
        return arm_name(f"{self.model}/{self.mode}" if self.mode else self.model)

    @property
    def setting(self) -> str:
        """Return metric, magnification and table, for example `accuracy, 200X, Table 4`."""
        scale = f"{self.magnification}X, " if self.magnification else ""
        return f"{self.metric}, {scale}{table_title(self.table)}"


Row = Mapping[str, str]
"""A row of a table: column -> text."""
Terms = Mapping[Cell, Fraction]
"""A weighted sum of cells: cell -> weight."""
Each = Mapping[str, Sequence] | None
"""Name -> values that replace `{name}` in the addresses of cells; every combination is one case."""


def cases(terms: Mapping[str, Any], each: Each = None) -> Iterator[Terms]:
    """Yield a weighted sum of cells for every combination of the values in `each`.

    Args:
        terms: cell address -> weight (a number or a text such as `1/3`); an address may hold `{name}`.
        each: name -> the values that replace `{name}`.

    Raises:
        ValueError: an address is no cell, a name has no values, or two terms are the same cell.
    """
    each = each or {}
    for values in itertools.product(*each.values()):
        names = dict(zip(each, values, strict=True))
        try:
            filled = {Cell.parse(address.format_map(names)): Fraction(weight) for address, weight in terms.items()}
        except KeyError as error:
            raise ValueError(f"`each` gives no values for {{{error.args[0]}}}") from None
        if len(filled) < len(terms):
            raise ValueError("two terms are the same cell")
        yield filled


def describe(terms: Terms) -> str:
    """Return a weighted sum in words, for example `ResNet34 FT over SmolVLM FT (accuracy, 200X, Table 4)`."""
    if len(terms) > 4:
        sizes = dict.fromkeys(f"{cell.magnification}X" for cell in terms if cell.magnification)
        return f"a sum of {len(terms)} cells at {', '.join(sizes)}"
    settings = {cell.setting for cell in terms}
    setting = f" ({settings.pop()})" if len(settings) == 1 else ""
    added, subtracted = (
        " and ".join(
            cell.arm if setting else f"{cell.arm} ({cell.setting})"
            for cell, weight in terms.items()
            if sign * weight > 0
        )
        for sign in (1, -1)
    )
    return f"{added} over {subtracted}{setting}" if subtracted else f"{added}{setting}"


def arm_name(arm: str) -> str:
    """Return the name in print of an arm that a claim calls `MODEL/MODE`, or `MODEL` where there are no modes."""
    model, _, mode = arm.partition("/")
    return f"{model} {printed_mode(mode)}" if mode else model


def table_title(table: str) -> str:
    """Return the name of a table in a sentence: `Table 4` for `table4`."""
    return re.sub(r"^table(?=\d)", "table ", table).replace("-", " ").capitalize()


def decimals(value: Fraction | float, digits: int = 4) -> str:
    """Return a number with a fixed number of decimals."""
    return f"{float(value):.{digits}f}"


def span(values: Collection[Fraction], digits: int = 4) -> str:
    """Return the smallest and the largest of some numbers, for example `0.0100 to 0.0210`."""
    return f"{decimals(min(values), digits)} to {decimals(max(values), digits)}"


def places(text: str) -> int:
    """Return the number of decimals of a printed number."""
    return len(text.partition(".")[2])


def rounding(text: str) -> Fraction:
    """Return half a unit of the last digit of a printed number: 1/200 for `2.25`."""
    return Fraction(1, 2 * 10 ** places(text))


def bounds(low: Bound, high: Bound) -> tuple[Fraction | float, Fraction | float]:
    """Return two printed numbers, infinite where there is none."""
    return (-math.inf if low is None else Fraction(low)), (math.inf if high is None else Fraction(high))
