"""What runs with several classes predict, read back and checked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from histobench.evaluation.predictions import AGAIN, named
from histobench.io.errors import HistoBenchError
from histobench.io.files import read_csv
from histobench.study.class_files import SELECTIONS, logit_columns, prediction_columns
from histobench.study.runs import Run


@dataclass(frozen=True)
class ClassPredictions:
    """What one run predicts for N images of K classes."""

    image_id: tuple[str, ...]
    group: np.ndarray
    """(N,) text: what each image is resampled with."""
    label: np.ndarray
    """(N,) int: the place of each image's class. Not every class must occur."""
    logits: dict[str, np.ndarray]
    """For each of :data:`histobench.study.class_files.SELECTIONS` (N, K) float64, finite."""


def read(path: Path, fold: int, classes: Sequence[str]) -> ClassPredictions:
    """Read what one run predicts for the images of its evaluation fold.

    Raises:
        HistoBenchError: the file or a column is missing, there is no row, or a row is of another fold or class, or has no number.
    """
    rows = read_csv(path, prediction_columns(classes))
    try:
        for row in rows:
            if row["fold"] != str(fold) or row["label"] not in classes:
                raise ValueError(f"image {row['image_id']} is of fold {row['fold']} and class {row['label']}")
        logits = {
            name: np.array([[float(row[column]) for column in logit_columns(name, classes)] for row in rows])
            for name in SELECTIONS
        }
        if not rows or not all(np.isfinite(values).all() for values in logits.values()):
            raise ValueError("there is no row" if not rows else "a logit is not finite")
    except (ValueError, TypeError) as error:
        raise HistoBenchError(
            f"{path}: {error}, expected finite logits of images of fold {fold} and of classes {', '.join(classes)}; {AGAIN}"
        ) from error
    return ClassPredictions(
        image_id=tuple(row["image_id"] for row in rows),
        group=np.array([row["group"] for row in rows]),
        label=np.array([classes.index(row["label"]) for row in rows]),
        logits=logits,
    )


def read_runs(paths: Iterable[Path], classes: Sequence[str]) -> dict[Run, ClassPredictions]:
    """Read the predictions of many runs, named results/DATASET-KEY/runs/.../fold1/predictions.csv.

    Raises:
        HistoBenchError: a path names no run, two name the same one, or a file cannot be used.
    """
    form = ".../DATASET-KEY/runs/MODEL/MODE/SPLIT/40x/AUGMENTATION-KEY/seed0/fold1/predictions.csv"
    return {run: read(path, run.fold, classes) for run, path in named(paths, Run.of, form).items()}
