"""Bootstrap intervals and sign-flip tests of out-of-fold predictions, whose groups are resampled.

Images of one group (a patient or an accession number) are correlated, so groups are resampled: within their class and fold,
and the same ones for every arm.
Each score is a function of a few counts per group. A draw is a vector w of weights, one per group, and all draws of a
score are computed by a few matrix products. The AUC is w' M w / (n1 n0), where M holds for each pair of groups how many
pairs of a malignant image of the first and a benign image of the second are in order, so nothing is ranked again.

The trained models are fixed: the intervals do not include the effect of another training set.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache

import numpy as np

from histobench.evaluation.calibration import BINS, bins, probability
from histobench.evaluation.groups import Groups
from histobench.evaluation.statistics import midranks, placements
from histobench.metrics import METRICS, decide

SPECIFICITY = 0.95
POOLED = (*METRICS, "balanced_accuracy", "ece", "sensitivity_at_95_specificity")
"""Every score that has an interval."""
LEVEL = 0.95
FEWEST = 6
"""Degrees of freedom from which on an interval reaches its level: the draw that is farthest out in every stratum of n groups
has a probability of the product of n^(1 - n) over the strata, which must be below the percentile of :func:`interval`. Two
folds of three groups have 1/81 at freedom 4, where the percentile is 0.003; two folds of four have 0.00024 at freedom 6,
where it is 0.007."""


class Clustered:
    """The predictions of one arm as counts per group, from which every score of every resample is computed."""

    def __init__(self, label: np.ndarray, logit: np.ndarray, group: np.ndarray):
        """Count images per group.

        Args:
            label: (N,) 0 benign, 1 malignant; both occur.
            logit: (N,) finite.
            group: (N,) ids. An image may occur several times, if several folds predicted it.
        """
        self.names, self._group = np.unique(group, return_inverse=True)
        self._malignant, self._logit = np.asarray(label, dtype=bool), np.asarray(logit, dtype=float)
        called = decide(self._logit)
        self.confusion = self._sums(
            called & self._malignant, ~called & self._malignant, called & ~self._malignant, ~called & ~self._malignant
        )
        """(P, 4) images: true positives, false negatives, false positives, true negatives of each group."""
        has = self.confusion.reshape(-1, 2, 2).any(axis=2)  # malignant images, benign images
        self.classes: np.ndarray = has @ np.array([1, 2])
        """(P,) which classes a group's images have: 1 malignant, 2 benign, 3 both."""
        # (P,): share of a group's images that are called correctly
        self._rate = self.confusion[:, [0, 3]].sum(axis=1) / self.confusion.sum(axis=1)
        estimate = probability(self._logit)
        cell, cells = self._group * BINS + bins(estimate), len(self.names) * BINS
        # (P, bins): sum over a group's images in a bin of probability less label
        self._excess = np.bincount(cell, estimate - self._malignant, cells).reshape(-1, BINS)
        ranks = midranks(self._logit)  # among all images, here of the malignant and of the benign ones
        self._ranks = ranks[self._malignant], ranks[~self._malignant]
        self.with_class = [np.flatnonzero(self.classes != other) for other in (2, 1)]
        """Which groups have malignant images, and which benign ones."""

    @property
    def calls(self) -> tuple[int, int]:
        """Return how many images are called malignant, and how many there are."""
        return int(self.confusion[:, [0, 2]].sum()), int(self.confusion.sum())

    def _sums(self, *values: np.ndarray) -> np.ndarray:
        """Return (P, values): the sum of each value over the images of a group."""
        return np.stack([np.bincount(self._group, value, len(self.names)) for value in values], axis=1)

    def _per_class(self, malignant: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the logits of a class, ordered by group, and the index of each group's first."""
        which = np.flatnonzero(self._malignant == malignant)
        which = which[np.argsort(self._group[which], kind="stable")]
        return self._logit[which], np.unique(self._group[which], return_index=True)[1]

    @cached_property
    def _ordered(self) -> np.ndarray:
        """(groups with malignant, groups with benign): pairs of images in order; an equal pair counts half."""
        malignant, starts = self._per_class(True)
        benign, edges = self._per_class(False)
        columns = [placements(malignant, part)[0] for part in np.split(benign, edges[1:])]
        return np.add.reduceat(np.stack(columns, axis=1), starts, axis=0)

    @cached_property
    def _above(self) -> list[np.ndarray]:
        """For malignant and benign images, (thresholds, groups): images above each distinct benign logit, descending."""
        benign, edges = self._per_class(False)
        thresholds = np.unique(benign)[::-1]
        found = []
        for logits, starts in (self._per_class(True), (benign, edges)):
            parts = [np.sort(part) for part in np.split(logits, starts[1:])]
            above = [len(part) - np.searchsorted(part, thresholds, "right") for part in parts]
            found.append(np.stack(above, axis=1).astype(float))
        return found

    def values(self, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Return each score of :data:`POOLED` in each draw, (draws,).

        Precision is 0 where nothing is called malignant, and scores are NaN where a draw has no group of a class. The sensitivity is that at the lowest threshold with a specificity
        of at least 0.95, chosen again in each draw.

        Args:
            weights: (draws, P) weights of the groups. None: a single draw with each group once.
        """
        w = np.ones((1, len(self.names))) if weights is None else weights
        tp, fn, fp, tn = (w @ self.confusion).T
        malignant, benign = (w[:, which] for which in self.with_class)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(tp + fp > 0, tp / (tp + fp), 0.0)
            recall, specificity = tp / (tp + fn), tn / (tn + fp)
            return {
                "accuracy": (tp + tn) / (tp + fn + fp + tn),
                "precision": precision,
                "recall": recall,
                "f1": 2 * tp / (2 * tp + fp + fn),
                "auc": self.auc(w),
                "patient_rate": w @ self._rate / w.sum(axis=1),
                "balanced_accuracy": (recall + specificity) / 2,
                "ece": np.abs(w @ self._excess).sum(axis=1) / (tp + fn + fp + tn),
                "sensitivity_at_95_specificity": self._sensitivity(malignant, benign, tn + fp) / (tp + fn),
            }

    def auc(self, w: np.ndarray) -> np.ndarray:
        """Return the AUC in each draw, (draws,); NaN where a draw has no group of a class. `w` are weights (draws, P)."""
        malignant, benign = (w[:, which] for which in self.with_class)
        tp, fn, fp, tn = (w @ self.confusion).T
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.sum((malignant @ self._ordered) * benign, axis=1) / ((tp + fn) * (tn + fp))

    def _sensitivity(self, malignant: np.ndarray, benign: np.ndarray, images: np.ndarray) -> np.ndarray:
        """Return the weighted number of malignant images above each draw's threshold."""
        hits, alarms = self._above
        limit = (1 - SPECIFICITY) * images + 1e-9
        parts = 1 + len(alarms) * len(benign) // 2**23  # (thresholds, draws) of at most 64 MiB at once
        last = [
            np.sum(alarms @ drawn.T <= most, axis=0) - 1  # the allowed thresholds come first
            for drawn, most in zip(np.array_split(benign, parts), np.array_split(limit, parts), strict=True)
        ]
        return np.einsum("ij,ij->i", hits[np.concatenate(last)], malignant)

    def swapped(self, other: "Clustered", signs: np.ndarray) -> dict[str, np.ndarray]:
        """Return for each of METRICS the difference self - other after swapping the arms' predictions of some groups.

        The AUC's difference is linear in the signs s: with X = M11 - M22 and Y = M12 - M21, where Mab counts the ordered
        pairs of malignant images under arm a and benign images under arm b, it is the sum over groups p, q of
        X (s_p + s_q) / 2 + Y (s_p - s_q) / 2. Arms are compared by ranks, since their logits may differ in scale
        (Bandos, Rockette and Gur, Statistics in Medicine 24, 2005, 2873-2893).

        Args:
            other: an arm with the same images.
            signs: (draws, P): -1 swaps a group, 1 does not.
        """
        malignant, benign = self._malignant, ~self._malignant
        contribution = np.zeros(len(self._logit))
        pairs = malignant.sum() * benign.sum()
        for one, another, sign_malignant, sign_benign in (
            (self, self, 1, 1),
            (other, other, -1, -1),
            (self, other, 1, -1),
            (other, self, -1, 1),
        ):
            above, below = placements(one._ranks[0], another._ranks[1])
            contribution[malignant] += sign_malignant * above / (2 * pairs)
            contribution[benign] += sign_benign * below / (2 * pairs)
        half = (self.confusion - other.confusion)[:, [0, 2]] / 2  # false positives mirror true negatives
        linear = np.column_stack([half, self._rate - other._rate, self._sums(contribution)])
        tp, fp, rate, auc = (signs @ linear).T
        base = (self.confusion + other.confusion).sum(axis=0) / 2
        images, positives = len(self._logit), malignant.sum()

        precision, f1 = [], []
        for side in (1, -1):
            hits, calls = base[0] + side * tp, base[0] + base[2] + side * (tp + fp)
            precision.append(np.divide(hits, calls, out=np.zeros_like(hits), where=calls > 0.5))
            f1.append(2 * hits / (calls + positives))
        return {
            "accuracy": 2 * (tp - fp) / images,
            "precision": precision[0] - precision[1],
            "recall": 2 * tp / positives,
            "f1": f1[0] - f1[1],
            "auc": auc,
            "patient_rate": rate / len(self.names),
        }


@lru_cache(maxsize=4)  # the groups of a dataset are the same at every magnification and for every arm
def resample(groups: Groups, draws: int, seed: int) -> np.ndarray:
    """Return (draws, G): the weight of each group in each draw.

    Groups are drawn with replacement within their class and fold; those with images of both classes are a third class. Of n
    groups of a stratum n - 1 are drawn and have weight n / (n - 1) each time, because n of n have a variance that is too
    small by (n - 1) / n, which is much if a fold has three groups of a class (the rescaled bootstrap of Rao and Wu, Journal
    of the American Statistical Association 83, 1988, 231-241). A single group is always drawn once. The draws depend on
    the seed of the study and on the groups only, so that all arms with the same groups share them.
    """
    rng = generator("bootstrap", seed, groups.described)
    weights = np.ones((draws, len(groups.names)))
    strata = np.array([groups.classes, groups.folds])
    for stratum in np.unique(strata, axis=1).T:
        which = np.flatnonzero((stratum == strata.T).all(axis=1))
        if (n := len(which)) > 1:
            weights[:, which] = n / (n - 1) * rng.multinomial(n - 1, np.full(n, 1 / n), size=draws)
    return weights


@lru_cache(maxsize=4)
def flips(groups: Groups, draws: int, seed: int) -> np.ndarray:
    """Return (draws, G): -1 where a group is swapped, else 1. The draws depend on the seed and the groups only."""
    return 1.0 - 2.0 * generator("sign flip", seed, groups.described).integers(
        0, 2, (draws, len(groups.names)), dtype=np.int8
    )


def spread(
    estimates: Mapping[str, np.ndarray], drawn: Mapping[str, np.ndarray], groups: Groups
) -> dict[str, np.ndarray]:
    """Return scores in each draw, (draws,) from 0 to 1: deviations from the estimate, :attr:`Groups.widening` times as large."""
    return {
        name: np.clip(estimates[name] + groups.widening * (value - estimates[name]), 0, 1)
        for name, value in drawn.items()
    }


def fold_means(folds: Sequence[Clustered], groups: Groups, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Return the mean over folds of each score of :data:`POOLED` in each draw, (draws,).

    Only where folds are no strata, a draw can lack a class in a fold, which is then left out of the mean of that draw.

    Args:
        folds: the predictions of an arm in each fold.
        groups: of all folds.
        weights: as for :meth:`Clustered.values`, of all these groups.
    """
    w = np.ones((1, len(groups.names))) if weights is None else weights
    found = [fold.values(w[:, np.searchsorted(groups.names, fold.names)]) for fold in folds]
    lacking = np.isnan([values["auc"] for values in found])
    with np.errstate(invalid="ignore"):
        return {
            name: np.where(lacking, 0, [values[name] for values in found]).sum(axis=0) / np.sum(~lacking, axis=0)
            for name in POOLED
        }


def interval(
    estimate: float, drawn: np.ndarray, freedom: float, metric: str = "", cases: int = 1
) -> tuple[float, float]:
    """Return the 95 % interval of a score or a difference: percentiles of its draws, corrected; NaN if there is none.

    Percentiles of few groups are too narrow, because they take the variance for known, and of a skewed score they are on the
    wrong side. These are at z / (1 - a z) on the scale of the normal distribution: z is the quantile of Student's t
    (Hesterberg, The American Statistician 69(4), 2015, 371-386, section 4.1; his factor sqrt(n / (n - 1)) is in the weights of
    :func:`resample`), a the acceleration of Efron's BCa interval (Journal of the American Statistical Association 82, 1987,
    171-185), a sixth of the skewness of the draws; 1 - a z is kept within 1/2 and 2.

    The interval of `ece` is reversed, 2 * estimate minus the percentiles, at least 0 and widened to include the estimate:
    resampling increases a calibration error, and percentiles would add this to an estimate that is already too high.

    Args:
        estimate: on the groups themselves.
        drawn: (draws,) in each draw.
        freedom: degrees of freedom of t, :attr:`Groups.freedom`; below 1 there is no interval.
        metric: name of the score.
        cases: how many intervals shall cover their values together at that level (Bonferroni). Draws are too few for such
            percentiles, so the distances of the ends from the estimate grow by the ratio of the quantiles of t.
    """
    from scipy.special import ndtr, stdtrit

    drawn = drawn[np.isfinite(drawn)]  # a draw may leave no fold with both classes
    if freedom < 1 or not len(drawn):
        return float("nan"), float("nan")
    single, shared = (float(stdtrit(freedom, (1 - LEVEL) / 2 / number)) for number in (1, cases))
    z = np.array([single, -single])
    low, high = np.quantile(drawn, ndtr(z / np.clip(1 - _acceleration(drawn) * z, 0.5, 2)))
    if metric == "ece":
        low, high = min(estimate, max(0.0, 2 * estimate - high)), max(estimate, 2 * estimate - low)
    low, high = (estimate + shared / single * (end - estimate) for end in (low, high)) if cases > 1 else (low, high)
    return float(low), float(high)


def bootstrap_p(drawn: np.ndarray, freedom: float) -> float | None:
    """Return the two-sided p of no difference: one minus the level of the :func:`interval` that just includes 0.

    The smaller share of draws on either side of 0 is corrected as the interval is, and doubled. The observed difference
    counts as one more draw, so that p is never 0 (Davison and Hinkley, Bootstrap Methods and their Application, 1997,
    section 4.2). None if there is no interval.
    """
    from scipy.special import ndtri, stdtr

    drawn = drawn[np.isfinite(drawn)]
    if freedom < 1 or not len(drawn):
        return None
    below, above = int(np.sum(drawn <= 1e-12)), int(np.sum(drawn >= -1e-12))
    z = float(ndtri(min(0.5, (min(below, above) + 1) / (len(drawn) + 1))))
    z /= np.clip(1 + (1 if below < above else -1) * _acceleration(drawn) * z, 0.5, 2)  # solves u = z / (1 - a z) for z
    return 2 * float(stdtr(freedom, z))


def _acceleration(drawn: np.ndarray) -> float:
    """Return a sixth of the skewness."""
    deviation = drawn - drawn.mean()
    variance = float(np.mean(deviation**2))
    return float(np.mean(deviation**3)) / variance**1.5 / 6 if variance > 1e-24 else 0.0


def sign_flip_p(pairs: Sequence[tuple[Clustered, Clustered]], signs: np.ndarray) -> dict[str, float]:
    """Return for each of METRICS the two-sided p of the hypothesis that two arms are exchangeable within groups.

    It is the share of swaps, including the identity, with a difference at least as far from 0 as the observed one; the
    difference is the mean over `pairs`, the two arms with each seed. `signs` are those of :func:`flips`.
    """

    def mean(signs: np.ndarray) -> dict[str, np.ndarray]:
        differences = [first.swapped(second, signs) for first, second in pairs]
        return {metric: np.mean([found[metric] for found in differences], axis=0) for metric in METRICS}

    observed, swapped = mean(np.ones((1, signs.shape[1]))), mean(signs)
    return {
        metric: (1 + int(np.sum(np.abs(swapped[metric]) >= abs(observed[metric][0]) - 1e-12))) / (1 + len(signs))
        for metric in METRICS
    }


def generator(purpose: str, seed: int, names: Iterable[str]) -> np.random.Generator:
    """Return random numbers that depend on what they are for, on a seed and on the names of what they are drawn for."""
    text = "\n".join([purpose, str(seed), *names])
    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")))
