"""Claims about the p-values of Table 7, which compares arms at 200X by a signed-rank test on five folds."""

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import combinations

from histobench.claims.evidence import Results
from histobench.claims.published import Paper
from histobench.claims.table_cells import Bound, Cell, Unavailable, decimals, describe, span
from histobench.claims.verdicts import CONTRADICTED, HOLDS, INCONSISTENT, Case, Verdict, grade

Pairs = Sequence[Sequence[str]]
FOLDS = 5


def significant(
    paper: Paper, pairs: Pairs, metrics: Sequence[str], below: Bound = None, at_most: Bound = None
) -> Verdict:
    """Return whether p-values are below a bound, and whether a signed-rank test could give them.

    Each pair is the arm said to be better, then the other, both `MODEL/MODE`. Either bound is given.
    """
    values = [_p_value(paper, pair, metric) for pair in pairs for metric in metrics]
    bound = Fraction(below or at_most or 1)
    wrong = sum(value > bound or (below is not None and value == bound) for value in values)
    relation = f"below {below}" if below else f"at most {at_most}"
    smallest = signed_rank_p_values(FOLDS)[0]
    possible = smallest <= max(values)
    limit = f"the exact two-sided signed-rank test on {FOLDS} pairs has no p-value below {float(smallest):g}"
    if wrong:
        are, end = "is" if wrong == 1 else "are", "." if possible else f"; {limit}."
        largest = decimals(max(values), 3)
        text = f"{wrong} of {len(values)} printed p-values {are} not {relation} (largest {largest}){end}"
        return Verdict(CONTRADICTED, text)
    text = f"printed {span(values, 3) if len(values) > 1 else decimals(values[0], 3)}, {relation}"
    return Verdict(HOLDS, f"{text}.") if possible else Verdict(INCONSISTENT, f"{text}, but {limit}.")


def significant_in_study(
    study: Results, pairs: Pairs, metrics: Sequence[str], below: Bound = None, at_most: Bound = None
) -> Verdict:
    """Return whether the differences are above zero: their intervals are not limited by the test's smallest p-value."""
    differences = []
    for pair in pairs:
        for metric in metrics:
            better, worse = (Cell.parse(f"table4 {arm} 200x {metric}") for arm in pair)
            terms = {better: Fraction(1), worse: Fraction(-1)}
            differences.append(Case(describe(terms), terms))
    found = grade(study, differences)
    return replace(found, evidence=f"the differences, whatever their p-values: {found.evidence}")


def signed_rank(paper: Paper, pairs: int) -> Verdict:
    """Return whether the p-values can come from a Wilcoxon signed-rank test on `pairs` pairs.

    The exact p-values are those of :func:`signed_rank_p_values`; ties or zero differences only make them coarser. The
    normal approximation is smallest when all differences have one sign; its variance is n (n + 1) (2n + 1) / 24, less
    (n^3 - n) / 48 when all are equal (Hollander, Wolfe and Chicken 2014, Nonparametric Statistical Methods, 3.1).
    """
    values = [Fraction(row[f"{metric}_p"]) for row in paper.tables[7] for metric in ("accuracy", "f1", "auc")]
    exact, n = signed_rank_p_values(pairs), pairs
    step = Fraction(math.gcd(*(value.numerator * 2**n // value.denominator for value in exact)), 2**n)
    mean, variance = n * (n + 1) / 4, n * (n + 1) * (2 * n + 1) / 24
    normal, tied = (math.erfc(mean / math.sqrt(2 * spread)) for spread in (variance, variance - (n**3 - n) / 48))
    attained = sum(any(abs(value - p) <= Fraction(1, 2000) for p in exact) for value in values)
    below = sum(value < tied for value in values)
    return Verdict(
        HOLDS if attained == len(values) else INCONSISTENT,
        f"{attained} of {len(values)} printed p-values ({span(values, 3)}) are attainable: on {n} pairs the exact two-sided "
        f"p is a multiple of {float(step):g}, the one-sided at least {float(exact[0] / 2):g}, that of the normal "
        f"approximation at least {normal:.4f} ({tied:.4f} if all differences were equal, and {below} are smaller still).",
    )


def signed_rank_p_values(pairs: int) -> list[Fraction]:
    """Return every two-sided p-value that the exact signed-rank test on `pairs` untied pairs can give, ascending.

    Under the null all 2^n patterns of signs are equally likely; p is twice the smaller tail of the rank sum, at most 1.
    """
    sums = [sum(ranks) for size in range(pairs + 1) for ranks in combinations(range(1, pairs + 1), size)]
    tails = {total: sum(other <= total for other in sums) for total in sums}
    return sorted({min(Fraction(2 * count, 2**pairs), Fraction(1)) for count in tails.values()})


def _p_value(paper: Paper, pair: Sequence[str], metric: str) -> Fraction:
    models = {arm.partition("/")[0] for arm in pair}
    for row in paper.tables[7]:
        if {row["first"], row["second"]} == models:
            return Fraction(row[f"{metric}_p"])
    raise Unavailable(f"Table 7 does not compare {' and '.join(sorted(models))}")
