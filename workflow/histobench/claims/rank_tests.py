"""The p-values that tests on the scores of a few folds can give."""

import math
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction


def signed_rank_p_values(pairs: int) -> list[Fraction]:
    """Return every two-sided p-value that the exact signed-rank test on `pairs` untied pairs can give, ascending.

    Under the null all 2^n patterns of signs are equally likely; p is twice the smaller tail of the rank sum, at most 1.
    """
    sums = Counter({0: 1})
    for rank in range(1, pairs + 1):
        sums += Counter({total + rank: count for total, count in sums.items()})
    return _two_sided(sums, 2**pairs)


def sign_p_values(pairs: int) -> list[Fraction]:
    """Return every two-sided p-value of the exact sign test on `pairs` pairs without ties, ascending."""
    return _two_sided({wins: math.comb(pairs, wins) for wins in range(pairs + 1)}, 2**pairs)


def rank_sum_p_values(size: int) -> list[Fraction]:
    """Return every two-sided p-value of the exact rank-sum test (Mann and Whitney) on twice `size` untied values, ascending."""
    ways = {(0, 0): 1}
    for rank in range(1, 2 * size + 1):  # (values taken, their rank sum) -> number of choices
        taken = {(n + 1, total + rank): count for (n, total), count in ways.items() if n < size}
        ways = {key: ways.get(key, 0) + taken.get(key, 0) for key in ways.keys() | taken.keys()}
    return _two_sided({total: count for (n, total), count in ways.items() if n == size}, math.comb(2 * size, size))


def smallest_p_value(pairs: int) -> float:
    """Return the smallest p-value of any version of the signed-rank test, 1 - Phi(sqrt(n)).

    With ranks r_i, however ties and zeros are treated, the rank sum has mean sum(r) / 2 and variance sum(r^2) / 4 under the
    null, so that z is at most sum(r) / sqrt(sum(r^2)) <= sqrt(n) (Cauchy and Schwarz); the normal approximation, one-sided,
    without continuity correction, is then smallest. For n <= 11 the exact one-sided p, at least 2^-n, is not below it; for
    more pairs it is. The sign test has the same z where all signs are equal.
    """
    return min(math.erfc(math.sqrt(pairs / 2)) / 2, 2.0**-pairs)


def smallest_rank_sum_p_value(size: int) -> float:
    """Return the smallest p-value of any version of the rank-sum test on twice `size` values.

    Its z is sqrt(N - 1) times the correlation of ranks and groups, however ties are treated, so at most sqrt(N - 1). The
    exact one-sided p is at least 1 / C(N, N / 2).
    """
    return min(math.erfc(math.sqrt((2 * size - 1) / 2)) / 2, 1 / math.comb(2 * size, size))


def _two_sided(ways: Mapping[int, int], total: int) -> list[Fraction]:
    """Return twice the smaller tail at each value of a symmetric statistic, at most 1."""
    tail, found = 0, set()
    for value in sorted(ways):
        tail += ways[value]
        found.add(min(Fraction(2 * tail, total), Fraction(1)))
    return sorted(found)
