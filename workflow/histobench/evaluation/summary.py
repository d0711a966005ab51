"""From the predictions of many runs to their scores, and from the scores of folds to means and deviations."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

import numpy as np

from histobench.evaluation.predictions import SELECTIONS, Predictions
from histobench.metrics import METRICS, PATIENT_RATE, patient_rate, scores
from histobench.study.runs import Run

ARM = ("dataset", "model", "mode", "split", "magnification", "augmentation")
"""What names an arm of a study: its folds are averaged."""
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
    return [
        asdict(run)
        | {"selection": selection}
        | scores(predictions.label, predictions.logit[selection])
        | {
            PATIENT_RATE: patient_rate(predictions.label, predictions.logit[selection], predictions.patient),
            "images": len(predictions.label),
            "patients": len(np.unique(predictions.patient)),
        }
        for selection in SELECTIONS
    ]


def summarise(
    rows: Sequence[Mapping[str, object]],
    keys: Sequence[str] = (*ARM, "selection"),
    metrics: Sequence[str] = METRICS,
) -> list[Row]:
    """Return the rows of `summary.csv`: for each arm and selection the mean and sample standard deviation over folds.

    Arms keep the order in which they first occur. The deviation has n - 1 in its denominator; of a single fold it does
    not exist and is None.

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


def gaps(runs: Sequence[Run]) -> Iterator[str]:
    """Yield a sentence for each arm that lacks a fold which another arm of the same dataset and split has."""
    expected: dict[tuple[str, str], set[int]] = {}
    arms: dict[str, list[Run]] = {}
    for run in runs:
        expected.setdefault((run.dataset, run.split), set()).add(run.fold)
        arms.setdefault(run.arm, []).append(run)
    for arm, present in arms.items():
        absent = expected[present[0].dataset, present[0].split] - {run.fold for run in present}
        if absent:
            numbers = ", ".join(map(str, sorted(absent)))
            total = len(present) + len(absent)
            yield f"{arm}: fold {numbers} is missing, its mean is over {len(present)} instead of {total}"
