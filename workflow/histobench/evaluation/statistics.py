"""Tests and effect sizes for a pair of arms.

On fold scores: :func:`wilcoxon`, :func:`nadeau_bengio` and :func:`effect_size`; for a family of pairs :func:`holm`.
:func:`mcnemar` and :func:`delong` assume that images are independent. Images of one patient are not, so both reject too
often here and are secondary. Tests that resample patients are in :mod:`histobench.evaluation.bootstrap`.
docs/statistics.md shows how often each test rejects with and without a true difference.

`differences` are those of the scores of k folds, (k,) finite numbers; they are rounded to 12 decimals, so that rounding
errors neither break ties nor make a difference.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FEW = 5
"""A score that rests on fewer groups of a class says little: the fold is named where its scores stand."""


class Wilcoxon(NamedTuple):
    """Result of the exact two-sided signed-rank test."""

    p: float
    floor: float
    """The smallest two-sided p that n non-zero differences can give: 2 / 2^n, for five folds 0.0625."""


class Test(NamedTuple):
    """A statistic and its two-sided p; both None where the differences do not vary."""

    statistic: float | None
    p: float | None


def wilcoxon(differences: Sequence[float] | np.ndarray) -> Wilcoxon:
    """Return the exact two-sided Wilcoxon signed-rank test of n paired differences, with the floor of its p.

    Zeros are left out, as in Wilcoxon (Biometrics Bulletin 1(6), 1945, 80-83). Ties have mid-ranks, and p is exact given
    these: it is from the distribution of the rank sum over all 2^n signs. Without non-zero differences p and floor are 1.
    """
    values = _rounded(differences)
    values = values[values != 0]
    ranks = np.rint(2 * midranks(np.abs(values))).astype(int)  # doubled, so that mid-ranks are whole
    ways = np.ones(1)
    for rank in ranks:
        ways = np.pad(ways, (0, rank)) + np.pad(ways, (rank, 0))
    share = ways / ways.sum()
    rank_sum = int(ranks[values > 0].sum())
    tails = share[: rank_sum + 1].sum(), share[rank_sum:].sum()
    return Wilcoxon(p=min(1.0, 2 * float(min(tails))), floor=min(1.0, 2.0 ** (1 - len(values))))


def nadeau_bengio(differences: Sequence[float] | np.ndarray, test_to_train: float) -> Test:
    """Return the corrected resampled t statistic and its two-sided p, with k - 1 degrees of freedom.

    Nadeau and Bengio, Machine Learning 52, 2003, 239-281: t = mean / sqrt((1/k + n_test/n_train) * s^2), s^2 being the
    sample variance of the k differences. The added term stands for the training images that folds share.

    Args:
        differences: without a result if there are fewer than two, or all are equal.
        test_to_train: n_test / n_train, 0.25 for five folds.
    """
    from scipy.special import stdtr

    values = _rounded(differences)
    folds = len(values)
    if not _varies(values):
        return Test(None, None)
    statistic = float(values.mean()) / ((1 / folds + test_to_train) * float(np.var(values, ddof=1))) ** 0.5
    return Test(statistic, 2 * float(stdtr(folds - 1, -abs(statistic))))


def effect_size(differences: Sequence[float] | np.ndarray) -> float | None:
    """Return Cohen's d_z of paired differences, their mean over their sample deviation; None where they do not vary."""
    values = _rounded(differences)
    return float(values.mean()) / float(np.std(values, ddof=1)) if _varies(values) else None


def _rounded(differences: Sequence[float] | np.ndarray) -> np.ndarray:
    return np.round(np.asarray(differences, dtype=float), 12)


def _varies(values: np.ndarray) -> bool:
    return len(values) > 1 and bool(np.any(values != values[0]))


def holm(p_values: Sequence[float], family: int | None = None) -> list[float]:
    """Return Holm's step-down adjusted p-values (Scandinavian Journal of Statistics 6(2), 1979, 65-70), in the order given.

    Args:
        p_values: of the tests that could be made.
        family: number of tests that were declared, at least as many; one that could not be made counts as p = 1.
    """
    count = family or len(p_values)
    adjusted, highest = [0.0] * len(p_values), 0.0
    for step, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (count - step) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """Return the two-sided p of McNemar's exact test that both arms are right equally often, for independent images.

    Given b + c discordant images, the smaller of b and c is binomial with probability 1/2. Arguments are (N,) bool: the arm
    is right about an image.
    """
    from scipy.special import bdtr

    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(~first & second))
    discordant = only_first + only_second
    return min(1.0, 2 * float(bdtr(min(only_first, only_second), discordant, 0.5))) if discordant else 1.0


def delong(label: np.ndarray, first: np.ndarray, second: np.ndarray) -> Test:
    """Return z and two-sided p of the test that two arms have equal AUC on the same independent images.

    DeLong, DeLong and Clarke-Pearson, Biometrics 44(3), 1988, 837-845. z is that of AUC(first) - AUC(second). `label` is
    (N,) 0 benign, 1 malignant, at least two of each; `first` and `second` are (N,) logits.
    """
    from scipy.special import ndtr

    malignant = np.asarray(label, dtype=bool)
    components = [placements(logit[malignant], logit[~malignant]) for logit in (first, second)]
    of_malignant = (components[0][0] - components[1][0]) / np.sum(~malignant)
    of_benign = (components[0][1] - components[1][1]) / np.sum(malignant)
    variance = float(sum(np.var(part, ddof=1) / len(part) for part in (of_malignant, of_benign)))
    if variance <= 1e-24:
        return Test(None, None)
    z = float(of_malignant.mean()) / variance**0.5
    return Test(z, 2 * float(ndtr(-abs(z))))


def binomial_interval(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a share of independent trials (Clopper and Pearson, Biometrika 26, 1934, 404-413)."""
    from scipy.special import betaincinv

    tail, failures = (1 - level) / 2, trials - successes
    low = float(betaincinv(successes, failures + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, failures, 1 - tail)) if failures else 1.0
    return low, high


def placements(malignant: np.ndarray, benign: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many benign logits are below each malignant one, and how many malignant ones above each benign one.

    Equal ones count half. The sum of either array over the product of their lengths is the AUC.
    """
    ordered, other = np.sort(benign), np.sort(malignant)
    above = (np.searchsorted(ordered, malignant, "left") + np.searchsorted(ordered, malignant, "right")) / 2
    below = (np.searchsorted(other, benign, "left") + np.searchsorted(other, benign, "right")) / 2
    return above, len(malignant) - below


def midranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks of `values` from 1; equal values have the mean of their ranks."""
    _, index, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[index]
