"""One decision for each patient, or accession number, instead of each image: scores with intervals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from histobench.evaluation.bootstrap import LEVEL, interval, resample
from histobench.evaluation.calibration import probability
from histobench.evaluation.pooling import Arm, Scored, pool
from histobench.evaluation.predictions import Predictions
from histobench.evaluation.summary import ARM, GROUPS
from histobench.metrics import decide
from histobench.study.runs import Run

METRICS = ("accuracy", "auc")
COLUMNS = (
    *(*ARM, "rule", "unit", *GROUPS, "folds", "seeds", "level"),
    *(f"{metric}{end}" for metric in METRICS for end in ("_estimate", "_low", "_high")),
)
RULES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean probability": probability,
    "vote": lambda logit: decide(logit).astype(float),
}
"""How the images of a patient decide together -> what is averaged: a mean of at least 1/2 is malignant."""
BAG = "bag"
"""The rule of arms that classify bags: all images of a patient have one logit."""

Row = dict[str, Any]


def by_patient(arm: Arm, rule: str) -> Arm:
    """Return an arm with a row for each fold, group and label instead of each image, by a rule of :data:`RULES` or :data:`BAG`.

    Its logits are means less 1/2, or those of the bag: at least 0 is malignant.
    """
    keys = [(fold, group, group, label, group) for fold, _, group, label, _ in arm.images]
    places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    index = np.array([places[key] for key in keys])

    def averaged(values: np.ndarray) -> np.ndarray:
        return np.bincount(index, values) / np.bincount(index)

    def decided(logit: np.ndarray) -> np.ndarray:
        # Rounded, so that half of the votes are half of them.
        return np.round(averaged(logit if rule == BAG else RULES[rule](logit) - 0.5), 12)

    logit = {name: np.array([decided(seed) for seed in seeds]) for name, seeds in arm.logit.items()}
    return replace(arm, images=tuple(places), logit=logit)


def patient_level(
    declared: Sequence[Run],
    runs: Mapping[Run, Predictions],
    splits: Mapping[str, Mapping[str, Any]],
    bags: set[tuple[str, str]],
    draws: int,
    seed: int,
) -> list[Row]:
    """Return the rows of the table: of each arm and rule the mean over folds of each score, last epoch, with its 95 % interval.

    Groups are resampled as for scores of images (:mod:`histobench.evaluation.bootstrap`). Arms without all of their runs are
    left out, which gaps.csv says.

    Args:
        declared: every run of the study.
        runs: the usable ones.
        splits: each split policy's `by`, `folds` and `unit`.
        bags: model and mode of the arms that classify bags.
        draws: number of bootstrap draws.
        seed: of the draws.
    """
    rows: list[Row] = []
    for arm in pool(declared, runs, splits)[0]:
        groups = arm.groups()
        for rule in [BAG] if (arm.first.model, arm.first.mode) in bags else RULES:
            scored = Scored(by_patient(arm, rule), "last", groups, resample(groups, draws, seed), seed)
            row: Row = {column: getattr(arm.first, column) for column in ARM} | groups.counts
            row |= {"rule": rule, "unit": splits[arm.first.split]["unit"], "level": LEVEL}
            row |= {"folds": len(scored.folds[0]), "seeds": len(scored.seeds)}
            for metric in METRICS:
                estimate = float(scored.means[metric][0])
                ends = interval(estimate, scored.means_drawn[metric], groups.freedom, metric)
                named = (f"{metric}{end}" for end in ("_estimate", "_low", "_high"))
                row |= dict(zip(named, (estimate, *ends), strict=True))
            rows.append({column: row[column] for column in COLUMNS})
    return rows
