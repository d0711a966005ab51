"""Patient-level bootstrap intervals and sign-flip tests on pooled out-of-fold predictions.

Images of one patient are correlated, so patients are resampled: within their class, and the same patients for every arm.
Each score is a function of a few counts per patient. A draw is a vector w of weights, one per patient, and all draws of a
score are computed by a few matrix products. The AUC is w' M w / (n1 n0), where M holds for each pair of patients how many
pairs of a malignant image of the first and a benign image of the second are in order, so nothing is ranked again.

The trained models are fixed: the intervals do not include the effect of another training set.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from histobench.evaluation.calibration import BINS, bins, probability
from histobench.evaluation.statistics import midranks, placements
from histobench.metrics import METRICS, decide

SPECIFICITY = 0.95
POOLED = (*METRICS, "balanced_accuracy", "ece", "sensitivity_at_95_specificity")
"""Every score that has an interval."""
LEVEL = 0.95
FEWEST = 5
"""Patients of a class below which no interval reaches its level: with n of them the most extreme resample has a probability
of n^-n, which is below the expanded percentile of :func:`interval` from n = 5 on (0.00032 and 0.00097; n = 4: 0.0039 and
0.00012), so that the interval of fewer is no more than the range of the draws."""


class Clustered:
    """The predictions of one arm as counts per patient, from which every score of every resample is computed."""

    def __init__(self, label: np.ndarray, logit: np.ndarray, patient: np.ndarray):
        """Count images per patient.

        Args:
            label: (N,) 0 benign, 1 malignant; both occur.
            logit: (N,) finite.
            patient: (N,) ids. An image may occur several times, if several folds predicted it.
        """
        self.names, self._patient = np.unique(patient, return_inverse=True)
        self._malignant, self._logit = np.asarray(label, dtype=bool), np.asarray(logit, dtype=float)
        called = decide(self._logit)
        self.confusion = self._sums(
            called & self._malignant, ~called & self._malignant, called & ~self._malignant, ~called & ~self._malignant
        )
        """(P, 4) images: true positives, false negatives, false positives, true negatives of each patient."""
        has = self.confusion.reshape(-1, 2, 2).any(axis=2)  # malignant images, benign images
        self.classes: np.ndarray = has @ np.array([1, 2])
        """(P,) which classes a patient's images have: 1 malignant, 2 benign, 3 both."""
        # (P,): share of a patient's images that are called correctly
        self._rate = self.confusion[:, [0, 3]].sum(axis=1) / self.confusion.sum(axis=1)
        estimate = probability(self._logit)
        cell, cells = self._patient * BINS + bins(estimate), len(self.names) * BINS
        # (P, bins): sum over a patient's images in a bin of probability less label
        self._excess = np.bincount(cell, estimate - self._malignant, cells).reshape(-1, BINS)
        ranks = midranks(self._logit)  # among all images, here of the malignant and of the benign ones
        self._ranks = ranks[self._malignant], ranks[~self._malignant]
        self.with_class = [np.flatnonzero(self.classes != other) for other in (2, 1)]
        """Which patients have malignant images, and which benign ones."""

    @property
    def smaller(self) -> int:
        """Return the number of patients in the smaller class; a patient with images of both classes counts in both."""
        return min(map(len, self.with_class))

    @property
    def calls(self) -> tuple[int, int]:
        """Return how many images are called malignant, and how many there are."""
        return int(self.confusion[:, [0, 2]].sum()), int(self.confusion.sum())

    def _sums(self, *values: np.ndarray) -> np.ndarray:
        """Return (P, values): the sum of each value over the images of a patient."""
        return np.stack([np.bincount(self._patient, value, len(self.names)) for value in values], axis=1)

    def _per_class(self, malignant: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the logits of a class, ordered by patient, and the index of each patient's first."""
        which = np.flatnonzero(self._malignant == malignant)
        which = which[np.argsort(self._patient[which], kind="stable")]
        return self._logit[which], np.unique(self._patient[which], return_index=True)[1]

    @cached_property
    def _ordered(self) -> np.ndarray:
        """(patients with malignant, patients with benign): pairs of images in order; an equal pair counts half."""
        malignant, starts = self._per_class(True)
        benign, edges = self._per_class(False)
        columns = [placements(malignant, part)[0] for part in np.split(benign, edges[1:])]
        return np.add.reduceat(np.stack(columns, axis=1), starts, axis=0)

    @cached_property
    def _above(self) -> list[np.ndarray]:
        """For malignant and benign images, (thresholds, patients): images above each distinct benign logit, descending."""
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

        Precision is 0 where nothing is called malignant, and scores are NaN where a draw has no patient of a class, which only
        a single fold can lack. The sensitivity is that at the lowest threshold with a specificity
        of at least 0.95, chosen again in each draw.

        Args:
            weights: (draws, P) how often each patient was drawn. None: a single draw with each patient once.
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
                "auc": np.sum((malignant @ self._ordered) * benign, axis=1) / ((tp + fn) * (tn + fp)),
                "patient_rate": w @ self._rate / w.sum(axis=1),
                "balanced_accuracy": (recall + specificity) / 2,
                "ece": np.abs(w @ self._excess).sum(axis=1) / (tp + fn + fp + tn),
                "sensitivity_at_95_specificity": self._sensitivity(malignant, benign, tn + fp) / (tp + fn),
            }

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
        """Return for each of METRICS the difference self - other after swapping the arms' predictions of some patients.

        The AUC's difference is linear in the signs s: with X = M11 - M22 and Y = M12 - M21, where Mab counts the ordered
        pairs of malignant images under arm a and benign images under arm b, it is the sum over patients p, q of
        X (s_p + s_q) / 2 + Y (s_p - s_q) / 2. Arms are compared by ranks, since their logits may differ in scale
        (Bandos, Rockette and Gur, Statistics in Medicine 24, 2005, 2873-2893).

        Args:
            other: an arm with the same images.
            signs: (draws, P): -1 swaps a patient, 1 does not.
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


def fold_means(
    folds: Sequence[Clustered], names: np.ndarray, weights: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Return the mean over folds of each score of :data:`POOLED` in each draw, (draws,); NaN where no fold counts.

    A fold in which a draw has no patient of a class has no scores, and is left out of the mean of that draw.

    Args:
        folds: the predictions of an arm in each fold.
        names: (P,) patients of all folds, sorted.
        weights: as for :meth:`Clustered.values`, of all these patients.
    """
    w = np.ones((1, len(names))) if weights is None else weights
    counted = np.zeros(len(w))
    sums: dict[str, np.ndarray] = {}
    for fold in folds:
        own = w[:, np.searchsorted(names, fold.names)]
        both = np.all([own[:, which].any(axis=1) for which in fold.with_class], axis=0)
        counted = counted + both
        sums = {name: sums.get(name, 0) + np.where(both, value, 0) for name, value in fold.values(own).items()}
    with np.errstate(invalid="ignore"):
        return {name: total / counted for name, total in sums.items()}


def resample(names: Sequence[str] | np.ndarray, classes: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Return (draws, P): how often each patient is drawn, with replacement and within its class.

    Patients with images of both classes are a third class. The draws depend on the seed of the study and the (P,) `names`
    and `classes` of patients only, so that all arms with the same patients share them.
    """
    rng = _generator("bootstrap", seed, names)
    weights = np.empty((draws, len(classes)))
    for value in np.unique(classes):
        which = np.flatnonzero(classes == value)
        weights[:, which] = rng.multinomial(len(which), np.full(len(which), 1 / len(which)), size=draws)
    return weights


def flips(names: Sequence[str] | np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Return (draws, P): -1 where a patient is swapped, else 1. The draws depend on the seed and the patients only."""
    return 1.0 - 2.0 * _generator("sign flip", seed, names).integers(0, 2, (draws, len(names)), dtype=np.int8)


def interval(
    estimate: float, drawn: np.ndarray, patients: float, metric: str = "", cases: int = 1
) -> tuple[float, float]:
    """Return the 95 % interval of a score or a difference: expanded percentiles of its draws.

    Percentiles of few patients are too narrow: they correspond to a normal distribution with variance s^2 (n - 1) / n, not
    to Student's t. The expanded ones are those at -+sqrt(n / (n - 1)) t(n - 1) on the scale of the normal distribution
    (Hesterberg, The American Statistician 69(4), 2015, 371-386, section 4.1).

    The interval of `ece` is reversed, 2 * estimate minus the percentiles, at least 0 and widened to include the estimate:
    resampling increases a calibration error, and percentiles would add this to an estimate that is already too high.

    Args:
        estimate: on the patients themselves.
        drawn: (draws,) in each draw.
        patients: number of patients in the smaller class.
        metric: name of the score.
        cases: number of intervals that shall include the truth together (Bonferroni). The distance of both ends from the
            estimate grows by the ratio of Student's quantiles, because draws are too few for percentiles that extreme.
    """
    from scipy.special import ndtr, stdtrit

    drawn = drawn[np.isfinite(drawn)]  # a draw may leave no fold with both classes
    if not len(drawn):
        return float("nan"), float("nan")
    tail = (1 - LEVEL) / 2
    if patients > 1:
        tail = float(ndtr(_stretch(patients) * stdtrit(patients - 1, tail)))
    low, high = np.quantile(drawn, (tail, 1 - tail))
    if metric == "ece":
        low, high = min(estimate, max(0.0, 2 * estimate - high)), max(estimate, 2 * estimate - low)
    if cases > 1:
        nominal, freedom = (1 - LEVEL) / 2, max(patients - 1, 1)
        wider = stdtrit(freedom, nominal / cases) / stdtrit(freedom, nominal)
        low, high = (estimate + wider * (end - estimate) for end in (low, high))
    return float(low), float(high)


def bootstrap_p(drawn: np.ndarray, patients: int) -> float:
    """Return the two-sided p of no difference: one minus the level of the :func:`interval` that just includes 0.

    The smaller share of draws on either side of 0 is expanded as the interval is, and doubled. The observed difference
    counts as one more draw, so that p is never 0 (Davison and Hinkley, Bootstrap Methods and their Application, 1997,
    section 4.2).
    """
    from scipy.special import ndtri, stdtr

    smaller = min(int(np.sum(drawn <= 1e-12)), int(np.sum(drawn >= -1e-12)))
    tail = min(0.5, (smaller + 1) / (len(drawn) + 1))
    if patients > 1:
        tail = float(stdtr(patients - 1, ndtri(tail) / _stretch(patients)))
    return 2 * tail


def _stretch(patients: int) -> float:
    return (patients / (patients - 1)) ** 0.5


def sign_flip_p(first: Clustered, second: Clustered, signs: np.ndarray) -> dict[str, float]:
    """Return for each of METRICS the two-sided p of the hypothesis that two arms are exchangeable within patients.

    It is the share of swaps, including the identity, with a difference at least as far from 0 as the observed one. `signs`
    are those of :func:`flips`.
    """
    observed = first.swapped(second, np.ones((1, signs.shape[1])))
    swapped = first.swapped(second, signs)
    return {
        metric: (1 + int(np.sum(np.abs(swapped[metric]) >= abs(observed[metric][0]) - 1e-12))) / (1 + len(signs))
        for metric in METRICS
    }


def _generator(purpose: str, seed: int, names: Sequence[str] | np.ndarray) -> np.random.Generator:
    text = "\n".join([purpose, str(seed), *map(str, names)])
    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")))
