"""The predictions of one run, read back and checked."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from histobench.io.errors import HistoBenchError
from histobench.io.files import read_csv
from histobench.study.run_files import PREDICTIONS, SELECTIONS
from histobench.study.runs import Run

AGAIN = "delete the file to have it made again"

Key = TypeVar("Key")


@dataclass(frozen=True)
class Predictions:
    """The predictions of one run for the N images of its evaluation fold."""

    image_id: tuple[str, ...]
    """N unique image ids, in manifest order."""
    patient: np.ndarray
    """(N,) text: the patient of each image."""
    label: np.ndarray
    """(N,) int8: 0 benign, 1 malignant; both occur."""
    logit: dict[str, np.ndarray]
    """For each of :data:`SELECTIONS`, (N,) float64: the finite logit of malignant."""
    fold: int
    """The fold that was evaluated."""


def read(path: Path) -> Predictions:
    """Read the `predictions.csv` of one run.

    Raises:
        HistoBenchError: the file or a column is missing, a value is invalid, an image occurs twice, the rows belong to
            several folds, or one of the two classes does not occur.
    """
    rows, label = read_rows(path, PREDICTIONS, _invalid_fold)
    folds = sorted({int(row["fold"]) for row in rows})
    if len(folds) > 1:
        raise HistoBenchError(f"{path}: holds folds {', '.join(map(str, folds))} where one was expected; {AGAIN}")
    return Predictions(
        image_id=tuple(row["image_id"] for row in rows),
        patient=np.array([row["patient"] for row in rows]),
        label=label,
        logit={name: np.array([float(row[column]) for row in rows]) for name, column in SELECTIONS.items()},
        fold=folds[0],
    )


@dataclass(frozen=True)
class Gap:
    """A run, arm or pair that could not be used and is missing from the results."""

    where: str
    """The run, arm or pair, for example `breakhis/vgg19/ft/patient/40/none/fold3`."""
    what: str
    """One sentence."""


GAPS_COLUMNS = ("where", "what")


def read_runs(paths: Iterable[Path]) -> tuple[dict[Run, Predictions], list[Gap]]:
    """Read the predictions of many runs; a file that cannot be used becomes a gap.

    Args:
        paths: files, named results/DATASET/runs/.../fold1/predictions.csv.

    Returns:
        The usable runs in the order given, and the gaps.

    Raises:
        HistoBenchError: a path names no run, two name the same one, or none can be used.
    """
    files = named(paths, Run.of, ".../DATASET/runs/MODEL/MODE/SPLIT/40x/AUGMENTATION/fold1/predictions.csv")
    found, gaps = {}, []
    for run, path in files.items():
        try:
            predictions = read(path)
            if predictions.fold != run.fold:
                raise HistoBenchError(
                    f"{path}: holds the predictions of fold {predictions.fold}, not of fold {run.fold}; {AGAIN}"
                )
        except HistoBenchError as error:
            gaps.append(Gap(f"{run.arm}/fold{run.fold}", str(error)))
        else:
            found[run] = predictions
    if gaps and not found:
        raise HistoBenchError(gaps[0].what)
    return found, gaps


def named(paths: Iterable[Path], identify: Callable[[str], Key], form: str) -> dict[Key, Path]:
    """Return the files by the run that their path names.

    Args:
        paths: files.
        identify: returns the run of a path.
        form: what a path looks like.

    Raises:
        HistoBenchError: a path names no run, or two name the same one.
    """
    files: dict[Key, Path] = {}
    for path in paths:
        try:
            run = identify(str(path))
        except (ValueError, IndexError) as error:
            raise HistoBenchError(f"{path}: names no run; expected {form}") from error
        if run in files:
            raise HistoBenchError(f"{path}: is the same run as {files[run]}; give each run once")
        files[run] = path
    return files


def read_rows(
    path: Path, columns: Sequence[str], check: Callable[[Mapping[str, str]], str | None]
) -> tuple[list[dict[str, str]], np.ndarray]:
    """Read a file with a row per image, and check each row.

    Args:
        path: a CSV.
        columns: image_id and further texts, none of them empty; label; logits, each a finite number.
        check: returns what else is wrong with a row, or None.

    Returns:
        N rows, and (N,) int8: their labels.

    Raises:
        HistoBenchError: the file or a column is missing, a value is invalid, an image occurs twice, or one of the two
            labels does not occur.
    """
    rows = read_csv(path, columns)
    seen: set[str] = set()
    for line, row in enumerate(rows, start=2):
        fault = _fault(row, columns, seen) or check(row)
        if fault:
            raise HistoBenchError(f"{path}, line {line}: {fault}; {AGAIN}")
        seen.add(row["image_id"])
    label = np.array([row["label"] == "1" for row in rows], dtype=np.int8)
    if not 0 < label.sum() < len(label):
        raise HistoBenchError(
            f"{path}: {label.sum()} of {len(label)} images are malignant, but both classes must occur; "
            "choose folds, or an external dataset, that have both"
        )
    return rows, label


def _fault(row: Mapping[str, str], columns: Sequence[str], seen: set[str]) -> str | None:
    """Return what is wrong with one row, or None."""
    if None in row or None in row.values():
        return "more or fewer values than the header has columns"
    place = columns.index("label")
    for column in columns[:place]:
        if not row[column]:
            return f"{column} is empty"
    if row["image_id"] in seen:
        return f"image {row['image_id']} occurs a second time"
    if row["label"] not in ("0", "1"):
        return f"label is {row['label']!r}, expected 0 (benign) or 1 (malignant)"
    for column in columns[place + 1 :]:
        if not _finite(row[column]):
            return f"{column} is {row[column]!r}, expected a finite number"
    return None


def _invalid_fold(row: Mapping[str, str]) -> str | None:
    return None if row["fold"].isdecimal() else f"fold is {row['fold']!r}, expected a whole number"


def _finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
