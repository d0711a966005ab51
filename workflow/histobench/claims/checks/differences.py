"""Claims that one score, or one sum of scores, is higher than another."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from histobench.claims.evidence import Results
from histobench.claims.published import Paper
from histobench.claims.table_cells import Each, Terms, Unavailable, cases, decimals, describe, rounding
from histobench.claims.verdicts import Case, Verdict, grade, holds


def exceeds(paper: Paper, terms: Mapping[str, Any], each: Each = None) -> Verdict:
    """Return whether a weighted sum of cells is above zero in every case; arguments as for :func:`cases`.

    Rounding can move a printed mean by half a unit of its last digit, and a sum by as many of these as its weights add up
    to. A sum that is no further from zero says nothing.

    Raises:
        Unavailable: rounding decides.
    """
    found = [
        (
            sum(weight * paper.value(cell) for cell, weight in case.items()),
            sum(abs(weight) * rounding(paper.text(cell)) for cell, weight in case.items()),
            case,
        )
        for case in cases(terms, each)
    ]
    value, most, case = min(found, key=lambda item: item[0])
    failing, open_ = (
        sum(value <= -most for value, most, _ in found),
        sum(-most < value <= most for value, most, _ in found),
    )
    of = f"of {len(found)} differences"
    digits = paper.digits(case)
    number = f"{float(value):+.{digits}f}".replace("-", "−")
    shown = f"{number}: {_with_numbers(case, paper)}"
    beyond = f"rounding accounts for {decimals(most, digits)} at most"
    if failing:
        are = "is" if failing == 1 else "are"
        count = f"{failing} {of} {are} not above 0, the lowest" if len(found) > 1 else "it is"
        return holds(False, f"{count} {shown}; {beyond}.")
    if open_:
        raise Unavailable(f"{open_} {of} cannot be told from 0, the lowest {shown}; {beyond}")
    count = f"all {len(found)} differences are above 0, the smallest" if len(found) > 1 else "the difference is"
    return holds(True, f"{count} {shown}.")


def exceeds_in_study(study: Results, terms: Mapping[str, Any], each: Each = None) -> Verdict:
    """Return whether the interval of the sum is above zero in every case."""
    return grade([Case(describe(case), partial(study.estimate, case)) for case in cases(terms, each)])


def _with_numbers(terms: Terms, paper: Paper) -> str:
    """Return a weighted sum with its printed numbers; one of more than four cells without them."""
    if len(terms) > 4:
        return describe(terms)
    printed = {cell: paper.text(cell) for cell in terms}
    if len(terms) > 2:
        parts = (f"{'+' if weight > 0 else '−'} {printed[cell]}" for cell, weight in terms.items())
        return f"{' '.join(parts).removeprefix('+ ')}, {describe(terms)}"
    first, second = sorted(terms, key=terms.__getitem__, reverse=True)
    if first.setting == second.setting:
        return f"{first.arm} {printed[first]} against {second.arm} {printed[second]} ({first.setting})"
    other = "" if first.arm == second.arm else f"{second.arm} "
    return f"{first.arm} {printed[first]} ({first.setting}) against {other}{printed[second]} ({second.setting})"
