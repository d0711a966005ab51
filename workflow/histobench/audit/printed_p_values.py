"""Whether printed p-values can come from the test that is named."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from histobench.audit.printed_scores import Printed
from histobench.audit.row_checks import Finding
from histobench.claims.rank_tests import (
    rank_sum_p_values,
    sign_p_values,
    signed_rank_p_values,
    smallest_p_value,
    smallest_rank_sum_p_value,
)
from histobench.claims.verdicts import IMPLAUSIBLE, IMPOSSIBLE


@dataclass(frozen=True)
class NamedTest:
    """A test on the scores of folds."""

    words: str
    exact: Callable[[int], list[Fraction]] | None
    """Pairs -> every exact two-sided p-value without ties."""
    floor: Callable[[int], float]
    """Pairs -> what no version of the test is below, one-sided or two-sided, exact or approximate."""


TESTS = {
    "signed_rank": NamedTest("the Wilcoxon signed-rank test", signed_rank_p_values, smallest_p_value),
    "sign": NamedTest("the sign test", sign_p_values, smallest_p_value),
    "rank_sum": NamedTest("the rank-sum test (Mann-Whitney)", rank_sum_p_values, smallest_rank_sum_p_value),
    "sign_flip": NamedTest("the permutation test that exchanges the members of pairs", None, lambda pairs: 2.0**-pairs),
}
EXACT_PAIRS = 25
"""Up to so many pairs all exact p-values are listed, and approximations told from them."""


def check_p_value(where: str, printed: Printed, test: str, pairs: int) -> Finding | None:
    """Return what is wrong with a p-value; None if nothing is.

    `impossible` is what no version of the test gives: one-sided or two-sided, exact or approximate, with or without ties.
    `implausible` is what no exact test gives; an approximation might.
    """
    named, value = TESTS[test], printed.value
    if printed.sign == ">":
        return None
    floor, on = named.floor(pairs), f"{named.words} on {pairs} {'values a side' if test == 'rank_sum' else 'pairs'}"
    text = f"p {printed.sign or '='} {float(value):g}"
    below = value <= Fraction(floor) if printed.sign else float(value + printed.half) < floor
    if below:
        most = "approximation" if named.exact and floor < float(_smallest(named, pairs)) / 2 else "version"
        return Finding(where, "p-value", IMPOSSIBLE, f"{text}, but no {most} of {on} gives less than {floor:.3g}")
    if printed.sign:
        smallest = _smallest(named, pairs)
        if value > smallest / 2:
            return None
        return Finding(where, "p-value", IMPLAUSIBLE, f"{text}, but exactly {on} gives at least {_exact(smallest)}")
    if pairs > EXACT_PAIRS:
        return None
    step = Fraction(1, 2**pairs)
    if named.exact is None:
        attained = abs(value - round(value / step) * step) <= printed.half
    else:
        both = named.exact(pairs)
        attained = any(
            abs(value - p) <= printed.half for p in [*both, *(p / 2 for p in both), *(1 - p / 2 for p in both)]
        )
    if attained:
        return None
    text = f"{text} is none of the exact p-values of {on}, which begin at {_exact(_smallest(named, pairs))}"
    return Finding(where, "p-value", IMPLAUSIBLE, f"{text}: only an approximation, or ties, can give it")


def _smallest(named: NamedTest, pairs: int) -> Fraction:
    """Return the smallest exact two-sided p-value."""
    return named.exact(pairs)[0] if named.exact else Fraction(2, 2**pairs)


def _exact(smallest: Fraction) -> str:
    return f"{float(smallest):.4g} (two-sided) and {float(smallest / 2):.4g} (one-sided)"
