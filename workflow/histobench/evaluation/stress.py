"""How much the scores of runs fall on altered images: with paired intervals, by shift and strength, and over all of them.

A drop is the score on unaltered images minus that on altered ones. Models and images are the same, and so are the groups in each draw:
intervals of drops are paired. They leave out the variance of training.

The relative drop is the share of what a score has above guessing that is lost, (s0 - s) / (s0 - 0.5), mean over strengths and, of all
shifts together, over shifts. It is given for the balanced accuracy and the AUC, which are 0.5 for guesses whatever the classes' sizes.
Unlike the relative corruption error of Hendrycks and Dietterich ("Benchmarking neural network robustness to common corruptions and
perturbations", ICLR 2019) it needs no model to compare with; a study has none that all others could be related to.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from histobench.evaluation.bootstrap import LEVEL, Clustered, fold_means, interval, resample, spread
from histobench.evaluation.groups import Groups
from histobench.evaluation.pooling import mean_scores
from histobench.evaluation.predictions import AGAIN, named
from histobench.evaluation.summary import GROUPS
from histobench.io.errors import HistoBenchError
from histobench.io.files import read_csv
from histobench.study.runs import ARM, Run, of_stress
from histobench.study.stress_settings import COLUMNS, CONDITIONS, NONE, STRENGTHS

METRICS = ("accuracy", "balanced_accuracy", "auc")
RELATIVE = ("balanced_accuracy", "auc")
GUESSING = 0.5
MEAN, ALL = "mean", "all"
"""In the column `strength`, the mean over strengths; in the column `shift`, over shifts too."""
NUMBERS = tuple(f"{name}{end}" for name in ("estimate", "drop", "relative_drop") for end in ("", "_low", "_high"))
STRESS_COLUMNS = (*ARM, "shift", "strength", "value", "metric", *NUMBERS, "level", "unit", *GROUPS, "freedom")
STRESS_COLUMNS = (*STRESS_COLUMNS, "images", "folds", "seeds")

Row = dict[str, Any]
Condition = tuple[str, int]
"""Shift and strength."""
Scores = dict[str, np.ndarray]
"""Metric -> one value, or one for each draw."""


class Stressed:
    """What one run predicts for its N evaluation images under each of the conditions."""

    def __init__(self, path: Path):
        """Read a file of :data:`histobench.study.stress_settings.COLUMNS`.

        Raises:
            HistoBenchError: the file is missing, or its images are not the same under every condition.
        """
        found: dict[Condition, list[tuple[tuple[str, ...], float]]] = {}
        try:
            for row in read_csv(path, COLUMNS):
                key = (row["image_id"], row["group"], row["label"])
                found.setdefault((row["shift"], int(row["strength"])), []).append((key, float(row["logit"])))
        except (TypeError, ValueError):
            found = {}
        images = [[image for image, _ in found.get(condition, [])] for condition in CONDITIONS]
        if not images[0] or any(other != images[0] for other in images) or len(found) != len(CONDITIONS):
            raise HistoBenchError(
                f"{path}: lacks rows of an image, a shift or a strength, or holds damaged ones; {AGAIN}"
            )
        self.logit = {one: np.array([logit for _, logit in rows]) for one, rows in found.items()}
        self.image_id = [name for name, _, _ in images[0]]
        self.group = np.array([group for _, group, _ in images[0]])
        self.label = np.array([label == "1" for _, _, label in images[0]], dtype=np.int8)

    def clustered(self, condition: Condition) -> Clustered:
        """Return the counts per group under a condition."""
        return Clustered(self.label, self.logit[condition], self.group)


def read_runs(paths: Iterable[Path]) -> dict[Run, Stressed]:
    """Return what runs predict, by files that are named results/DATASET-KEY/stress/.../fold1.csv."""
    form = ".../DATASET-KEY/stress/MODEL/MODE/SPLIT/40x/AUGMENTATION-KEY/seed0/fold1.csv"
    return {run: Stressed(path) for run, path in named(paths, of_stress, form).items()}


def drops(
    runs: Mapping[Run, Stressed],
    shifts: Mapping[str, Sequence[str]],
    splits: Mapping[str, Mapping[str, Any]],
    draws: int = 10_000,
    seed: int = 0,
) -> list[Row]:
    """Return the rows of stress.csv: scores under each condition, drops, and their means over strengths and shifts.

    Scores are means over folds and seeds, as in the other tables.

    Args:
        runs: every fold and seed of every arm.
        shifts: the shifts that are reported of each arm, by its name (:attr:`Run.arm`).
        splits: each split policy's `unit`, what its groups are.
        draws: number of bootstrap draws.
        seed: of the draws.
    """
    arms: dict[str, list[tuple[Run, Stressed]]] = {}
    for run, part in runs.items():
        arms.setdefault(run.arm, []).append((run, part))
    rows: list[Row] = []
    for name, members in arms.items():
        first, seeds = members[0][0], sorted({run.seed for run, _ in members})
        one = [(run.fold, part) for run, part in members if run.seed == seeds[0]]
        group, label = (np.concatenate([getattr(part, column) for _, part in one]) for column in ("group", "label"))
        groups = Groups.of(group, label, np.concatenate([np.full(len(part.label), fold) for fold, part in one]))
        weights = resample(groups, draws, seed)
        conditions = [(NONE, 0), *(condition for condition in CONDITIONS if condition[0] in shifts[name])]
        means: dict[Condition, Scores] = {}
        drawn: dict[Condition, Scores] = {}
        for condition in conditions:
            by_seed = [[part.clustered(condition) for run, part in members if run.seed == one] for one in seeds]
            means[condition] = mean_scores([fold_means(folds, groups) for folds in by_seed])
            resampled = mean_scores([fold_means(folds, groups, weights) for folds in by_seed])
            drawn[condition] = spread(means[condition], resampled, groups)
        key: Row = {column: getattr(first, column) for column in ARM}
        about = {"level": LEVEL, "unit": splits[first.split]["unit"], **groups.counts, "images": len(label)}
        about |= {"folds": len(one), "seeds": len(seeds)}
        for metric in METRICS:
            plain = Value(means, drawn, [(NONE, 0)], metric, groups)
            for shift, strength, own in _places(conditions):
                value = STRENGTHS[shift][strength - 1] if shift in STRENGTHS and isinstance(strength, int) else None
                place = {"shift": shift, "strength": strength, "value": value, "metric": metric}
                numbers = Value(means, drawn, own, metric, groups).numbers(plain, shift == NONE)
                rows.append(key | place | numbers | about)
    return rows


class Value:
    """A score under one condition, or its mean over several, and its draws."""

    def __init__(
        self,
        means: Mapping[Condition, Scores],
        drawn: Mapping[Condition, Scores],
        conditions: Sequence[Condition],
        metric: str,
        groups: Groups,
    ):
        self.metric, self.groups = metric, groups
        self.estimate = float(np.mean([means[one][metric] for one in conditions]))
        self.drawn: np.ndarray = np.mean([drawn[one][metric] for one in conditions], axis=0)

    def numbers(self, plain: "Value", is_plain: bool) -> Row:
        """Return :data:`NUMBERS`, None where there is none; `plain` is the score of unaltered images."""
        found = self._ends("estimate", self.estimate, self.drawn)
        if is_plain:
            return found
        drop, drawn = plain.estimate - self.estimate, plain.drawn - self.drawn
        found |= self._ends("drop", drop, drawn)
        least = interval(plain.estimate, plain.drawn, self.groups.freedom, self.metric)[0]
        if self.metric in RELATIVE and least > GUESSING:
            above = plain.drawn - GUESSING
            relative = np.divide(drawn, above, out=np.full(len(above), np.nan), where=above > 0)
            found |= self._ends("relative_drop", drop / (plain.estimate - GUESSING), relative)
        return found

    def _ends(self, name: str, estimate: float, drawn: np.ndarray) -> Row:
        ends = interval(estimate, drawn, self.groups.freedom, self.metric if name == "estimate" else "")
        low, high = (end if np.isfinite(end) else None for end in ends)
        return {name: estimate, f"{name}_low": low, f"{name}_high": high}


def _places(conditions: Sequence[Condition]) -> list[tuple[str, int | str, list[Condition]]]:
    """Return each condition, the mean of each shift, and that of all, with the conditions that they are of."""
    altered = [condition for condition in conditions if condition[0] != NONE]
    shifts = dict.fromkeys(shift for shift, _ in altered)
    of_shift = [(shift, MEAN, [one for one in altered if one[0] == shift]) for shift in shifts]
    return [*((*one, [one]) for one in conditions), *of_shift, (ALL, MEAN, altered)]
