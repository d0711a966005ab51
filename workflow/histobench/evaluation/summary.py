"""Scores of runs, and their means and standard deviations over folds."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from histobench.evaluation.predictions import Predictions
from histobench.metrics import METRICS, all_scores, decide
from histobench.study.runs import Run

ARM = ("dataset", "model", "mode", "split", "magnification", "augmentation")
"""The columns that name an arm of a study, whose seeds and folds are averaged."""
METRICS_COLUMNS = (*ARM, "seed", "fold", "selection", *METRICS, "images", "patients", "malignant_calls")
SUMMARY_COLUMNS = (
    *ARM,
    "selection",
    "folds",
    *(f"{metric}_{statistic}" for metric in METRICS for statistic in ("mean", "std")),
    "one_class",
)

Row = dict[str, object]


def score_run(run: Run, predictions: Predictions) -> list[Row]:
    """Return the rows of `metrics.csv` for one run: one per selection, with full precision."""
    label, patient = predictions.label, predictions.group
    counts: Row = {"images": len(label), "patients": len(np.unique(patient))}
    key: Row = asdict(run)
    return [
        key
        | {"selection": selection, "malignant_calls": int(decide(logit).sum())}
        | all_scores(label, logit, patient)
        | counts
        for selection, logit in predictions.logit.items()
    ]


def one_class(calls: Sequence[tuple[int, int]]) -> str:
    """Return whether the model of a fold calls all its images alike: `benign`, `malignant`, `2 of 5 folds`, or nothing.

    Args:
        calls: for each fold the images that are called malignant, and all images.
    """
    alike = [called > 0 for called, images in calls if called in (0, images)]
    if len(alike) == len(calls) and len(set(alike)) == 1:
        return "malignant" if alike[0] else "benign"
    return f"{len(alike)} of {len(calls)} folds" if alike else ""


def summarise(
    rows: Sequence[Mapping[str, object]], keys: Sequence[str] = (*ARM, "selection"), metrics: Sequence[str] = METRICS
) -> list[Row]:
    """Return the rows of `summary.csv`: for each arm and selection the mean and sample standard deviation over folds.

    Arms keep the order in which they first occur. The deviation has n - 1 in its denominator; of a single fold it is None.
    Where rows have `malignant_calls`, :func:`one_class` is beside it.

    Args:
        rows: rows of `metrics.csv`; the metrics are numbers.
        keys: columns that name an arm.
        metrics: columns to average.
    """
    import pandas as pd

    if not rows:
        return []
    frame = pd.DataFrame(rows, columns=[*keys, *metrics])
    groups = frame.groupby(list(keys), sort=False)[list(metrics)]
    # pandas' std has n - 1 in its denominator.
    table = groups.agg(["mean", "std"])
    table.columns = [f"{metric}_{statistic}" for metric, statistic in table.columns]
    table.insert(0, "folds", groups.size())
    records = table.astype(object).where(table.notna(), None).reset_index().to_dict(orient="records")
    calls: dict[tuple[object, ...], list[tuple[Any, Any]]] = {}
    for row in rows:
        if "malignant_calls" in row:
            calls.setdefault(tuple(row[name] for name in keys), []).append((row["malignant_calls"], row["images"]))
    found: list[Row] = [{str(name): value for name, value in record.items()} for record in records]
    for record in found:
        record["one_class"] = one_class(calls.get(tuple(record[name] for name in keys), []))
    return found
