"""Scores of arms with several classes, means over folds and pooled, with bootstrap intervals whose groups are resampled.

Macro scores are means over the classes that have images: in a fold without images of a class they are means over the others.
Groups (patients or accession numbers) are drawn within their class, in all folds together: a class often has a single group in
a fold, which could not vary. A group with images of several classes, such as BreakHis's slide 13412 (DC and
LC), is drawn among the groups of just these classes, and always once where it is the only one. As in
:mod:`histobench.evaluation.bootstrap`, n - 1 of n groups are drawn and percentiles are those of Student's t; deviations are
widened by the variance of groups that are alone in their stratum, which cannot be seen.

Each score is a function of counts per group, and a draw is a weight for each group, so that nothing is ranked again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from histobench.evaluation.bootstrap import Clustered, interval, resample
from histobench.evaluation.class_predictions import ClassPredictions
from histobench.evaluation.groups import Groups
from histobench.evaluation.variance import with_training_variance
from histobench.metrics import class_rates, log_probabilities
from histobench.study.class_files import SCORES, SELECTIONS
from histobench.study.runs import ARM, Run

ALL = "all"
"""What stands in column `class` for a score of all classes."""
OF_CLASS = ("recall", "precision", "f1", "auc")
MACRO = dict(zip(SCORES[1:], ("recall", "f1", "auc"), strict=True))
"""Macro score -> the score of each class that it is the mean of."""
COLUMNS = (
    *(*ARM, "selection", "class", "metric", "folds", "seeds", "unit", "groups", "images", "freedom"),
    *("fold_mean", "fold_mean_low", "fold_mean_high", "fold_std", "estimate", "low", "high"),
)
"""Columns of class_scores.csv. `folds` is the number of those in which the score is defined, `groups` and `images` those of the class.
`fold_mean` is the mean over folds, `estimate` that of the pooled predictions of all folds, each image once."""

Key = tuple[str, str]
"""A class or :data:`ALL`, and a score."""
Values = dict[Key, np.ndarray]


class ClassCounts:
    """Predictions as counts per group, from which every score of every resample is computed."""

    def __init__(self, label: np.ndarray, logits: np.ndarray, group: np.ndarray, classes: Sequence[str]):
        """Count images (N,) of the places `label` among `classes`, with their logits (N, K), per group."""
        self.classes = classes
        self.names, index = np.unique(group, return_inverse=True)
        size = len(classes)
        cell = size * (size * index + label) + logits.argmax(axis=1)
        self.confusion = np.bincount(cell, minlength=len(self.names) * size**2).reshape(len(self.names), -1)
        """(P, K * K) images of each true class and called class."""
        known = log_probabilities(logits)
        self.ranked = {
            place: Clustered(label == place, known[:, place], group)
            for place in range(size)
            if 0 < np.count_nonzero(label == place) < len(label)
        }
        """Of each class that occurs beside others: its images against all others, by the probability of the class."""

    def values(self, weights: np.ndarray | None = None) -> Values:
        """Return each score in each draw, (draws,); NaN where a draw has no image that it could be of.

        Args:
            weights: (draws, P) weights of the groups. None: a single draw with each group once.
        """
        w = np.ones((1, len(self.names))) if weights is None else weights
        size = len(self.classes)
        counts = (w @ self.confusion).reshape(-1, size, size)
        rates = class_rates(counts)
        absent = np.full(len(w), np.nan)
        auc = np.stack([self.ranked[place].auc(w) if place in self.ranked else absent for place in range(size)], axis=1)
        with np.errstate(invalid="ignore"):
            accuracy = np.trace(counts, axis1=1, axis2=2) / counts.sum(axis=(1, 2))
        macro = (accuracy, *(mean_defined(values.T) for values in (rates["recall"], rates["f1"], auc)))
        found: Values = {(ALL, name): values for name, values in zip(SCORES, macro, strict=True)}
        for name, values in {**rates, "auc": auc}.items():
            found |= {(one, name): values[:, place] for place, one in enumerate(self.classes)}
        return found


def mean_defined(values: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean over the first axis of the values that are not NaN; NaN where all are."""
    values = np.asarray(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nansum(values, axis=0) / np.sum(~np.isnan(values), axis=0)


def fold_means(drawn: Sequence[Values], observed: Sequence[Values]) -> Values:
    """Return the mean over folds of each score in each draw, (draws,), of the draws and the scores of each fold.

    A class of a fold of which a draw has no group there counts with its mean over the other folds of the draw. If it were left
    out, classes of few groups would weigh less in the draws than in the score, and their intervals would be too narrow.
    """
    found: Values = {(ALL, "accuracy"): mean_defined([values[ALL, "accuracy"] for values in drawn])}
    cells: dict[str, dict[int, list[np.ndarray]]] = {metric: {} for metric in OF_CLASS}
    for one, metric in (key for key in drawn[0] if key[0] != ALL):
        has = {
            fold: values[one, metric]
            for fold, values in enumerate(drawn)
            if np.isfinite(observed[fold][one, metric][0])
        }
        mean = mean_defined(list(has.values())) if has else np.full_like(found[ALL, "accuracy"], np.nan)
        found[one, metric] = mean
        for fold, values in has.items():
            cells[metric].setdefault(fold, []).append(np.where(np.isnan(values), mean, values))
    for name, metric in MACRO.items():
        own = [mean_defined(several) for several in cells[metric].values()]
        found[ALL, name] = mean_defined(own) if own else np.full_like(found[ALL, "accuracy"], np.nan)
    return found


def groups_of(group: np.ndarray, label: np.ndarray) -> Groups:
    """Return the groups of images: (N,) their ids and the places of their classes, of which each group has a set of bits."""
    bits: dict[str, int] = {}
    for name, place in zip(group.tolist(), label.tolist(), strict=True):
        bits[name] = bits.get(name, 0) | 1 << place
    names = sorted(bits)
    return Groups(tuple(names), tuple(bits[name] for name in names), (0,) * len(names))


def of_strata(groups: Groups, shares: Mapping[int, float]) -> tuple[float, float]:
    """Return degrees of freedom, and the factor by which deviations are too small, of a sum of `shares` times a mean of each class.

    Where groups vary alike, a stratum of m of a class's n groups adds v = (share m / n)^2 / m to the variance: the degrees are
    those of Satterthwaite, as of :attr:`histobench.evaluation.groups.Groups.freedom`, 0 if every stratum is a single group.
    """
    strata = []
    for place, share in shares.items():
        own = [classes for classes in groups.classes if classes >> place & 1]
        strata += [(m, share**2 * m / len(own) ** 2) for m in Counter(own).values()]
    seen = [(m, v) for m, v in strata if m > 1]
    if not seen:
        return 0.0, 1.0
    known = sum(v for _, v in seen)
    return round(known**2 / sum(v**2 / (m - 1) for m, v in seen), 1), (sum(v for _, v in strata) / known) ** 0.5


def score(
    runs: Mapping[Run, ClassPredictions],
    classes: Sequence[str],
    units: Mapping[str, str],
    draws: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Return the rows of class_scores.csv: for each arm and selection every score of all classes and of each class.

    Args:
        runs: the predictions of every run.
        classes: names of the classes.
        units: what is resampled under each split policy.
        draws: bootstrap draws.
        seed: their seed.
    """
    arms: dict[str, dict[int, dict[int, ClassPredictions]]] = {}
    first: dict[str, Run] = {}
    for run in sorted(runs, key=lambda run: (run.seed, run.fold)):
        arms.setdefault(run.arm, {}).setdefault(run.seed, {})[run.fold] = runs[run]
        first.setdefault(run.arm, run)
    rows = []
    for run in dict.fromkeys(first[run.arm] for run in runs):
        seeds = [list(folds.values()) for folds in arms[run.arm].values()]
        key = {name: getattr(run, name) for name in ARM}
        for selection in SELECTIONS:
            named = f"{run.arm}/{selection}"
            rows += [
                key | {"selection": selection, "seeds": len(seeds), "unit": units[run.split]} | row
                for row in _of_arm(seeds, selection, classes, draws, seed, named)
            ]
    return rows


def _of_arm(
    seeds: Sequence[Sequence[ClassPredictions]],
    selection: str,
    classes: Sequence[str],
    draws: int,
    seed: int,
    name: str,
) -> list[dict[str, Any]]:
    """Return the rows of one arm and selection, of which `seeds` has the folds of each seed."""
    label, group = (np.concatenate([getattr(part, what) for part in seeds[0]]) for what in ("label", "group"))
    groups = groups_of(group, label)
    weights = resample(groups, draws, seed)
    pooled, pooled_drawn, folds, folds_drawn = [], [], [], []
    for parts in seeds:
        whole = ClassCounts(label, np.concatenate([part.logits[selection] for part in parts]), group, classes)
        pooled.append(whole.values())
        pooled_drawn.append(whole.values(weights))
        each = [ClassCounts(part.label, part.logits[selection], part.group, classes) for part in parts]
        folds.append([fold.values() for fold in each])
        drawn = [fold.values(weights[:, np.searchsorted(groups.names, fold.names)]) for fold in each]
        folds_drawn.append(fold_means(drawn, folds[-1]))
    images = np.bincount(label, minlength=len(classes))
    present = np.flatnonzero(images).tolist()
    rows = []
    for key in pooled[0]:
        one, metric = key
        place = None if one == ALL else classes.index(one)
        if place is not None and not images[place]:
            continue
        shares = {place: 1.0} if place is not None else dict.fromkeys(present, 1.0)
        if metric == "accuracy":
            shares = {other: images[other] / len(label) for other in present}
        freedom, widening = of_strata(groups, shares)
        of_runs = np.array([[values[key][0] for values in parts] for parts in folds]).T  # (folds, seeds)
        of_folds = of_runs[np.isfinite(of_runs).all(axis=1)].mean(axis=1)
        mean, estimate = (
            (float(of_folds.mean()) if len(of_folds) else np.nan),
            float(np.mean([values[key] for values in pooled])),
        )
        drawn = np.mean([values[key] for values in folds_drawn], axis=0)
        drawn = np.clip(mean + widening * (drawn - mean), 0, 1)
        drawn = with_training_variance(drawn, of_runs[np.isfinite(of_runs).all(axis=1)], f"{name}/{one}/{metric}", seed)
        whole = np.mean([values[key] for values in pooled_drawn], axis=0)
        whole = np.clip(estimate + widening * (whole - estimate), 0, 1)
        ends = interval(mean, drawn, freedom), interval(estimate, whole, freedom)
        own = [bits for bits in groups.classes if place is None or bits >> place & 1]
        values = (mean, *ends[0], float(of_folds.std(ddof=1)) if len(of_folds) > 1 else np.nan, estimate, *ends[1])
        columns = COLUMNS[COLUMNS.index("fold_mean") :]
        rows.append(
            {"class": one, "metric": metric, "folds": len(of_folds), "groups": len(own), "freedom": freedom}
            | {"images": len(label) if place is None else int(images[place])}
            | {column: None if np.isnan(value) else value for column, value in zip(columns, values, strict=True)}
        )
    return rows
