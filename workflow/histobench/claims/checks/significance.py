"""Claims about p-values of a signed-rank test on the folds of two arms.

`table` has the columns `first` and `second`, two models, and a column `METRIC_p` for each score.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial

from histobench.claims.evidence import Results
from histobench.claims.published import Paper
from histobench.claims.rank_tests import signed_rank_p_values, smallest_p_value
from histobench.claims.table_cells import (
    Bound,
    Cell,
    Unavailable,
    decimals,
    describe,
    places,
    rounding,
    span,
    table_title,
)
from histobench.claims.verdicts import CONTRADICTED, HOLDS, IMPLAUSIBLE, IMPOSSIBLE, Case, Verdict, grade

Pairs = Sequence[Sequence[str]]


def significant(
    paper: Paper,
    table: str,
    folds: int,
    pairs: Pairs,
    metrics: Sequence[str],
    below: Bound = None,
    at_most: Bound = None,
) -> Verdict:
    """Return whether p-values are below a bound, and whether a signed-rank test could give them.

    Each pair is the arm said to be better, then the other, both `MODEL/MODE`. Either bound is given. A printed p-value may be
    off by half a unit of its last digit. What is below :func:`smallest_p_value` is impossible; what only an approximation
    gives is implausible, where the table has others that none does.
    """
    texts = [_p_value(paper, table, pair, metric) for pair in pairs for metric in metrics]
    values, half, digits = list(map(Fraction, texts)), max(map(rounding, texts)), max(map(places, texts))
    bound = Fraction(below or at_most or 1)
    wrong = sum(value - half >= bound if below else value > bound for value in values)
    relation = f"below {below}" if below else f"at most {at_most}"
    if wrong:
        are = "is" if wrong == 1 else "are"
        text = (
            f"{wrong} of {len(values)} printed p-values {are} not {relation} (largest {decimals(max(values), digits)})."
        )
        return Verdict(CONTRADICTED, text)
    text = f"printed {span(values, digits) if len(values) > 1 else texts[0]}, {relation}"
    smallest = signed_rank_p_values(folds)[0]
    if min(values) + half >= smallest:
        return Verdict(HOLDS, f"{text}.")
    lowest, none = smallest_p_value(folds), _too_small(paper, table, folds)
    text += (
        f", but the exact two-sided signed-rank test on {folds} pairs has no p-value below {float(smallest):g}, the "
        f"one-sided none below {float(smallest / 2):g}, and a one-sided normal approximation none below {lowest:.4f}"
    )
    if float(min(values) + half) < lowest:
        return Verdict(IMPOSSIBLE, f"{text}.")
    return Verdict(
        IMPLAUSIBLE,
        f"{text}; only an approximation could give it, but {none} of the {len(_printed(paper, table))} p-values of "
        f"{table_title(table)} are below what any approximation gives.",
    )


def significant_in_study(
    study: Results,
    table: str,
    folds: int,
    pairs: Pairs,
    metrics: Sequence[str],
    below: Bound = None,
    at_most: Bound = None,
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


def signed_rank(paper: Paper, table: str, pairs: int) -> Verdict:
    """Return whether the p-values can come from a Wilcoxon signed-rank test on `pairs` pairs.

    The exact p-values are those of :func:`signed_rank_p_values`; ties or zero differences only make them coarser. The
    normal approximation is smallest when all differences have one sign; its variance is n (n + 1) (2n + 1) / 24 without
    ties (Hollander, Wolfe and Chicken 2014, Nonparametric Statistical Methods, 3.1).
    """
    texts, exact, n = _printed(paper, table), signed_rank_p_values(pairs), pairs
    step = Fraction(math.gcd(*(value.numerator * 2**n // value.denominator for value in exact)), 2**n)
    normal = math.erfc(n * (n + 1) / 4 / math.sqrt(n * (n + 1) * (2 * n + 1) / 12))
    values, digits = list(map(Fraction, texts)), max(map(places, texts))
    attained = sum(any(abs(Fraction(text) - p) <= rounding(text) for p in exact) for text in texts)
    small = _too_small(paper, table, pairs)
    evidence = (
        f"{attained} of {len(values)} printed p-values ({span(values, digits)}) are attainable: on {n} pairs the exact "
        f"two-sided p is a multiple of {float(step):g}, the one-sided at least {float(exact[0] / 2):g}, that of the normal "
        f"approximation at least {normal:.4f}; {small} are below {smallest_p_value(n):.4f}, the least of any approximation, "
        "one-sided and with all differences equal."
    )
    return Verdict(HOLDS if attained == len(values) else IMPOSSIBLE if small else IMPLAUSIBLE, evidence)


def _printed(paper: Paper, table: str) -> list[str]:
    return [text for row in paper.table(table) for column, text in row.items() if text and column.endswith("_p")]


def _too_small(paper: Paper, table: str, pairs: int) -> int:
    """Return how many p-values of a table no version of the test can give."""
    return sum(float(Fraction(text) + rounding(text)) < smallest_p_value(pairs) for text in _printed(paper, table))


def _p_value(paper: Paper, table: str, pair: Sequence[str], metric: str) -> str:
    models = {arm.partition("/")[0] for arm in pair}
    paper.column(table, f"{metric}_p")
    for row in paper.table(table):
        if {row["first"], row["second"]} == models and row[f"{metric}_p"]:
            return row[f"{metric}_p"]
    raise Unavailable(f"{table_title(table)} does not compare {' and '.join(sorted(models))}")
