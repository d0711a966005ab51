"""The verdicts on claims, and the rule by which a study grades one.

A claim says that an effect lies in a region: above zero, at least 0.93, between two numbers, or at a printed number to
its last digit. A claim about many cases (every model, every magnification) is supported if every case is, which needs no
correction, and contradicted if there is a case whose interval is outside after widening for the number of cases
(Bonferroni), since among many intervals some miss by chance. A number printed with four decimals can therefore be
contradicted or stay undecided, but no study of 82 patients supports it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from histobench.claims.evidence import Estimate
from histobench.claims.table_cells import Unavailable

HOLDS, CONTRADICTED, NOT_CHECKABLE = "holds", "contradicted", "not checkable"
IMPOSSIBLE, IMPLAUSIBLE = "impossible", "implausible"
SUPPORTED, UNDECIDED, NOT_RUN, NOT_APPLICABLE = "supported", "undecided", "not run", "not applicable"
ON_PAPER = {
    HOLDS: "the published tables, or the data and models that they describe, agree with the claim",
    CONTRADICTED: "they disagree with it, by more than rounding",
    IMPOSSIBLE: "no data can give the printed numbers by the method that is named, or the method cannot be carried out as "
    "printed; this is proved exactly",
    IMPLAUSIBLE: "data could give the printed numbers, but this is very unlikely: the evidence names the probability, the "
    "studies or the other printed numbers that say so",
    NOT_CHECKABLE: "neither the tables nor the data and models can tell",
}
"""Verdict on the published tables -> its definition, as page and documentation have it."""
ON_STUDY = {
    SUPPORTED: "the 95 % interval of the effect is inside what is claimed, in every case that the claim is about",
    CONTRADICTED: "the interval is outside, in at least one case also when it is widened for the number of cases (Bonferroni)",
    UNDECIDED: "the claim is neither supported nor contradicted",
    NOT_RUN: "the study lacks an arm that is the paper's, a file or an interval",
    NOT_APPLICABLE: "no study can test the claim",
}
"""Verdict on a study -> its definition."""


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
    """An effect, and the region that it is claimed to lie in."""

    name: str
    estimate: Callable[[], Estimate]
    """Raises :class:`Unavailable` where the study lacks what it needs."""
    low: float = 0.0
    high: float = math.inf


def holds(condition: bool, evidence: str) -> Verdict:
    """Return HOLDS if `condition`, else CONTRADICTED."""
    return Verdict(HOLDS if condition else CONTRADICTED, evidence)


def side(ends: tuple[float, float], low: float, high: float) -> int:
    """Return 1 where an interval is inside the region (ends included, except 0 as the lower end), -1 outside, else 0."""
    if ends[1] < low or ends[0] > high:
        return -1
    inside = ends[0] >= low and ends[1] <= high
    return int(inside and not (low == 0 and ends[0] == 0))


def grade(cases: Sequence[Case]) -> Verdict:
    """Return a study's verdict on a claim about some cases, by the rule of this module.

    A missing case leaves support open, but not contradiction.

    Raises:
        Unavailable: a case is missing, and no other one contradicts the claim.
    """
    known, missing = [], []
    for case in cases:
        try:
            estimate = case.estimate()
        except Unavailable as error:
            missing.append(str(error))
            continue
        low, high = estimate.ends(1)
        place = side((low, high), case.low, case.high)
        margin = -max(case.low - high, low - case.high) if place < 0 else min(low - case.low, case.high - high)
        spared = side(estimate.ends(len(cases)), case.low, case.high) != -1
        known.append((spared, place, margin, case.name, estimate))
    contradicting = sum(not spared for spared, *_ in known)
    if missing and not contradicting:
        part = f"{len(missing)} of {len(cases)} cases: " if len(cases) > 1 else ""
        raise Unavailable(f"{part}{missing[0]}")
    inside, outside = (sum(place == wanted for _, place, *_ in known) for wanted in (1, -1))
    verdict = CONTRADICTED if contradicting else SUPPORTED if inside == len(cases) else UNDECIDED
    *_, name, estimate = min(known, key=lambda case: case[:3])  # the case that speaks most against the claim
    text = name
    if len(cases) > 1:
        text = f"of {len(known)} intervals {inside} are inside the claim and {outside} outside"
        widened = f", {contradicting} also when widened for {len(cases)} cases; farthest outside: {name}"
        text += widened if outside else f"; closest: {name}"
    return Verdict(verdict, f"{text}{f' ({estimate.basis})' if estimate.basis else ''}.", estimate)
