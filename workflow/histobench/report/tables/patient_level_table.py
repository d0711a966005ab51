"""Scores of decisions on patients: arms that classify bags, and votes of the images of other arms."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from histobench.evaluation.patient_level import COLUMNS, METRICS
from histobench.report.render import Table
from histobench.report.terms import EMPTY, count
from histobench.study.resolved import Study


def patient_level_table(rows: Sequence[Mapping[str, Any]], study: Study) -> Table:
    """Return the table of rows of :func:`histobench.evaluation.patient_level.patient_level`."""
    keys = [key for key in ("dataset", "split", "augmentation") if len({row[key] for row in rows}) > 1]
    numbers = COLUMNS[-3 * len(METRICS) :]
    cells = [
        {key: str(value) for key, value in row.items()}
        | {"model": study.label(row["model"])}
        | {key: f"{row[key]:.4f}" if isfinite(row[key]) else "" for key in numbers}
        for row in rows
    ]
    units = " or ".join(dict.fromkeys(f"{row['unit']}s" for row in rows))
    about = (
        f"One decision for each of the {units}: means over {count((row['folds'] for row in rows), 'fold')} with 95 % intervals, "
        f"{units} resampled within class and fold, last epoch."
        if rows
        else EMPTY
    )
    caption = study.caption(
        about,
        "Bag: the arm classifies all images at once. Mean probability and vote: of single images, the mean probability of malignant, "
        "or the share that is called malignant, is at least one half; AUC ranks by it.",
    )
    shown = ("model", "mode", "rule", "magnification", *keys, "benign_groups", "malignant_groups")
    return Table.of("Decisions on patients", caption, COLUMNS, cells, (*shown, *(f"{metric}" for metric in METRICS)))
