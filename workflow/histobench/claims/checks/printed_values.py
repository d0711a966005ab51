"""Claims that scores have certain values. Numbers of the text are given as texts, so that they keep their last zeros."""

from collections.abc import Mapping
from fractions import Fraction
from functools import partial

from histobench.claims.evidence import Results
from histobench.claims.published import Paper
from histobench.claims.table_cells import Bound, Cell, Each, bounds, cases, describe, rounding, span, table_title
from histobench.claims.verdicts import CONTRADICTED, HOLDS, Case, Verdict, grade


def printed(paper: Paper, cells: Mapping[str, str]) -> Verdict:
    """Return whether numbers of the text are those of the tables: cell address -> number."""
    read = {Cell.parse(address): text for address, text in cells.items()}
    wrong = [cell for cell, text in read.items() if paper.value(cell) != Fraction(text)]
    if wrong:
        parts = (f"{read[cell]} in the text is {paper.text(cell)} in the table" for cell in wrong)
        return Verdict(CONTRADICTED, f"{', '.join(parts)} ({wrong[0].arm}, {wrong[0].setting}).")
    numbers = ", ".join(f"{cell.metric} {text}" for cell, text in read.items())
    return Verdict(HOLDS, f"the table prints the same: {numbers} ({', '.join(dict.fromkeys(c.arm for c in read))}).")


def printed_in_study(study: Results, cells: Mapping[str, str]) -> Verdict:
    """Return whether each interval includes its number, give or take half a unit of the last digit."""
    claimed = []
    for address, text in cells.items():
        terms, half = {Cell.parse(address): Fraction(1)}, float(rounding(text))
        name = f"{describe(terms)}, where {text} is claimed"
        claimed.append(Case(name, partial(study.estimate, terms), float(text) - half, float(text) + half))
    return grade(claimed)


def within(paper: Paper, cells: str, each: Each = None, at_least: Bound = None, at_most: Bound = None) -> Verdict:
    """Return whether every cell lies between two numbers, either of which may be absent.

    `cells` is a cell address, in which `{name}` is replaced by each of its values in `each`.
    """
    low, high = bounds(at_least, at_most)
    values = _values(paper, cells, each)
    outside = {cell: value for cell, value in values.items() if not low <= value <= high}
    shown = span(values.values(), paper.digits(values))
    if not outside:
        return Verdict(HOLDS, f"all {len(values)} values are {shown}.")
    worst = max(outside, key=lambda cell: max(low - outside[cell], outside[cell] - high))
    return Verdict(
        CONTRADICTED,
        f"{len(outside)} of {len(values)} values lie outside, as {paper.text(worst)} ({worst.arm}, "
        f"{worst.setting}); they are {shown}.",
    )


def within_in_study(
    study: Results, cells: str, each: Each = None, at_least: Bound = None, at_most: Bound = None
) -> Verdict:
    """Return whether the interval of every cell lies between the numbers."""
    low, high = map(float, bounds(at_least, at_most))
    one = f"at least {at_least}" if at_least else f"at most {at_most}"
    claimed = f"{at_least} to {at_most}" if at_least and at_most else one
    found = [(f"{describe(case)}, where {claimed} is claimed", case) for case in cases({cells: 1}, each)]
    return grade([Case(name, partial(study.estimate, case), low, high) for name, case in found])


def ranges(paper: Paper, cells: str, lowest: str, highest: str, each: Each) -> Verdict:
    """Return whether the smallest and the largest of some cells are two given numbers; `cells` as for :func:`within`."""
    values = _values(paper, cells, each)
    low, high = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    wrong = [
        f"the {word} is {paper.text(cell)} at {cell.magnification}X, not {text}"
        for word, cell, text in (("lowest", low, lowest), ("highest", high, highest))
        if values[cell] != Fraction(text)
    ]
    if wrong:
        return Verdict(CONTRADICTED, f"{' and '.join(wrong)} ({low.arm}, {low.metric}, {table_title(low.table)}).")
    return Verdict(HOLDS, f"{lowest} at {low.magnification}X to {highest} at {high.magnification}X.")


def ranges_in_study(study: Results, cells: str, lowest: str, highest: str, each: Each) -> Verdict:
    """Return whether the interval of every cell lies between the two numbers."""
    return within_in_study(study, cells, each, lowest, highest)


def _values(paper: Paper, cells: str, each: Each) -> dict[Cell, Fraction]:
    return {cell: paper.value(cell) for case in cases({cells: 1}, each) for cell in case}
