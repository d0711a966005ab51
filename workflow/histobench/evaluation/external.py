"""What the runs of a study say about another dataset: scores, and the rate of malignant calls in each of its classes.

Nothing was trained or chosen on that dataset. Every fold's model predicts all of its images, so that the deviation over
folds is that of the models, not of the images.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from histobench.evaluation.metrics import PATIENT_RATE, SCORES, decide, patient_rate, scores
from histobench.evaluation.summary import ARM
from histobench.study.errors import HistoBenchError
from histobench.study.files import read_csv
from histobench.study.paths import Run

COLUMNS = ("image_id", "patient", "group", "label", "logit")
METRICS = (*SCORES, PATIENT_RATE)
KEYS = ("on", *ARM)
METRICS_COLUMNS = (*KEYS, "fold", *METRICS, "images", "patients")
SUMMARY_COLUMNS = (*KEYS, "folds", *(f"{metric}_{statistic}" for metric in METRICS for statistic in ("mean", "std")))
RATE = "malignant_rate"
GROUPS_COLUMNS = (*KEYS, "group", "label", "fold", "images", "malignant_calls", RATE, f"{RATE}_std")
MEAN = "mean"
"""In the column `fold`: the row holds mean and sample standard deviation over folds."""

Row = dict[str, object]


@dataclass(frozen=True)
class External:
    """What one run says about the N images of another dataset."""

    image_id: tuple[str, ...]
    patient: np.ndarray
    """(N,) text."""
    group: np.ndarray
    """(N,) text: the class of the dataset, for example normal, benign, insitu or invasive."""
    label: np.ndarray
    """(N,) int8: 0 benign, 1 malignant; both occur."""
    logit: np.ndarray
    """(N,) float64, finite."""


def read(path: Path) -> External:
    """Read what one run predicts on another dataset.

    Raises:
        HistoBenchError: the file or a column is missing, a row is not what its columns hold, an image occurs twice, a
            group has both labels, or one of the two labels does not occur.
    """
    rows = read_csv(path, COLUMNS)
    seen: set[str] = set()
    labels: dict[str, str] = {}
    for line, row in enumerate(rows, start=2):
        fault = _fault(row, seen)
        if not fault and labels.setdefault(row["group"], row["label"]) != row["label"]:
            fault = f"group {row['group']} has label {row['label']} here and {labels[row['group']]} above"
        if fault:
            raise HistoBenchError(f"{path}, line {line}: {fault}; delete the file to have it made again")
        seen.add(row["image_id"])
    label = np.array([row["label"] == "1" for row in rows], dtype=np.int8)
    if not 0 < label.sum() < len(label):
        raise HistoBenchError(
            f"{path}: {label.sum()} of {len(label)} images are malignant, but both classes must occur; "
            "evaluate on a dataset that has both"
        )
    return External(
        image_id=tuple(row["image_id"] for row in rows),
        patient=np.array([row["patient"] for row in rows]),
        group=np.array([row["group"] for row in rows]),
        label=label,
        logit=np.array([float(row["logit"]) for row in rows]),
    )


def score_run(on: str, run: Run, predictions: External) -> Row:
    """Return the row of `external_metrics.csv` for one run."""
    return (
        {"on": on}
        | asdict(run)
        | scores(predictions.label, predictions.logit)
        | {
            PATIENT_RATE: patient_rate(predictions.label, predictions.logit, predictions.patient),
            "images": len(predictions.label),
            "patients": len(np.unique(predictions.patient)),
        }
    )


def group_rates(on: str, run: Run, predictions: External) -> list[Row]:
    """Return for each class of the dataset how many of its images one run calls malignant; benign classes first."""
    called = decide(predictions.logit)
    rows: list[Row] = []
    for label in (0, 1):
        for group in dict.fromkeys(predictions.group[predictions.label == label].tolist()):
            own = called[predictions.group == group]
            counts = {"images": len(own), "malignant_calls": int(own.sum()), RATE: float(own.mean())}
            rows.append({"on": on} | asdict(run) | {"group": group, "label": label} | counts)
    return rows


def summarise(rows: Sequence[Mapping[str, object]]) -> list[Row]:
    """Return the rows of `external_summary.csv`: for each arm mean and sample standard deviation over folds.

    Args:
        rows: those of :func:`score_run`.
    """
    summary = []
    for key, members in _by(rows, KEYS).items():
        row: Row = dict(zip(KEYS, key, strict=True)) | {"folds": len(members)}
        for metric in METRICS:
            row[f"{metric}_mean"], row[f"{metric}_std"] = _spread(members, metric)
        summary.append(row)
    return summary


def with_means(rows: Sequence[Mapping[str, object]]) -> list[Row]:
    """Return rows of :func:`group_rates`, and after those of each arm and class one with their mean over folds."""
    table: list[Row] = []
    for key, members in _by(rows, (*KEYS, "group", "label")).items():
        average, deviation = _spread(members, RATE)
        table.extend(dict(row) for row in members)
        table.append(
            dict(zip((*KEYS, "group", "label"), key, strict=True))
            | {"fold": MEAN, "images": members[0]["images"], RATE: average, f"{RATE}_std": deviation}
        )
    return table


def _by(
    rows: Sequence[Mapping[str, object]], keys: Sequence[str]
) -> dict[tuple[object, ...], list[Mapping[str, object]]]:
    groups: dict[tuple[object, ...], list[Mapping[str, object]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def _spread(rows: Sequence[Mapping[str, object]], column: str) -> tuple[float, float | None]:
    """Return mean and sample standard deviation; of one value there is none."""
    values = [float(row[column]) for row in rows]  # type: ignore[arg-type]
    return mean(values), stdev(values) if len(values) > 1 else None


def _fault(row: dict[str, str], seen: set[str]) -> str | None:
    """Return what is wrong with one row, or None."""
    if None in row or None in row.values():
        return "more or fewer values than the header has columns"
    for column in COLUMNS[:3]:
        if not row[column]:
            return f"{column} is empty"
    if row["image_id"] in seen:
        return f"image {row['image_id']} occurs a second time"
    if row["label"] not in ("0", "1"):
        return f"label is {row['label']!r}, expected 0 (benign) or 1 (malignant)"
    try:
        finite = math.isfinite(float(row["logit"]))
    except ValueError:
        finite = False
    return None if finite else f"logit is {row['logit']!r}, expected a finite number"
