"""The files of a run with several classes, for the scripts that write them and all code that reads them.

Its run.json is that of every run (:mod:`histobench.study.run_files`).
"""

from collections.abc import Sequence
from typing import Any

from histobench.study.run_files import SECONDS

SELECTIONS = {"last": "logit", "best_epoch": "best_epoch_logit"}
"""Which epoch is scored, and the beginning of the columns that hold its logits, such as `logit_DC`."""
KEYS = ("image_id", "accession", "group", "fold", "label")
SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc")
HISTORY = ("epoch", "train_loss", "validation_loss", "learning_rate", *SCORES, *SECONDS)
"""Columns of history.csv; a score that is undefined is nan."""


def logit_columns(selection: str, classes: Sequence[str]) -> list[str]:
    """Return the columns that hold the logits of an epoch, in the order of the classes."""
    return [f"{SELECTIONS[selection]}_{name}" for name in classes]


def prediction_columns(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of predictions.csv: a row per image of the evaluation fold, in manifest order; `label` is its class."""
    return (*KEYS, *(column for selection in SELECTIONS for column in logit_columns(selection, classes)))


def prediction_row(
    image: Any, group: str, fold: int, classes: Sequence[str], last: Sequence[float], best: Sequence[float]
) -> dict[str, object]:
    """Return a row of predictions.csv for an image of a manifest, with the nine digits from which a float32 is read back."""
    values = (
        image.image_id,
        image.accession,
        group,
        fold,
        image.subtype,
        *(f"{value:.9g}" for value in (*last, *best)),
    )
    return dict(zip(prediction_columns(classes), values, strict=True))
