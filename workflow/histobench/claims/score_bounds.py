"""Bounds on scores that stand in one row: what printed means of precision and recall allow for F1 and accuracy.

Scores are those of the positive class, means over k folds. A printed number may be off by half a unit of its last digit, and of a
deviation the larger end is taken. A printed deviation is taken as that of the population of folds, which is larger than it if
the sample deviation was printed. No value of k folds is farther than sqrt(k - 1) such deviations below their mean
(Samuelson 1968). What these bounds exclude is impossible, whatever the data. With one fold and no deviations they are those
of a single test set.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class PrintedMean:
    """A printed mean over folds, or a single score: a fraction of 1."""

    value: float
    half: float
    """Half a unit of its last digit."""
    deviation: float = 0.0
    """The largest population deviation over folds that is in agreement with the printed one; 0 for a single score."""


@dataclass(frozen=True)
class ImpliedAccuracy:
    """The accuracy that precision, recall and the share of positives imply, and how far means over folds may be from it."""

    accuracy: float
    """1 - q e, where e = 1 - 2r + r/p is the mean number of errors per positive image."""
    least: float
    """No class balance gives less: 1 - e, less what deviations and rounding allow."""
    alike: float
    """The largest distance where the share of positives is the same in every fold."""
    unequal: float
    """The largest distance where it differs between folds as was assumed."""


def f1_bounds(precision: PrintedMean, recall: PrintedMean, f1_half: float, folds: int) -> tuple[float, float]:
    """Return the least and the largest printed mean F1 beside these means.

    In every fold F1 = 2pr / (p + r) = s/2 - d^2 / 2s with s = p + r and d = p - r. This is concave in (p, r), so its
    mean over folds is at most that of the mean p and r (Jensen). And it is at least S/2 - E[d^2] / (2 s_min), where S is
    the mean of s, E[d^2] <= D^2 + (sd_p + sd_r)^2, D being the mean of d, and s_min is Samuelson's bound.
    """
    p, r, half = precision.value, recall.value, precision.half + recall.half
    total, spread = p + r, precision.deviation + recall.deviation
    most = 2 * (p + precision.half) * (r + recall.half) / (total + half) + f1_half if total + half else f1_half
    square = (abs(p - r) + half) ** 2 + spread**2
    least = (total - half) / 2 - square / (2 * least_value(total - half, spread, folds)) - f1_half
    return least, most


def implied_accuracy(
    precision: PrintedMean,
    recall: PrintedMean,
    accuracy_half: float,
    share: float,
    folds: int,
    balance: tuple[float, float] = (0.0, 0.0),
) -> ImpliedAccuracy:
    """Return the accuracy that belongs to a precision and a recall if `share` of the images are positive.

    With a share q of positive images, the errors of a fold are q (1 - r) missed and q r (1 - p) / p false calls of all
    images, so that accuracy = 1 - q e with e = 1 - 2r + r/p. Averaging over folds leaves 1 - Q (1 - 2R + R/P) plus
    terms that are bounded here (s: deviations, p_min: Samuelson's bound):

    - of r/p: |cov(r, 1/p)| <= s_r s_p / p_min^2, and 0 <= E[1/p] - 1/P <= s_p^2 / (p_min P^2);
    - of folds whose balance differs: |cov(q, e)| <= s_q s_e with s_e <= s_r + s_p / p_min^2 (p > 1/3), and |E[q] - Q| times
      e; both of q are given by `balance`;
    - of rounding: half a unit of the last digit.

    Args:
        precision: its mean, above 0.
        recall: its mean.
        accuracy_half: half a unit of the last digit of the printed accuracy.
        share: Q, the share of positive images.
        folds: number of folds.
        balance: population deviation of the folds' shares, and the distance of their mean from `share`.
    """
    p, r, p_sd, r_sd = precision.value, recall.value, precision.deviation, recall.deviation
    p_min = least_value(p - precision.half, p_sd, folds)
    error = 1 - 2 * r + r / p
    curved = r_sd * p_sd / p_min**2 + r * p_sd**2 / (p_min * p**2)
    digits = recall.half * abs(2 - 1 / p) + precision.half * r / p**2
    alike = share * (curved + digits) + accuracy_half
    unequal = alike + balance[0] * (r_sd + p_sd / p_min**2) + balance[1] * (error + curved)
    return ImpliedAccuracy(1 - share * error, 1 - error - curved - digits, alike, unequal)


def least_value(mean: float, deviation: float, folds: int) -> float:
    """Return Samuelson's lower bound of the values of all folds, above 0."""
    return max(mean - math.sqrt(folds - 1) * deviation, 1e-9)


def binomial_deviation(accuracy: float, images: float) -> float:
    """Return the standard deviation of the accuracy of so many independent images."""
    return math.sqrt(accuracy * (1 - accuracy) / images)
