"""Pooled out-of-fold predictions of arms, and which of them can be compared."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from histobench.evaluation.bootstrap import Clustered, fold_means, spread
from histobench.evaluation.groups import Groups
from histobench.evaluation.predictions import AGAIN, SELECTIONS, Gap, Predictions
from histobench.evaluation.variance import with_training_variance
from histobench.io.errors import HistoBenchError
from histobench.study.runs import Run


@dataclass(frozen=True)
class Arm:
    """The pooled predictions of an arm's folds, in the order of fold and image."""

    first: Run
    """The arm's first seed and fold."""
    images: tuple[tuple[int, str, str, int, str], ...]
    """Fold, image, group, label and accession number of each row."""
    logit: Mapping[str, np.ndarray]
    """For each selection that every run has, (seeds, N) logits."""
    partition: bool
    """Whether the folds are a partition of the images."""

    @property
    def name(self) -> str:
        """`MODEL/MODE`."""
        return f"{self.first.model}/{self.first.mode}"

    @property
    def label(self) -> np.ndarray:
        """(N,) 0 benign, 1 malignant."""
        return np.array([row[3] for row in self.images], dtype=np.int8)

    @property
    def test_to_train(self) -> float | None:
        """Mean over folds of images that evaluate per image that trains; None for hold-outs, overlapping or a single one."""
        tested = Counter(row[0] for row in self.images)
        if not self.partition or len(tested) < 2:
            return None
        return float(np.mean([count / (len(self.images) - count) for count in tested.values()]))

    def groups(self, accession: bool = False) -> Groups:
        """Return what is resampled: the groups of the images, or their accession numbers."""
        return Groups.of(self._column(4 if accession else 2), self.label, self._column(0))

    def clustered(self, selection: str) -> list[Clustered]:
        """Return the counts per group of one selection, with each seed."""
        return [Clustered(self.label, logit, self._column(2)) for logit in self.logit[selection]]

    def folds(self, selection: str, accession: bool = False) -> list[list[Clustered]]:
        """Return the same of each fold, with each seed; or the counts per accession number."""
        fold, group = self._column(0), self._column(4 if accession else 2)
        return [
            [Clustered(self.label[own], logit[own], group[own]) for own in (fold == one for one in np.unique(fold))]
            for logit in self.logit[selection]
        ]

    def _column(self, index: int) -> np.ndarray:
        return np.array([row[index] for row in self.images])


class Scored:
    """The scores of an arm with one selection: everything is a mean over seeds."""

    def __init__(self, arm: Arm, selection: str, groups: Groups, weights: np.ndarray, seed: int):
        """Score an arm; `weights` are (draws, groups), `seed` is that of the draws."""
        self._name, self._seed = f"{arm.first.arm}/{selection}", seed
        self.seeds = arm.clustered(selection)
        self.folds = arm.folds(selection)
        self.pooled = mean_scores([one.values() for one in self.seeds])
        """Score -> (1,), as the next."""
        self.means = mean_scores([fold_means(folds, groups) for folds in self.folds])
        self.pooled_drawn = spread(self.pooled, mean_scores([one.values(weights) for one in self.seeds]), groups)
        """Score -> (draws,), as the next."""
        drawn = mean_scores([fold_means(folds, groups, weights) for folds in self.folds])
        self.means_drawn = self.with_training(spread(self.means, drawn, groups))

    @cached_property
    def run_scores(self) -> dict[str, np.ndarray]:
        """Return each score of each run, (folds, seeds)."""
        values = [[fold.values() for fold in folds] for folds in self.folds]
        return {name: np.array([[fold[name][0] for fold in folds] for folds in values]).T for name in self.means}

    @property
    def fold_scores(self) -> dict[str, np.ndarray]:
        """Return each score of each fold, (folds,)."""
        return {name: scores.mean(axis=1) for name, scores in self.run_scores.items()}

    def with_training(self, drawn: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return draws of the mean over folds with the variance of training, where there are several seeds."""
        return {
            name: with_training_variance(values, self.run_scores[name], f"{self._name}/{name}", self._seed)
            for name, values in drawn.items()
        }


def mean_scores(values: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the mean of each score over seeds or folds."""
    return {name: np.mean([one[name] for one in values], axis=0) for name in values[0]}


def pool(
    declared: Sequence[Run], runs: Mapping[Run, Predictions], splits: Mapping[str, Mapping[str, Any]]
) -> tuple[list[Arm], list[Gap]]:
    """Return the arms whose folds are all there, and a gap for each of the others."""
    members: dict[str, list[Run]] = {}
    for run in declared:
        members.setdefault(run.arm, []).append(run)
    arms, gaps = [], []
    for name, expected in members.items():
        policy = splits[expected[0].split]
        seeds = list(dict.fromkeys(run.seed for run in expected))
        wanted = [(seed, fold) for seed in seeds for fold in range(1, policy["folds"] + 1)]
        present = {(run.seed, run.fold): run for run in expected if run in runs}
        missing = [
            f"{fold}{f' of seed {seed}' * (len(seeds) > 1)}" for seed, fold in wanted if (seed, fold) not in present
        ]
        if missing:
            numbers = f"fold{'s' if len(missing) > 1 else ''} {', '.join(missing)}"
            are = "are" if len(missing) > 1 else "is"
            reason = f"{numbers} {are} missing or unusable, so it has no intervals and is not compared"
            gaps.append(Gap(name, f"{name}: {reason}"))
            continue
        made = [_pooled({run.fold: runs[run] for run in present.values() if run.seed == seed}) for seed in seeds]
        images = made[0][0]
        if any(other != images for other, _ in made):
            raise HistoBenchError(f"{name}: its seeds have different images, folds or groups; {AGAIN}")
        shared = [selection for selection in made[0][1] if all(selection in logit for _, logit in made)]
        logit = {selection: np.array([one[selection] for _, one in made]) for selection in shared}
        arms.append(Arm(present[min(present)], images, logit, partition=policy["by"] != "official"))
    return arms, gaps


def _pooled(parts: Mapping[int, Predictions]) -> tuple[tuple, dict[str, np.ndarray]]:
    """Return the rows of the predictions of all folds, sorted, and for each selection their logits."""
    rows = [
        (fold, image, str(group), int(label), str(accession))
        for fold, part in parts.items()
        for image, group, label, accession in zip(part.image_id, part.group, part.label, part.accession, strict=True)
    ]
    order = sorted(range(len(rows)), key=rows.__getitem__)
    names = [name for name in SELECTIONS if all(name in part.logit for part in parts.values())]
    logit = {name: np.concatenate([part.logit[name] for part in parts.values()])[order] for name in names}
    return tuple(rows[index] for index in order), logit


def require_equal_images(arms: Sequence[Arm]) -> None:
    """Require that arms of a dataset, split and magnification predict the same images.

    Images are equal if fold, group, label and accession number are too.

    Raises:
        HistoBenchError: an arm has other images than the first one.
    """
    examples: dict[tuple[object, ...], Arm] = {}
    for arm in arms:
        example = examples.setdefault((arm.first.dataset, arm.first.split, arm.first.magnification), arm)
        if odd := sorted(set(arm.images) ^ set(example.images)):
            raise HistoBenchError(
                f"{arm.first.arm}: images, folds, groups, accession numbers or labels are not those of {example.first.arm} "
                f"({len({row[1] for row in odd})} images differ, the first is {odd[0][1]}); delete the predictions of the "
                "arm that is wrong to have its runs repeated"
            )
