"""Accuracy by magnification (Figure 5), the ladder of optimism, and calls per class of an external dataset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from histobench.evaluation.external import MEAN, RATE
from histobench.evaluation.summary import ARM
from histobench.io.errors import HistoBenchError
from histobench.report.figures.style import COLUMN, GREY, PAGE, SMALL, Arm, arm_handles, canvas, looks, styled
from histobench.report.terms import SELECTIONS, printed

Texts = Mapping[str, str]
Key = tuple[str, str, int]
"""Model, mode and magnification."""

DIAMOND: Mapping[str, Any] = {"marker": "D", "markersize": 3.5, "linestyle": "none"}
DOT: Mapping[str, Any] = {"color": GREY, "marker": "o", "markersize": 2.2, "markeredgewidth": 0, "linestyle": "none"}
INTERVALS = (*ARM, "selection", "metric", "estimate", "low", "high")
SUMMARY = (*ARM, "selection", "accuracy_mean", "accuracy_std")
METRICS = (*ARM, "fold", "selection", "accuracy")
GROUPS = ("on", *ARM, "group", "label", "fold", RATE)
"""Columns of the study's files that are drawn."""
RUNGS = {"accession": 0, "patient": 1, "official": 1, "image": 2}
"""What a split policy never divides, from the strictest to none."""


POOLED = "Markers: pooled over folds; bars: 95 % interval, patients resampled."


@dataclass(frozen=True)
class Estimate:
    """A score and its interval; both ends are None where there is none, as for a single fold."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Panel:
    """One augmentation of Figure 5."""

    title: str
    estimates: Mapping[Key, Estimate]
    published: Mapping[Key, float]


def pooled(intervals: Sequence[Texts], metric: str, **setting: str) -> dict[Key, Estimate]:
    """Return the pooled estimates of a metric with their intervals, from the rows of `intervals.csv` with `setting`."""
    return {
        _key(row): Estimate(float(row["estimate"]), _number(row["low"]), _number(row["high"]))
        for row in chosen(intervals, {**setting, "metric": metric})
    }


def published_means(published: Sequence[Texts], metric: str, arms: Sequence[Arm]) -> dict[Key, float]:
    """Return the published means of the arms that go by the same name in print."""
    models = {(arm.label, arm.mode): arm.key for arm in arms}
    return {
        (*models[row["model"], row["mode"]], int(row["magnification"])): float(row[f"{metric}_mean"])
        for row in published
        if (row["model"], row["mode"]) in models and row.get(f"{metric}_mean")
    }


@styled
def accuracy(panels: Sequence[Panel], arms: Sequence[Arm], notes: Sequence[str] = ()) -> Figure:
    """Return Figure 5: the accuracy of every arm at every magnification, one panel for each augmentation.

    Args:
        panels: from top to bottom.
        arms: of the study, in its order.
        notes: sentences for the foot.
    """
    shown = [arm for arm in arms if any(key[:2] == arm.key for panel in panels for key in panel.estimates)]
    if not shown:
        return _nothing("gaps.csv", notes)
    magnifications = sorted({key[2] for panel in panels for key in panel.estimates})
    known, step = looks(arms), 0.84 / len(shown)
    handles = arm_handles(shown, known)
    if any(panel.published for panel in panels):
        handles.append(_published_handle())
    figure = canvas(PAGE, 8 + 58 * len(panels), [POOLED, *notes], handles)
    axes = figure.subplots(len(panels), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axis, panel in zip(axes, panels, strict=True):
        for place, arm in enumerate(shown):
            look = known[arm.key]
            offset = (place - (len(shown) - 1) / 2) * step
            held = [(at, panel.estimates.get((*arm.key, m))) for at, m in enumerate(magnifications)]
            points = [(at + offset - step / 8, estimate) for at, estimate in held if estimate]
            _whiskers(axis, points, look.colour)
            axis.plot(
                [x for x, _ in points],
                [estimate.value for _, estimate in points],
                linestyle=look.line,
                linewidth=0.5,
                gid=f"{arm.name}: reproduced",
                **look.marks,
            )
            theirs = [(at, panel.published.get((*arm.key, m))) for at, m in enumerate(magnifications)]
            theirs = [(at + offset + step / 4, value) for at, value in theirs if value is not None]
            axis.plot(
                [x for x, _ in theirs],
                [value for _, value in theirs],
                linestyle="none",
                marker="_",
                markersize=6,
                markeredgewidth=1.6,
                color=look.colour,
                gid=f"{arm.name}: published",
            )
        _bands(axis, len(magnifications))
        axis.set_title(panel.title, loc="left")
        axis.set_ylabel("accuracy")
        axis.grid(axis="y")
    axes[-1].set_xticks(range(len(magnifications)), [printed("magnification", str(m)) for m in magnifications])
    axes[-1].set_xlabel("magnification")
    return figure


@styled
def ladder(
    metrics: Sequence[Texts],
    splits: Mapping[str, Mapping[str, object]],
    published: Mapping[Key, float],
    arms: Sequence[Arm],
    notes: Sequence[str] = (),
) -> Figure:
    """Return what each step of optimism adds to the accuracy of the same arm.

    The rungs are the last epoch under ever looser split policies, and at the top the best epoch, chosen on the evaluation
    fold, under the loosest. Hollow marks show the best epoch under the other policies.

    Args:
        metrics: rows of `metrics.csv`, of one dataset and one augmentation.
        splits: the study's split policies, with `by`.
        published: accuracy as published.
        arms: of the study.
        notes: sentences for the foot.

    Raises:
        HistoBenchError: no arm has been trained under two split policies.
    """
    folds: dict[Key, dict[tuple[str, str], list[float]]] = {}
    for row in metrics:
        rungs = folds.setdefault(_key(row), {})
        rungs.setdefault((row["split"], row["selection"]), []).append(float(row["accuracy"]))
    order = [arm.key for arm in arms]
    keys = sorted(
        (key for key, rungs in folds.items() if len({split for split, _ in rungs}) > 1),
        key=lambda key: (order.index(key[:2]), key[2]),
    )
    if not keys:
        raise HistoBenchError("ladder: no arm was trained under two split policies; add some to `grid.splits`")
    names, known = {arm.key: arm.name for arm in arms}, looks(arms)
    columns = min(len(keys), 2)
    handles: list[Artist] = [
        Line2D([], [], color="0.2", linewidth=2.4, label="mean over folds"),
        Line2D([], [], label="one fold", **DOT),
        Line2D([], [], color="0.2", markerfacecolor="white", label="mean of the best epoch", **DIAMOND),
    ]
    width = COLUMN if columns == 1 else PAGE
    figure = canvas(width, 4 + 58 * -(-len(keys) // columns), notes, handles, 3)
    axes = figure.subplots(-(-len(keys) // columns), columns, sharey=True, squeeze=False).ravel()
    for axis in axes[len(keys) :]:
        axis.set_visible(False)
    for number, (axis, key) in enumerate(zip(axes, keys, strict=False)):
        rungs = folds[key]
        present = sorted({split for split, _ in rungs}, key=lambda split: (RUNGS[str(splits[split]["by"])], split))
        places = [(split, "last") for split in present] + [(present[-1], "best_epoch")]
        places = [place for place in places if place in rungs]
        colour = known[key[:2]].colour
        means = [float(np.mean(rungs[place])) for place in places]
        for x, (place, mean) in enumerate(zip(places, means, strict=True)):
            values = rungs[place]
            spread = x + 0.2 * (np.arange(len(values)) - (len(values) - 1) / 2) / max(len(values) - 1, 1)
            axis.plot(spread, values, gid="folds", **DOT)
            axis.plot([x - 0.3, x + 0.3], [mean, mean], color=colour, linewidth=2.4, solid_capstyle="butt", gid="mean")
            optimistic = rungs.get((place[0], "best_epoch"))
            if optimistic and place[1] == "last":
                best = [float(np.mean(optimistic))]
                axis.plot([x - 0.22], best, color=colour, markerfacecolor="white", gid="best epoch", **DIAMOND)
        for x, (before, after) in enumerate(pairwise(means)):
            axis.plot([x + 0.3, x + 0.5, x + 0.5, x + 0.7], [before, before, after, after], color=colour, linewidth=0.6)
            axis.annotate(
                _signed(after - before), (x + 0.5, min(before, after)), (0, -3), textcoords="offset points",
                ha="center", va="top", size=SMALL,
            )  # fmt: skip
        line = published.get(key)
        if line is not None:
            axis.axhline(line, color="black", linestyle=(0, (4, 2)), linewidth=0.8, gid="published")
            axis.annotate(
                f"published {line:.4f}", (0, line), (2, 2), xycoords=("axes fraction", "data"),
                textcoords="offset points", size=SMALL,
            )  # fmt: skip
        labels = [
            f"{split}\n{SELECTIONS[selection].split(' (')[0]}\n{mean:.3f}"
            for (split, selection), mean in zip(places, means, strict=True)
        ]
        axis.margins(y=0.12)
        axis.set_xticks(range(len(places)), labels)
        axis.set_xlim(-0.6, len(places) - 0.4)
        axis.set_title(f"{names[key[:2]]}, {printed('magnification', str(key[2]))}", loc="left")
        axis.grid(axis="y")
        if number % columns == 0:
            axis.set_ylabel("accuracy")
    return figure


@styled
def external(groups: Sequence[Texts], dataset: str, arms: Sequence[Arm], notes: Sequence[str] = ()) -> Figure:
    """Return the share of images called malignant, for each class of an external dataset.

    Args:
        groups: rows of `external_groups.csv` on one dataset, of one split and augmentation: one per fold, and one whose
            fold is `mean`.
        dataset: name of the external dataset.
        arms: of the study.
        notes: sentences for the foot.
    """
    rates: dict[Key, dict[str, list[float]]] = {}
    means: dict[Key, dict[str, float]] = {}
    truth: dict[str, bool] = {}
    for row in groups:
        truth[row["group"]] = row["label"] == "1"
        rate = float(row[RATE])
        if row["fold"] == MEAN:
            means.setdefault(_key(row), {})[row["group"]] = rate
        else:
            rates.setdefault(_key(row), {}).setdefault(row["group"], []).append(rate)
    names = sorted(truth, key=truth.__getitem__)  # stable: benign classes first, each side in the file's order
    shown = [arm for arm in arms if any(key[:2] == arm.key for key in means)]
    if not shown:
        return _nothing("external_gaps.csv", notes)
    magnifications = sorted({key[2] for key in means})
    wide = len(magnifications) > 1
    known, step = looks(arms), 0.7 / len(shown)
    handles = arm_handles(shown, known, line=False)
    handles.append(Line2D([], [], label="one fold", **DOT))
    handles.append(Patch(color="0.93", label="malignant classes"))
    figure = canvas(PAGE if wide else COLUMN, 58, notes, handles, 4 if wide else 2)
    axes = figure.subplots(1, len(magnifications), sharey=True, squeeze=False)[0]
    for axis, magnification in zip(axes, magnifications, strict=True):
        axis.axvspan(len(names) - sum(truth.values()) - 0.5, len(names) - 0.5, color="0.93", zorder=0, linewidth=0)
        for place, arm in enumerate(shown):
            offset = (place - (len(shown) - 1) / 2) * step
            for at, name in enumerate(names):
                values = rates.get((*arm.key, magnification), {}).get(name, [])
                axis.plot([at + offset - step / 5] * len(values), values, gid=f"{arm.name}: folds", **DOT)
            found = means.get((*arm.key, magnification), {})
            held = [(at + offset + step / 8, found[name]) for at, name in enumerate(names) if name in found]
            axis.plot(*zip(*held, strict=True), linestyle="none", gid=f"{arm.name}: mean", **known[arm.key].marks)
        axis.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
        axis.set_xlim(-0.5, len(names) - 0.5)
        axis.set_ylim(-0.03, 1.03)
        axis.set_title(f"trained at {printed('magnification', str(magnification))}", loc="left")
        axis.grid(axis="y")
    axes[0].set_ylabel(f"{dataset}: share called malignant")
    return figure


def chosen(rows: Sequence[Texts], setting: Mapping[str, str]) -> list[Texts]:
    """Return the rows whose columns hold what `setting` says."""
    return [row for row in rows if all(row[column] == value for column, value in setting.items())]


def _nothing(gaps: str, notes: Sequence[str]) -> Figure:
    """Return what stands for a figure none of whose arms could be used."""
    figure = canvas(COLUMN, 20, [f"No arm could be drawn: {gaps} says what could not be used and why.", *notes])
    figure.subplots().set_axis_off()
    return figure


def _key(row: Texts) -> Key:
    return row["model"], row["mode"], int(row["magnification"])


def _number(text: str) -> float | None:
    return float(text) if text else None


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _published_handle() -> Line2D:
    return Line2D(
        [], [], color="0.2", marker="_", markersize=6, markeredgewidth=1.6, linestyle="none", label="published"
    )


def _whiskers(axis: Axes, points: Sequence[tuple[float, Estimate]], colour: str) -> None:
    for x, estimate in points:
        if estimate.low is not None and estimate.high is not None:
            axis.plot([x, x], [estimate.low, estimate.high], color=colour, linewidth=0.8, gid="interval")


def _bands(axis: Axes, number: int) -> None:
    """Shade every other group, so that the eye keeps the groups apart."""
    for at in range(0, number, 2):
        axis.axvspan(at - 0.5, at + 0.5, color="0.96", zorder=0, linewidth=0)
    axis.set_xlim(-0.5, number - 0.5)
