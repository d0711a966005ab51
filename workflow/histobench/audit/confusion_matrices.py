"""Whether there are confusion matrices that give printed scores: of one test set exactly, of folds by linear programs.

One test set: every matrix (tp, fp) is tried. Folds: a mean over folds is a mean over matrices, one of each fold, and a deviation
fixes the mean of squares. Both are linear in the weights with which matrices are taken, so that a linear program decides
whether *any* weights give them; where none do, no folds do. What the program allows, whole folds may still not give.
Accuracy, recall, specificity and balanced accuracy are linear in the counts themselves, which are whole numbers: for these a
second, integer program is exact (the test of Fazekas and Kovacs 2024, mlscorecheck, for means of scores).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Counts = tuple[int, int]
"""Positives and negatives."""

MAX_MATRICES = 200_000_000
"""Of one test set."""
MAX_WEIGHTS = 60_000
"""Of a linear program."""
TOLERANCE = 1e-9
LINEAR = ("accuracy", "recall", "specificity", "balanced_accuracy")


@dataclass(frozen=True)
class Window:
    """Where a score lies: a printed mean with half a unit of its last digit, and its deviation over folds if printed."""

    mean: float
    half: float
    deviations: tuple[float, float] | None = None
    """The least and the largest population deviation that agree with the printed one."""


def scores_of(tp: np.ndarray, fp: np.ndarray, counts: Counts, average: str = "binary") -> dict[str, np.ndarray]:
    """Return the scores of confusion matrices, each of the shape of `tp` and `fp`, float64; 0 where one divides by 0.

    Args:
        tp: positives called positive.
        fp: negatives called positive.
        counts: positives and negatives.
        average: `binary` (of the positive class), `negative` (of the other), `macro` (their mean) or `weighted` (by counts).
    """
    positives, negatives = counts
    fn, tn, total = positives - tp, negatives - fp, positives + negatives
    sides = {
        "precision": (_ratio(tp, tp + fp), _ratio(tn, tn + fn)),
        "recall": (tp / positives, tn / negatives),
        "f1": (_ratio(2 * tp, 2 * tp + fp + fn), _ratio(2 * tn, 2 * tn + fp + fn)),
    }
    sides |= {"specificity": sides["recall"][::-1], "npv": sides["precision"][::-1]}
    share = {"binary": 1.0, "negative": 0.0, "macro": 0.5, "weighted": positives / total}[average]
    found = {name: share * first + (1 - share) * second for name, (first, second) in sides.items()}
    found["accuracy"] = (tp + tn) / total
    found["balanced_accuracy"] = (tp / positives + tn / negatives) / 2
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    found["mcc"] = _ratio(tp * tn - fp * fn, np.sqrt(product))
    chance = ((tp + fp) * positives + (tn + fn) * negatives) / total**2
    found["kappa"] = _ratio(found["accuracy"] - chance, 1 - chance)
    return found


def matrices(
    windows: Mapping[str, Window], counts: Counts, average: str = "binary"
) -> tuple[int, Counts | None] | None:
    """Return how many confusion matrices of one test set give all printed scores, and one of them as (tp, fp).

    None where there are too many to try.
    """
    positives, negatives = counts
    tps = np.arange(positives + 1)
    if average == "binary" and "recall" in windows:
        tps = tps[_inside(tps / positives, windows["recall"])]
    if len(tps) * (negatives + 1) > MAX_MATRICES:
        return None
    fps, step, number, first = np.arange(negatives + 1.0), max(1, 500_000 // (negatives + 1)), 0, None
    for start in range(0, len(tps), step):
        tp = tps[start : start + step, None].astype(float)
        tp, fp = np.broadcast_arrays(tp, fps[None])
        given = scores_of(tp, fp, counts, average)
        fits = np.ones(tp.shape, bool)
        for name, window in windows.items():
            fits &= _inside(given[name], window)
        number += int(fits.sum())
        if first is None and fits.any():
            place = np.unravel_index(fits.argmax(), fits.shape)
            first = (int(tp[place]), int(fp[place]))
    return number, first


def folds_allow(windows: Mapping[str, Window], folds: Sequence[Counts], average: str = "binary") -> bool | None:
    """Return whether folds with these counts can give printed means and deviations; None if that is too much to compute.

    False is certain. True means that neither program excludes it.
    """
    if _whole_counts_exclude(windows, folds, average):
        return False
    factor = smallest_factor(windows, folds, average)
    return None if factor is None else factor <= 1.001


def smallest_factor(windows: Mapping[str, Window], folds: Sequence[Counts], average: str = "binary") -> float | None:
    """Return by what factor all windows must be widened for the linear program to have a solution; None if it is too large.

    The matrices of a fold are limited to those whose scores are within sqrt(k - 1) deviations of the mean (Samuelson 1968).
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_array, vstack

    shapes = sorted(set(folds))
    columns, owners = [], []
    reach = np.sqrt(len(folds) - 1)
    for index, shape in enumerate(shapes):
        points = _points(windows, shape, average, reach)
        if points is None or sum(block.shape[1] for block in columns) + points.shape[1] > MAX_WEIGHTS:
            return None
        if not points.shape[1]:
            return float("inf")
        columns.append(points)
        owners.append(np.full(points.shape[1], index))
    values, owner = np.hstack(columns), np.concatenate(owners)
    lower, upper = [], []
    for row, window in zip(values, windows.values(), strict=True):
        distance = (row - window.mean) / max(window.half, 1e-7)
        upper.append(distance)
        lower.append(-distance)
        if window.deviations and len(folds) > 1:
            least, most = window.deviations[0] ** 2, window.deviations[1] ** 2 + window.half**2
            middle, width = (least + most) / 2, max((most - least) / 2, 1e-12)
            square = ((row - window.mean) ** 2 - middle) / width
            upper.append(square)
            lower.append(-square)
    sides = np.array(upper + lower)
    system = np.hstack([sides, np.full((len(sides), 1), -1.0)])
    total = csr_array((np.ones(len(owner)), (owner, np.arange(len(owner)))), (len(shapes), len(owner) + 1))
    shares = np.array([folds.count(shape) / len(folds) for shape in shapes])
    aim = np.zeros(len(owner) + 1)
    aim[-1] = 1
    found = linprog(
        aim, system, np.zeros(len(system)), vstack([total]), shares, method="highs", options={"time_limit": 20}
    )
    return float(found.fun) if found.status == 0 else None


def stratified(counts: Counts, folds: int) -> Iterator[list[Counts]]:
    """Yield the counts of stratified folds, whose counts of a class differ by at most 1, in every arrangement."""
    (positives, more), (negatives, extra) = divmod(counts[0], folds), divmod(counts[1], folds)
    for both in range(max(0, more + extra - folds), min(more, extra) + 1):
        first = [1] * more + [0] * (folds - more)
        second = [1] * both + [0] * (more - both) + [1] * (extra - both)
        second += [0] * (folds - len(second))
        yield [(positives + a, negatives + b) for a, b in zip(first, second, strict=True)]


def _points(windows: Mapping[str, Window], shape: Counts, average: str, reach: float) -> np.ndarray | None:
    """Return the scores of the matrices that a fold may have, scores x matrices."""
    if (shape[0] + 1) * (shape[1] + 1) > 4_000_000:
        return None
    tp, fp = (grid.ravel() for grid in np.meshgrid(*(np.arange(count + 1.0) for count in shape), indexing="ij"))
    scores = scores_of(tp, fp, shape, average)
    fits = np.ones(len(tp), bool)
    for name, window in windows.items():
        if window.deviations:
            most = window.half + reach * window.deviations[1] + TOLERANCE
            fits &= abs(scores[name] - window.mean) <= most
    return np.array([scores[name][fits] for name in windows])


def _whole_counts_exclude(windows: Mapping[str, Window], folds: Sequence[Counts], average: str) -> bool:
    """Return whether no whole counts give the means of those scores that are linear in them."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    used = [
        name
        for name in LINEAR
        if name in windows and (average == "binary" or name in ("accuracy", "balanced_accuracy"))
    ]
    if not used:
        return False
    shapes, k = sorted(set(folds)), len(folds)
    number = [folds.count(shape) for shape in shapes]  # folds of one shape matter by their sum alone
    rows: list[list[float]] = []
    for name in used:
        per = {"accuracy": (1, 1), "recall": (1, 0), "specificity": (0, 1), "balanced_accuracy": (0.5, 0.5)}[name]
        row = []
        for positives, negatives in shapes:
            divisors = (positives + negatives,) * 2 if name == "accuracy" else (positives, negatives)
            row += [per[0] / divisors[0] / k, per[1] / divisors[1] / k]
        rows.append(row)
    low = [windows[name].mean - windows[name].half - TOLERANCE for name in used]
    high = [windows[name].mean + windows[name].half + TOLERANCE for name in used]
    zero: Any = np.zeros(2 * len(shapes))
    most: Any = [count * times for shape, times in zip(shapes, number, strict=True) for count in shape]
    # Multiplied, so that the solver's tolerance is far below a printed digit.
    limits: list[Any] = [np.array(rows) * 1e4, np.array(low) * 1e4, np.array(high) * 1e4]
    found = milp(
        zero,
        integrality=np.ones(len(most)),
        bounds=Bounds(zero, most),
        constraints=LinearConstraint(*limits),
        options={"time_limit": 5},
    )
    return found.status == 2


def _inside(values: np.ndarray, window: Window) -> np.ndarray:
    return abs(values - window.mean) <= window.half + TOLERANCE


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros(np.broadcast_shapes(np.shape(above), np.shape(below))), where=below > 0)
