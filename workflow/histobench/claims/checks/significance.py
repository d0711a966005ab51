"""Claims about the p-values of Table 7, which compares arms at 200X by a signed-rank test on five folds."""

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial

from histobench.claims.evidence import Results
from histobench.claims.published import Paper
from histobench.claims.rank_tests import signed_rank_p_values, smallest_p_value
from histobench.claims.table_cells import Bound, Cell, Unavailable, decimals, describe, span
from histobench.claims.verdicts import CONTRADICTED, HOLDS, IMPLAUSIBLE, IMPOSSIBLE, Case, Verdict, grade

Pairs = Sequence[Sequence[str]]
FOLDS = 5
HALF = Fraction(1, 2000)
"""Half a unit of the last digit of a printed p-value."""


def significant(
    paper: Paper, pairs: Pairs, metrics: Sequence[str], below: Bound = None, at_most: Bound = None
) -> Verdict:
    """Return whether p-values are below a bound, and whether a signed-rank test could give them.

    Each pair is the arm said to be better, then the other, both `MODEL/MODE`. Either bound is given. A printed p-value may be
    off by half a unit of its last digit. What is below :func:`smallest_p_value` is impossible; what only an approximation
    gives is implausible, where Table 7 has others that none does.
    """
    values = [_p_value(paper, pair, metric) for pair in pairs for metric in metrics]
    bound = Fraction(below or at_most or 1)
    wrong = sum(value - HALF >= bound if below else value > bound for value in values)
    relation = f"below {below}" if below else f"at most {at_most}"
    if wrong:
        are = "is" if wrong == 1 else "are"
        text = f"{wrong} of {len(values)} printed p-values {are} not {relation} (largest {decimals(max(values), 3)})."
        return Verdict(CONTRADICTED, text)
    text = f"printed {span(values, 3) if len(values) > 1 else decimals(values[0], 3)}, {relation}"
    smallest = signed_rank_p_values(FOLDS)[0]
    if min(values) + HALF >= smallest:
        return Verdict(HOLDS, f"{text}.")
    lowest, none = smallest_p_value(FOLDS), _too_small(paper, FOLDS)
    text += (
        f", but the exact two-sided signed-rank test on {FOLDS} pairs has no p-value below {float(smallest):g}, the "
        f"one-sided none below {float(smallest / 2):g}, and a one-sided normal approximation none below {lowest:.4f}"
    )
    if float(min(values) + HALF) < lowest:
        return Verdict(IMPOSSIBLE, f"{text}.")
    return Verdict(
        IMPLAUSIBLE,
        f"{text}; only an approximation could give it, but {none} of the {len(_printed(paper))} p-values of Table 7 are below "
        "what any approximation gives.",
    )


def significant_in_study(
    study: Results, pairs: Pairs, metrics: Sequence[str], below: Bound = None, at_most: Bound = None
) -> Verdict:
    """Return whether the differences are above zero: their intervals are not limited by the test's smallest p-value."""
    differences = []
    for pair in pairs:
        for metric in metrics:
            better, worse = (Cell.parse(f"table4 {arm} 200x {metric}") for arm in pair)
            terms = {better: Fraction(1), worse: Fraction(-1)}
            differences.append(Case(describe(terms), partial(study.estimate, terms)))
    found = grade(differences)
    return replace(found, evidence=f"the differences, whatever their p-values: {found.evidence}")


def signed_rank(paper: Paper, pairs: int) -> Verdict:
    """Return whether the p-values can come from a Wilcoxon signed-rank test on `pairs` pairs.

    The exact p-values are those of :func:`signed_rank_p_values`; ties or zero differences only make them coarser. The
    normal approximation is smallest when all differences have one sign; its variance is n (n + 1) (2n + 1) / 24 without
    ties (Hollander, Wolfe and Chicken 2014, Nonparametric Statistical Methods, 3.1).
    """
    values, exact, n = _printed(paper), signed_rank_p_values(pairs), pairs
    step = Fraction(math.gcd(*(value.numerator * 2**n // value.denominator for value in exact)), 2**n)
    normal = math.erfc(n * (n + 1) / 4 / math.sqrt(n * (n + 1) * (2 * n + 1) / 12))
    attained = sum(any(abs(value - p) <= HALF for p in exact) for value in values)
    small = _too_small(paper, pairs)
    evidence = (
        f"{attained} of {len(values)} printed p-values ({span(values, 3)}) are attainable: on {n} pairs the exact two-sided p "
        f"is a multiple of {float(step):g}, the one-sided at least {float(exact[0] / 2):g}, that of the normal approximation "
        f"at least {normal:.4f}; {small} are below {smallest_p_value(n):.4f}, the least of any approximation, one-sided and "
        "with all differences equal."
    )
    return Verdict(HOLDS if attained == len(values) else IMPOSSIBLE if small else IMPLAUSIBLE, evidence)


def _printed(paper: Paper) -> list[Fraction]:
    return [Fraction(row[f"{metric}_p"]) for row in paper.tables[7] for metric in ("accuracy", "f1", "auc")]


def _too_small(paper: Paper, pairs: int) -> int:
    """Return how many p-values of Table 7 no version of the test can give."""
    return sum(float(value + HALF) < smallest_p_value(pairs) for value in _printed(paper))


def _p_value(paper: Paper, pair: Sequence[str], metric: str) -> Fraction:
    models = {arm.partition("/")[0] for arm in pair}
    for row in paper.tables[7]:
        if {row["first"], row["second"]} == models:
            return Fraction(row[f"{metric}_p"])
    raise Unavailable(f"Table 7 does not compare {' and '.join(sorted(models))}")
