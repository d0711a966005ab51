"""Scores of runs, and their means and standard deviations over folds."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from histobench.evaluation.predictions import SELECTIONS, Predictions
from histobench.metrics import METRICS, all_scores
from histobench.study.runs import Run

ARM = ("dataset", "model", "mode", "split", "magnification", "augmentation")
"""The columns that name an arm of a study, whose folds are averaged."""
METRICS_COLUMNS = (*ARM, "fold", "selection", *METRICS, "images", "patients")
SUMMARY_COLUMNS = (
    *ARM,
    "selection",
    "folds",
    *(f"{metric}_{statistic}" for metric in METRICS for statistic in ("mean", "std")),
)

Row = dict[str, object]


def score_run(run: Run, predictions: Predictions) -> list[Row]:
    """Return the rows of `metrics.csv` for one run: one per selection, with full precision."""
    label, patient = predictions.label, predictions.patient
    counts: Row = {"images": len(label), "patients": len(np.unique(patient))}
    key: Row = asdict(run)
    return [
        key | {"selection": selection} | all_scores(label, predictions.logit[selection], patient) | counts
        for selection in SELECTIONS
    ]


def summarise(
    rows: Sequence[Mapping[str, object]], keys: Sequence[str] = (*ARM, "selection"), metrics: Sequence[str] = METRICS
) -> list[Row]:
    """Return the rows of `summary.csv`: for each arm and selection the mean and sample standard deviation over folds.

    Arms keep the order in which they first occur. The deviation has n - 1 in its denominator; of a single fold it is None.

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
    return [{str(name): value for name, value in record.items()} for record in records]
