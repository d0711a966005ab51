"""From the predictions of all runs to rows of tables: intervals of every arm, and comparisons of every pair of arms.

The predictions of an arm's folds are pooled. A partition covers every image once; overlapping hold-outs (`official`) keep
an image as often as it was predicted. What cannot be used becomes a gap, one sentence, and everything else is reported.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import combinations, product
from typing import Any

import numpy as np

from histobench.evaluation import calibration, statistics
from histobench.evaluation.bootstrap import (
    LEVEL,
    POOLED,
    Clustered,
    bootstrap_p,
    flips,
    fold_means,
    interval,
    resample,
    sign_flip_p,
)
from histobench.evaluation.pooling import Arm, pool, require_equal_images
from histobench.evaluation.predictions import SELECTIONS, Gap, Predictions
from histobench.evaluation.summary import ARM, one_class
from histobench.metrics import METRICS, all_scores, decide
from histobench.study.runs import Run

INTERVALS_COLUMNS = (
    *(*ARM, "selection", "metric", "estimate", "low", "high", "level", "patients", "images"),
    *("folds", "fold_mean", "fold_mean_low", "fold_mean_high", "smaller_class", "one_class"),
)
CELL = ("dataset", "split", "magnification", "augmentation", "selection")
"""What two arms have in common when they are compared."""
COMPARISONS_COLUMNS = (
    *(*CELL, "first", "second", "metric", "folds", "patients"),
    *("first_value", "second_value", "difference", "effect_size", "pooled_difference", "low", "high"),
    *("sign_flip_p", "holm_p", "bootstrap_p", "nadeau_bengio_t", "nadeau_bengio_p"),
    *("wilcoxon_p", "wilcoxon_floor", "mcnemar_p", "delong_p", "difference_low", "difference_high", "smaller_class"),
)
CALIBRATION_COLUMNS = (*ARM, "selection", "bin", "low", "high", "images", "mean_probability", "malignant_share")
EXTERNAL_INTERVALS_COLUMNS = (
    *("on", *ARM, "metric", "estimate", "low", "high", "level", "folds", "patients", "images"),
    *("smaller_class", "one_class"),
)

Row = dict[str, Any]
Pair = tuple[str, str]
Place = tuple[object, ...]
"""The values of :data:`CELL` without `selection`."""


@dataclass
class Findings:
    """Rows of the four tables."""

    intervals: list[Row] = field(default_factory=list)
    comparisons: list[Row] = field(default_factory=list)
    calibration: list[Row] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)


def analyse(
    declared: Sequence[Run],
    runs: Mapping[Run, Predictions],
    splits: Mapping[str, Mapping[str, Any]],
    pairs: Sequence[Pair] = (),
    draws: int = 10_000,
    seed: int = 0,
) -> Findings:
    """Return intervals and calibration of every arm, comparisons of pairs of arms, and the gaps.

    Args:
        declared: every run of the study; their arms make up the family of pairs where `pairs` is empty.
        runs: the usable ones.
        splits: each split policy's `by` and `folds`.
        pairs: pairs of arms, each `MODEL/MODE`: one family for Holm's correction in each cell and metric.
        draws: number of bootstrap draws and of sign flips.
        seed: of the draws.

    Raises:
        HistoBenchError: arms predict different images.
    """
    families = _families(declared, pairs)
    arms, gaps = pool(declared, runs, splits)
    require_equal_images(arms)
    found = Findings(gaps=gaps)
    places: dict[Place, dict[str, Arm]] = {}
    for arm in arms:
        places.setdefault(_place(arm.first), {})[arm.name] = arm
    for (place, every), selection in product(places.items(), SELECTIONS):
        here = {name: arm for name, arm in every.items() if selection in arm.logit}
        if not here:
            continue
        counted = {name: arm.clustered(selection) for name, arm in here.items()}
        patients, classes = next((arm.names, arm.classes) for arm in counted.values())  # of every arm in this place
        weights, signs = _drawn(tuple(patients), tuple(classes), draws, seed)
        estimates = {name: arm.values() for name, arm in counted.items()}
        values = {name: arm.values(weights) for name, arm in counted.items()}
        of_folds = {name: arm.folds(selection) for name, arm in here.items()}
        means = {name: fold_means(folds, patients) for name, folds in of_folds.items()}
        drawn = {name: fold_means(folds, patients, weights) for name, folds in of_folds.items()}
        fold_scores = {name: _fold_scores(arm, selection, runs) for name, arm in here.items()}
        for name, arm in here.items():
            key = {column: getattr(arm.first, column) for column in ARM} | {"selection": selection}
            for row in _intervals(counted[name], estimates[name], values[name]):
                row |= {"folds": len(of_folds[name])} | _mean_of_folds(
                    row["metric"], means[name], drawn[name], counted[name].smaller
                )
                row["one_class"] = one_class([fold.calls for fold in of_folds[name]])
                found.intervals.append(key | row)
            found.calibration += [key | row for row in calibration.reliability(arm.label, arm.logit[selection])]
        rows = []
        for pair in families[place]:
            if set(pair) <= here.keys():
                first, second = (here[name] for name in pair)
                key = dict(zip(CELL, (*place, selection), strict=True)) | {"first": pair[0], "second": pair[1]}
                tests = sign_flip_p(counted[pair[0]], counted[pair[1]], signs)
                for metric in METRICS:
                    rows.append(
                        key
                        | {"metric": metric, "patients": len(patients), "sign_flip_p": tests[metric]}
                        | _pooled(
                            [estimates[name][metric] for name in pair],
                            [values[name][metric] for name in pair],
                            counted[pair[0]].smaller,
                        )
                        | _of_folds([fold_scores[name][metric] for name in pair], first.test_to_train)
                        | _difference_of_folds(
                            [means[name][metric] for name in pair],
                            [drawn[name][metric] for name in pair],
                            counted[pair[0]].smaller,
                        )
                        | _of_images(metric, selection, first, second)
                    )
        for metric in METRICS:
            chosen = [row for row in rows if row["metric"] == metric]
            adjusted = statistics.holm([row["sign_flip_p"] for row in chosen], len(families[place]))
            for row, p in zip(chosen, adjusted, strict=True):
                row["holm_p"] = p
        found.comparisons += rows
    for where in dict.fromkeys(f"{arm.first.dataset}/{arm.first.split}" for arm in arms if not arm.partition):
        found.gaps.append(
            Gap(
                where,
                f"{where}: its hold-outs overlap and images occur several times, so Nadeau-Bengio, McNemar and DeLong are "
                "left out; the tests that resample patients are given",
            )
        )
    return found


def external_intervals(runs: Mapping[tuple[str, Run], Predictions], draws: int = 10_000, seed: int = 0) -> list[Row]:
    """Return the intervals of an external test: of the mean over the models of an arm's folds, as Table 6 shows it.

    The patients of the other dataset are resampled within class, the same ones for every model; where it names no
    patients, its images are. The effect of another training set is in the deviation over folds, not here. `runs` holds for
    each other dataset and run what the run predicts there.
    """
    arms: dict[tuple[str, str], list[tuple[Run, Predictions]]] = {}
    for (on, run), part in runs.items():
        arms.setdefault((on, run.arm), []).append((run, part))
    rows = []
    for (on, _), members in arms.items():
        first, part = members[0]
        folds = [Clustered(part.label, part.logit["last"], part.group) for _, part in members]
        estimates = [arm.values() for arm in folds]
        weights, _ = _drawn(tuple(folds[0].names), tuple(folds[0].classes), draws, seed)
        values = [arm.values(weights) for arm in folds]
        for metric in POOLED:
            estimate = float(np.mean([value[metric][0] for value in estimates]))
            mean = np.mean([value[metric] for value in values], axis=0)
            low, high = interval(estimate, mean, folds[0].smaller, metric)
            rows.append(
                {"on": on}
                | {name: getattr(first, name) for name in ARM}
                | {"metric": metric, "estimate": estimate, "low": low, "high": high, "level": LEVEL}
                | {"folds": len(folds), "patients": len(folds[0].names), "images": len(part.label)}
                | {"smaller_class": folds[0].smaller, "one_class": one_class([fold.calls for fold in folds])}
            )
    return rows


def _families(declared: Sequence[Run], pairs: Sequence[Pair]) -> dict[Place, list[Pair]]:
    arms: dict[Place, dict[str, None]] = {}
    for run in declared:
        arms.setdefault(_place(run), {})[f"{run.model}/{run.mode}"] = None
    return {
        place: [pair for pair in pairs if set(pair) <= names.keys()] if pairs else list(combinations(names, 2))
        for place, names in arms.items()
    }


def _place(run: Run) -> Place:
    return tuple(getattr(run, name) for name in CELL[:-1])


@cache  # the patients of a dataset are the same at every magnification and for every arm
def _drawn(names: tuple[str, ...], classes: tuple[int, ...], draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the bootstrap weights and the sign flips of patients, each (draws, patients)."""
    return resample(names, np.array(classes), draws, seed), flips(names, draws, seed)


def _intervals(arm: Clustered, estimates: Mapping[str, np.ndarray], drawn: Mapping[str, np.ndarray]) -> list[Row]:
    counts = {"level": LEVEL, "patients": len(arm.names), "images": int(arm.confusion.sum())}
    rows = []
    for metric, (estimate,) in estimates.items():
        low, high = interval(float(estimate), drawn[metric], arm.smaller, metric)
        rows.append({"metric": metric, "estimate": float(estimate), "low": low, "high": high} | counts)
    return rows


def _pooled(estimates: Sequence[np.ndarray], drawn: Sequence[np.ndarray], patients: int) -> Row:
    """Return the difference of the pooled scores of two arms, its interval, and the bootstrap's p.

    The scores are (1,), those in each draw (draws,); `patients` is the number of patients in the smaller class.
    """
    observed, differences = float(estimates[0][0] - estimates[1][0]), drawn[0] - drawn[1]
    low, high = interval(observed, differences, patients)
    return {"pooled_difference": observed, "low": low, "high": high, "bootstrap_p": bootstrap_p(differences, patients)}


def _mean_of_folds(metric: str, means: Mapping[str, np.ndarray], drawn: Mapping[str, np.ndarray], patients: int) -> Row:
    """Return the mean over folds of a score and its interval; None where no draw has a fold with both classes."""
    mean = float(means[metric][0])
    low, high = map(_known, interval(mean, drawn[metric], patients, metric))
    return {"fold_mean": mean, "fold_mean_low": low, "fold_mean_high": high, "smaller_class": patients}


def _difference_of_folds(means: Sequence[np.ndarray], drawn: Sequence[np.ndarray], patients: int) -> Row:
    """Return the interval of the difference of two arms' means over folds."""
    low, high = map(_known, interval(float(means[0][0] - means[1][0]), drawn[0] - drawn[1], patients))
    return {"difference_low": low, "difference_high": high, "smaller_class": patients}


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _fold_scores(arm: Arm, selection: str, runs: Mapping[Run, Predictions]) -> dict[str, list[float]]:
    folds = [runs[replace(arm.first, fold=fold)] for fold in sorted({row[0] for row in arm.images})]
    scored = [all_scores(part.label, part.logit[selection], part.group) for part in folds]
    return {metric: [scores[metric] for scores in scored] for metric in METRICS}


def _of_folds(scores: Sequence[Sequence[float]], test_to_train: float | None) -> Row:
    """Return the mean scores of two arms over folds, their difference and effect size, and the tests on fold scores."""
    first, second = map(np.array, scores)
    differences = first - second
    corrected = statistics.Test(None, None)
    if test_to_train is not None:
        corrected = statistics.nadeau_bengio(differences, test_to_train)
    ranked = statistics.wilcoxon(differences)
    return {
        "folds": len(differences),
        "first_value": float(first.mean()),
        "second_value": float(second.mean()),
        "difference": float(differences.mean()),
        "effect_size": statistics.effect_size(differences),
        "nadeau_bengio_t": corrected.statistic,
        "nadeau_bengio_p": corrected.p,
        "wilcoxon_p": ranked.p,
        "wilcoxon_floor": ranked.floor,
    }


def _of_images(metric: str, selection: str, first: Arm, second: Arm) -> Row:
    """Return the secondary tests, which assume that images are independent."""
    mcnemar = delong = None
    if first.partition and metric == "accuracy":
        truth = first.label == 1
        mcnemar = statistics.mcnemar(*(decide(arm.logit[selection]) == truth for arm in (first, second)))
    if first.partition and metric == "auc":
        delong = statistics.delong(first.label, first.logit[selection], second.logit[selection]).p
    return {"mcnemar_p": mcnemar, "delong_p": delong}
