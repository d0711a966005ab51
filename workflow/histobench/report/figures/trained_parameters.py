"""Accuracy against the number of trained parameters, one labelled point for each arm."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from histobench.report.figures.scores import MEANS
from histobench.report.figures.style import PAGE, SMALL, canvas, looks
from histobench.report.terms import Texts, magnified, resampled
from histobench.study.resolved import Study

HEIGHT, WIDTH = 62.0, 150.0
"""Size in mm of the axes without their labels, nearly."""
POINTS, LABELS = 1.0, 3.7
"""The least distance in mm of two points, and of two labels, along the axis."""


def trained_parameters(intervals: Sequence[Texts], parameters: Sequence[Texts], study: Study) -> Figure:
    """Return the accuracy of every arm at the magnification of Table 7, with its interval, over trained parameters (log scale).

    An arm that trains none has no place on it. The rows of `intervals.csv` are of one dataset, split and augmentation, accuracy, last epoch; those of `parameters.csv` are all.
    Points that would hide each other stand side by side, and labels stand above the axes in the order of the points.
    """
    trained = {(row["model"], row["mode"]): int(row["trainable"]) for row in parameters}
    rows = {(row["model"], row["mode"]): row for row in intervals if row["magnification"] == str(study.magnification)}
    drawn = [arm for arm in study.arms if arm.key in rows and trained[arm.key]]
    shown = sorted(drawn, key=lambda arm: trained[arm.key])
    known = looks(study.arms)
    notes = [MEANS.format(resampled(list(rows.values()), study))] if rows else []
    notes += ["Points of nearly equal numbers are moved apart."]
    figure = canvas(PAGE, HEIGHT + 28, [*notes, *study.notes])
    axis: Any = figure.subplots()
    places = np.log10([trained[arm.key] for arm in shown])
    low, high = (places.min() - 0.15, places.max() + 0.15) if len(places) else (0, 1)
    mm = (high - low) / WIDTH
    points, labels = (apart(places, least * mm) for least in (POINTS, LABELS))
    for arm, x, at in zip(shown, points, labels, strict=True):
        row, look = rows[arm.key], known[arm.key]
        mean = float(row["fold_mean"])
        if row["fold_mean_low"] and row["fold_mean_high"]:
            ends = [float(row["fold_mean_low"]), float(row["fold_mean_high"])]
            axis.plot([x, x], ends, color=look.colour, linewidth=1.0, gid="interval")
        axis.plot([x], [mean], linestyle="none", gid=arm.name, **look.marks)
        fraction = ("data", "axes fraction")
        axis.annotate(
            "",
            (x, 1),
            (at, 1.05),
            fraction,
            fraction,
            {"arrowstyle": "-", "color": "0.7", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0},
        )
        axis.text(
            at, 1.06, arm.name, transform=axis.get_xaxis_transform(), rotation=45, rotation_mode="anchor", size=SMALL,
        )  # fmt: skip
    axis.set_xlim(low, high)
    decades = np.arange(np.ceil(low), np.floor(high) + 1)
    axis.set_xticks(decades, [f"{10 ** int(decade):,}" for decade in decades])
    axis.grid(axis="both")
    axis.set_xlabel("trained parameters")
    axis.set_ylabel(f"accuracy, {magnified(study.magnification)}")
    return figure


def apart(places: np.ndarray, least: float) -> np.ndarray:
    """Return ascending places, moved as little as possible (by least squares) so that neighbours are `least` apart."""
    from scipy.optimize import isotonic_regression

    steps = least * np.arange(len(places))
    return isotonic_regression(places - steps).x + steps if len(places) else places
