"""Pooled out-of-fold predictions of arms, and which of them can be compared."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from histobench.evaluation.bootstrap import Clustered
from histobench.evaluation.predictions import SELECTIONS, Gap, Predictions
from histobench.io.errors import HistoBenchError
from histobench.study.runs import Run


@dataclass(frozen=True)
class Arm:
    """The pooled predictions of an arm's folds, in the order of fold and image."""

    first: Run
    """The arm's first fold."""
    images: tuple[tuple[int, str, str, int], ...]
    """Fold, image, patient and label of each row."""
    logit: Mapping[str, np.ndarray]
    """For each selection the logits."""
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

    def clustered(self, selection: str) -> Clustered:
        """Return the counts per patient of one selection."""
        return Clustered(self.label, self.logit[selection], np.array([row[2] for row in self.images]))

    def folds(self, selection: str) -> list[Clustered]:
        """Return the same of each fold."""
        fold, patient = np.array([row[0] for row in self.images]), np.array([row[2] for row in self.images])
        return [
            Clustered(self.label[own], self.logit[selection][own], patient[own])
            for own in (fold == number for number in np.unique(fold))
        ]


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
        present = {run.fold: run for run in expected if run in runs}
        missing = [fold for fold in range(1, policy["folds"] + 1) if fold not in present]
        if missing:
            numbers = f"fold{'s' if len(missing) > 1 else ''} {', '.join(map(str, missing))}"
            are = "are" if len(missing) > 1 else "is"
            reason = f"{numbers} {are} missing or unusable, so it has no intervals and is not compared"
            gaps.append(Gap(name, f"{name}: {reason}"))
            continue
        parts = [(fold, runs[present[fold]]) for fold in sorted(present)]
        rows = [
            (fold, image, str(patient), int(label))
            for fold, part in parts
            for image, patient, label in zip(part.image_id, part.group, part.label, strict=True)
        ]
        order = sorted(range(len(rows)), key=rows.__getitem__)
        names = [name for name in SELECTIONS if all(name in part.logit for _, part in parts)]
        logit = {name: np.concatenate([part.logit[name] for _, part in parts])[order] for name in names}
        images = tuple(rows[index] for index in order)
        arms.append(Arm(present[min(present)], images, logit, partition=policy["by"] != "official"))
    return arms, gaps


def require_equal_images(arms: Sequence[Arm]) -> None:
    """Require that arms of a dataset, split and magnification predict the same images.

    Images are equal if fold, patient and label are too.

    Raises:
        HistoBenchError: an arm has other images than the first one.
    """
    examples: dict[tuple[object, ...], Arm] = {}
    for arm in arms:
        example = examples.setdefault((arm.first.dataset, arm.first.split, arm.first.magnification), arm)
        if odd := sorted(set(arm.images) ^ set(example.images)):
            raise HistoBenchError(
                f"{arm.first.arm}: images, folds, patients or labels are not those of {example.first.arm} "
                f"({len({row[1] for row in odd})} images differ, the first is {odd[0][1]}); delete the predictions of the "
                "arm that is wrong to have its runs repeated"
            )
