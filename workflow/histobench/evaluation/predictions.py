"""What runs predict, read back and checked: for their own evaluation fold, or for another dataset."""

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from histobench.io.errors import HistoBenchError
from histobench.io.files import read_csv
from histobench.study.run_files import EXTERNAL, PREDICTIONS, SELECTIONS
from histobench.study.runs import Run

AGAIN = "delete the file to have it made again"

Key = TypeVar("Key")


class OtherFold(HistoBenchError):
    """A file holds the predictions of another fold than its path says."""


@dataclass(frozen=True)
class Predictions:
    """What one run predicts for N images."""

    image_id: tuple[str, ...]
    """N unique image ids, in manifest order."""
    group: np.ndarray
    """(N,) text: what each image is resampled with; the group that the split keeps together, at least the patient."""
    label: np.ndarray
    """(N,) int8: 0 benign, 1 malignant; both occur."""
    logit: dict[str, np.ndarray]
    """For each of :data:`SELECTIONS` that the run has, for another dataset for `last` alone: (N,) float64, the finite logit of
    malignant."""
    accession: np.ndarray = field(default_factory=lambda: np.array([]))
    """(N,) text: the accession number of each image; not of another dataset."""
    classes: tuple[str, ...] = ()
    """Of another dataset N classes, for example normal, benign, insitu or invasive."""


def read(path: Path, fold: int | None = None) -> Predictions:
    """Read what one run predicts for the images of its evaluation fold; without `fold`, for another dataset.

    Raises:
        HistoBenchError: the file or a column is missing, a value is invalid, an image occurs twice, or one of the two labels
            does not occur; :class:`OtherFold` if a row is of another fold.
    """
    columns = EXTERNAL if fold is None else PREDICTIONS
    texts, numbers = columns[: columns.index("label")], columns[columns.index("label") + 1 :]
    rows = read_csv(path, columns)
    numbers = [column for column in SELECTIONS.values() if column in numbers or (rows and column in rows[0])]
    seen: set[str] = set()
    for line, row in enumerate(rows, start=2):
        fault = _fault(row, texts, numbers, seen)
        if fault:
            raise HistoBenchError(f"{path}, line {line}: {fault}; {AGAIN}")
        if fold is not None and row["fold"] != str(fold):
            raise OtherFold(f"{path}, line {line}: fold is {row['fold']!r}, expected {fold}; {AGAIN}")
        seen.add(row["image_id"])
    label = np.array([row["label"] == "1" for row in rows], dtype=np.int8)
    if not 0 < label.sum() < len(label):
        raise HistoBenchError(
            f"{path}: {label.sum()} of {len(label)} images are malignant, but both classes must occur; "
            "choose folds, or an external dataset, that have both"
        )
    return Predictions(
        image_id=tuple(row["image_id"] for row in rows),
        group=np.array([row["group"] for row in rows]),
        label=label,
        logit={
            name: np.array([float(row[column]) for row in rows])
            for name, column in SELECTIONS.items()
            if column in numbers
        },
        accession=np.array([row["accession"] for row in rows if "accession" in texts]),
        classes=tuple(row["class"] for row in rows if "class" in texts),
    )


def _fault(row: Mapping[str, str], texts: Iterable[str], numbers: Iterable[str], seen: set[str]) -> str:
    if None in row or None in row.values():
        return "more or fewer values than the header has columns"
    for column in texts:
        if not row[column]:
            return f"{column} is empty"
    if row["image_id"] in seen:
        return f"image {row['image_id']} occurs a second time"
    if row["label"] not in ("0", "1"):
        return f"label is {row['label']!r}, expected 0 (benign) or 1 (malignant)"
    for column in numbers:
        try:
            finite = math.isfinite(float(row[column]))
        except ValueError:
            finite = False
        if not finite:
            return f"{column} is {row[column]!r}, expected a finite number"
    return ""


@dataclass(frozen=True)
class Gap:
    """A run, arm or pair that could not be used and is missing from the results."""

    where: str
    """The run, arm or pair, for example `breakhis/vgg19/ft/patient/40/none/seed0/fold3`."""
    what: str
    """One sentence."""

    @classmethod
    def of(cls, where: str, path: Path, error: HistoBenchError) -> "Gap":
        """Return the gap of a file that cannot be read: it is named by its run, because paths differ between machines."""
        return cls(where, str(error).replace(str(path), where))


GAPS_COLUMNS = ("where", "what")


def warn(gaps: Iterable[Gap]) -> None:
    """Print gaps on stderr."""
    for gap in gaps:
        print(f"warning: {gap.what}", file=sys.stderr)


def read_runs(paths: Iterable[Path]) -> tuple[dict[Run, Predictions], list[Gap]]:
    """Read the predictions of many runs for their own folds; a file that cannot be used becomes a gap.

    Args:
        paths: files, named results/DATASET-KEY/runs/.../fold1/predictions.csv.

    Returns:
        The usable runs in the order given, and the gaps.

    Raises:
        HistoBenchError: a path names no run, two name the same one, or none can be used.
    """
    files = named(
        paths, Run.of, ".../DATASET-KEY/runs/MODEL/MODE/SPLIT/40x/AUGMENTATION-KEY/seed0/fold1/predictions.csv"
    )
    found, gaps, fault = {}, [], None
    for run, path in files.items():
        try:
            found[run] = read(path, run.fold)
        except HistoBenchError as error:
            gaps.append(Gap.of(str(run), path, error))
            fault = fault or error
    if fault and not found:
        raise fault
    return found, gaps


def named(paths: Iterable[Path], identify: Callable[[str], Key], form: str) -> dict[Key, Path]:
    """Return files by the run that `identify` reads from their path, which looks like `form`.

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
