"""The verdicts on claims, and the rule by which a study grades one.

A claim says that an effect lies in a region: above zero, at least 0.93, between two numbers, or at a printed number to
its last digit. A study *supports* it if the 95 % interval of the effect lies wholly inside the region, *contradicts* it
if wholly outside, else the claim is *undecided*. A claim about many cases (every model, every magnification) is supported
if every case is, which needs no correction, and contradicted if there is a case whose interval is outside after widening
for the number of cases (Bonferroni), since among many intervals some miss by chance. A number printed with four decimals
can therefore be contradicted or stay undecided, but no study of 82 patients supports it. *Not run*: the study lacks a
file, an arm or an interval that the claim needs. *Not applicable*: no study can test such a claim.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from histobench.claims.evidence import Estimate, Results
from histobench.claims.table_cells import Terms, Unavailable

HOLDS, CONTRADICTED, NOT_CHECKABLE = "holds", "contradicted", "not checkable"
"""On the published tables; CONTRADICTED also on a study."""
INCONSISTENT = "inconsistent"
"""No data can give the printed numbers: they contradict each other, or the method that they are said to come from."""
SUPPORTED, UNDECIDED, NOT_RUN, NOT_APPLICABLE = "supported", "undecided", "not run", "not applicable"
"""On a study."""


@dataclass(frozen=True)
class Verdict:
    """What the published tables, or a study, say about a claim."""

    verdict: str
    evidence: str
    """One sentence with the numbers."""
    estimate: Estimate | None = None
    """Of a study: the case that decides, or that is nearest to deciding."""


@dataclass(frozen=True)
class Case:
    """A weighted sum of cells, and the region that it is claimed to lie in."""

    name: str
    terms: Terms
    low: float = 0.0
    high: float = math.inf


def holds(condition: bool, evidence: str) -> Verdict:
    """Return HOLDS if `condition`, else CONTRADICTED."""
    return Verdict(HOLDS if condition else CONTRADICTED, evidence)


def side(estimate: Estimate, low: float, high: float) -> int:
    """Return 1 where the interval is inside the region (ends included, except 0 as the lower end), -1 outside, else 0."""
    if estimate.high < low or estimate.low > high:
        return -1
    inside = estimate.low >= low and estimate.high <= high
    return int(inside and not (low == 0 and estimate.low == 0))


def verdict_of(estimate: Estimate, low: float, high: float) -> str:
    """Return the verdict on a claim about a single interval."""
    return {1: SUPPORTED, 0: UNDECIDED, -1: CONTRADICTED}[side(estimate, low, high)]


def grade(study: Results, cases: Sequence[Case]) -> Verdict:
    """Return a study's verdict on a claim about some cases, by the rule of this module.

    A missing case leaves support open, but not contradiction.

    Raises:
        Unavailable: a case is missing, and no other one contradicts the claim.
    """
    known, missing = [], []
    for case in cases:
        try:
            estimate = study.estimate(case.terms)
        except Unavailable as error:
            missing.append(str(error))
            continue
        widened = estimate.widened(len(cases)) if len(cases) > 1 else estimate
        place = side(estimate, case.low, case.high)
        if place < 0:
            margin = -max(case.low - estimate.high, estimate.low - case.high)
        else:
            margin = min(estimate.low - case.low, case.high - estimate.high)
        known.append((side(widened, case.low, case.high) != -1, place, margin, case.name, estimate))
    contradicting = sum(not spared for spared, *_ in known)
    if missing and not contradicting:
        part = f"{len(missing)} of {len(cases)} cases: " if len(cases) > 1 else ""
        raise Unavailable(f"{part}{missing[0]}")
    inside, outside = (sum(place == wanted for _, place, *_ in known) for wanted in (1, -1))
    verdict = CONTRADICTED if contradicting else SUPPORTED if inside == len(cases) else UNDECIDED
    *_, name, estimate = min(known, key=lambda case: case[:3])  # the case that speaks most against the claim
    if len(cases) == 1:
        return Verdict(verdict, f"{name}.", estimate)
    text = f"of {len(known)} intervals {inside} are inside the claim and {outside} outside"
    if outside:
        text += f", {contradicting} also when widened for {len(cases)} cases; farthest outside: {name}."
    else:
        text += f"; closest: {name}."
    return Verdict(verdict, text, estimate)
