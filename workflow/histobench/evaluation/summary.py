"""Scores of runs, and their means and standard deviations over folds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from histobench.evaluation.predictions import Predictions
from histobench.evaluation.statistics import FEW
from histobench.metrics import METRICS, all_scores, decide
from histobench.study.runs import ARM, Run

GROUPS = ("groups", "benign_groups", "malignant_groups")
"""The columns that say how many groups there are; a group with images of both classes counts in both."""
METRICS_COLUMNS = (*ARM, "seed", "fold", "selection", *METRICS, "images", *GROUPS, "malignant_calls")
SUMMARY_COLUMNS = (
    *ARM,
    "selection",
    "folds",
    "seeds",
    *(f"{metric}_{statistic}" for metric in METRICS for statistic in ("mean", "std")),
    "one_class",
    *GROUPS,
    "few_groups",
)

Row = dict[str, object]


def score_run(run: Run, predictions: Predictions) -> list[Row]:
    """Return the rows of `metrics.csv` for one run: one per selection, with full precision."""
    key: Row = asdict(run)
    return [
        key
        | {"selection": selection, "malignant_calls": int(decide(logit).sum())}
        | all_scores(predictions.label, logit, predictions.group)
        | counts([predictions])
        for selection, logit in predictions.logit.items()
    ]


def counts(predictions: Iterable[Predictions]) -> Row:
    """Return how many images were predicted, of how many groups in all, and of how many of each class."""
    parts = list(predictions)
    groups = [{name for part in parts for name in part.group[part.label == value].tolist()} for value in (0, 1)]
    numbers = (len(groups[0] | groups[1]), *map(len, groups))
    return {"images": sum(len(part.label) for part in parts), **dict(zip(GROUPS, numbers, strict=True))}


def few_groups(images: Iterable[tuple[int, str, int]]) -> str:
    """Return in which folds a class has fewer than five groups: `benign: 4 in fold 2, 3 in fold 5`, or nothing.

    Args:
        images: fold, group and label of each image that is evaluated.
    """
    groups: dict[int, dict[int, set[str]]] = {0: {}, 1: {}}
    for fold, group, label in images:
        groups[label].setdefault(fold, set()).add(group)
    few = {
        name: [f"{len(own)} in fold {fold}" for fold, own in sorted(groups[label].items()) if len(own) < FEW]
        for label, name in enumerate(("benign", "malignant"))
    }
    return "; ".join(f"{name}: {', '.join(folds)}" for name, folds in few.items() if folds)


def with_groups(rows: Iterable[Row], runs: Mapping[Run, Predictions]) -> list[Row]:
    """Return rows of :func:`summarise` with the numbers of groups of each arm, and :func:`few_groups`."""
    arms: dict[tuple[object, ...], dict[int, Predictions]] = {}
    for run, part in runs.items():
        arms.setdefault(tuple(getattr(run, name) for name in ARM), {})[run.fold] = part
    found = []
    for row in rows:
        folds = arms[tuple(row[name] for name in ARM)]
        number = counts(folds.values())
        images = (
            (fold, *image)
            for fold, part in folds.items()
            for image in zip(part.group.tolist(), part.label.tolist(), strict=True)
        )
        found.append(row | {name: number[name] for name in GROUPS} | {"few_groups": few_groups(images)})
    return found


def one_class(calls: Sequence[tuple[int, int]]) -> str:
    """Return whether models call all their images alike: `benign`, `malignant`, `2 of 5 models`, or nothing.

    Args:
        calls: for the model of each fold and seed, the images that are called malignant, and all images.
    """
    alike = [called > 0 for called, images in calls if called in (0, images)]
    if len(alike) == len(calls) and len(set(alike)) == 1:
        return "malignant" if alike[0] else "benign"
    return f"{len(alike)} of {len(calls)} models" if alike else ""


def summarise(
    rows: Sequence[Mapping[str, object]], keys: Sequence[str] = (*ARM, "selection"), metrics: Sequence[str] = METRICS
) -> list[Row]:
    """Return the rows of `summary.csv`: for each arm and selection the mean and sample standard deviation over folds.

    The score of a fold is the mean over its seeds. Arms keep the order in which they first occur. The deviation has n - 1 in
    its denominator; of a single fold it is None. :func:`one_class` is beside it where rows have
    `malignant_calls`.

    Args:
        rows: rows of `metrics.csv`; the metrics are numbers.
        keys: columns that name an arm.
        metrics: columns to average.
    """
    import pandas as pd

    if not rows:
        return []
    frame = pd.DataFrame(rows, columns=[*keys, "seed", "fold", *metrics])
    of_folds: Any = frame.groupby([*keys, "fold"], sort=False)[list(metrics)].mean()
    groups = of_folds.groupby(list(keys), sort=False)
    # pandas' std has n - 1 in its denominator.
    table = groups.agg(["mean", "std"])
    table.columns = [f"{metric}_{statistic}" for metric, statistic in table.columns]
    table.insert(0, "folds", groups.size())
    table.insert(1, "seeds", frame.groupby(list(keys), sort=False)["seed"].nunique())
    records = table.astype(object).where(table.notna(), None).reset_index().to_dict(orient="records")
    calls: dict[tuple[object, ...], list[tuple[Any, Any]]] = {}
    for row in rows:
        if "malignant_calls" in row:
            calls.setdefault(tuple(row[name] for name in keys), []).append((row["malignant_calls"], row["images"]))
    found: list[Row] = [{str(name): value for name, value in record.items()} for record in records]
    for record in found:
        record["one_class"] = one_class(calls.get(tuple(record[name] for name in keys), []))
    return found
