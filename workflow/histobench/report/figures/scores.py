"""Accuracy by magnification (Figure 5), the ladder of split policies, and predictions per class of an external dataset."""

from collections.abc import Mapping, Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from histobench.evaluation import summary
from histobench.evaluation.external import MEAN, RATE
from histobench.evaluation.summary import ARM
from histobench.io.errors import HistoBenchError
from histobench.report.figures.style import COLUMN, GREY, PAGE, SMALL, arm_handles, canvas, looks
from histobench.report.terms import Texts, magnified, minus, printed, resampled
from histobench.study.resolved import STRICTNESS, Arm, Study

Key = tuple[str, str, int]
"""Model, mode and magnification."""

DIAMOND: Mapping[str, Any] = {"marker": "D", "markersize": 3.5, "linestyle": "none", "markerfacecolor": "white"}
SQUARE: Mapping[str, Any] = {**DIAMOND, "marker": "s"}
DOT: Mapping[str, Any] = {"color": GREY, "marker": "o", "markersize": 2.2, "markeredgewidth": 0, "linestyle": "none"}
DASH: Mapping[str, Any] = {"marker": "_", "markersize": 6, "markeredgewidth": 1.6, "linestyle": "none"}
SHADE = "0.93"
INTERVALS = (*ARM, "selection", "metric", *summary.GROUPS, "fold_mean", "fold_mean_low", "fold_mean_high")
SUMMARY = (*ARM, "selection", "accuracy_mean", "accuracy_std")
METRICS = (*ARM, "fold", "selection", "accuracy")
GROUPS = ("on", "scale", *ARM, "class", "label", "fold", RATE)
"""Columns of the study's files that are drawn."""
STEPS = {"last": "last epoch", "validation": "validation groups", "best_epoch": "best epoch"}
"""Selections in the labels of the ladder's steps."""
MEANS = "Markers: mean over folds; bars: 95 % interval, {} resampled."


def chosen(rows: Sequence[Texts], setting: Mapping[str, str]) -> list[Texts]:
    """Return the rows whose columns have the values of `setting`."""
    return [row for row in rows if setting.items() <= row.items()]


def published_accuracy(published: Sequence[Texts], arms: Sequence[Arm]) -> dict[Key, float]:
    """Return the published accuracies of the arms that have the same name in print."""
    models = {(arm.label, arm.mode): arm.key for arm in arms}
    return {
        (*models[row["model"], row["mode"]], int(row["magnification"])): float(row["accuracy_mean"])
        for row in published
        if (row["model"], row["mode"]) in models and row.get("accuracy_mean")
    }


def accuracy(intervals: Sequence[Texts], published: Mapping[int, Sequence[Texts]], study: Study) -> Figure:
    """Return Figure 5: the accuracy of every arm at every magnification, one panel for each augmentation.

    It is drawn from the rows of `intervals.csv` and of the published Tables 4 and 5, by number.
    """
    theirs = {number: published_accuracy(published[number], study.arms) for number in study.panels}
    ours: dict[int, dict[Key, Texts]] = {}
    for number, augmentation in study.panels.items():
        setting = {**study.main, "augmentation": augmentation, "selection": "last", "metric": "accuracy"}
        ours[number] = {_key(row): row for row in chosen(intervals, setting)}
    keys = [key for estimates in ours.values() for key in estimates]
    shown = [arm for arm in study.arms if any(key[:2] == arm.key for key in keys)]
    if not shown:
        return _nothing("gaps.csv", study)
    rows = [row for estimates in ours.values() for row in estimates.values()]
    magnifications = sorted({key[2] for key in keys})
    known, step = looks(study.arms), 0.84 / len(shown)
    handles = arm_handles(shown, known)
    if any(theirs.values()):
        handles.append(Line2D([], [], color="0.2", label="published", **DASH))
    figure = canvas(PAGE, 8 + 58 * len(ours), [MEANS.format(resampled(rows, study)), *study.notes], handles)
    axes = figure.subplots(len(ours), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axis, number in zip(axes, ours, strict=True):
        for place, arm in enumerate(shown):
            look, offset = known[arm.key], (place - (len(shown) - 1) / 2) * step
            places = {(*arm.key, magnification): at + offset for at, magnification in enumerate(magnifications)}
            own = {x - step / 8: ours[number][key] for key, x in places.items() if key in ours[number]}
            paper = {x + step / 4: theirs[number][key] for key, x in places.items() if key in theirs[number]}
            for x, row in own.items():
                if row["fold_mean_low"] and row["fold_mean_high"]:
                    ends = [float(row["fold_mean_low"]), float(row["fold_mean_high"])]
                    axis.plot([x, x], ends, color=look.colour, linewidth=0.8, gid="interval")
            line = {"linestyle": look.line, "linewidth": 0.5, "gid": f"{arm.name}: reproduced"}
            axis.plot(list(own), [float(row["fold_mean"]) for row in own.values()], **line, **look.marks)
            gid = f"{arm.name}: published"
            axis.plot(list(paper), list(paper.values()), color=look.colour, gid=gid, **DASH)
        for at in range(0, len(magnifications), 2):  # every other group is shaded
            axis.axvspan(at - 0.5, at + 0.5, color="0.96", zorder=0, linewidth=0)
        axis.set_xlim(-0.5, len(magnifications) - 0.5)
        axis.set_title(f"augmentation: {study.panels[number]}", loc="left")
        axis.set_ylabel("accuracy")
        axis.grid(axis="y")
    axes[-1].set_xticks(range(len(magnifications)), [printed("magnification", str(m)) for m in magnifications])
    axes[-1].set_xlabel("magnification")
    return figure


def ladder(metrics: Sequence[Texts], published: Mapping[Key, float], study: Study) -> Figure:
    """Return how much each optimistic choice adds to the accuracy of the same arm.

    The steps are the last epoch under split policies from the strictest to the loosest, and then, under the loosest, the epoch
    that is chosen on kept training groups, where there are some, and the best epoch, which is chosen on the evaluation fold.
    Hollow marks show these two under every policy. The rows of `metrics.csv` are of one dataset and one augmentation.

    Raises:
        HistoBenchError: no arm has been trained under two split policies, or keeps training groups.
    """
    folds: dict[Key, dict[tuple[str, str], list[float]]] = {}
    for row in metrics:
        steps = folds.setdefault(_key(row), {})
        steps.setdefault((row["split"], row["selection"]), []).append(float(row["accuracy"]))
    arms = {arm.key: arm for arm in study.arms}
    keys = [
        key
        for key, steps in folds.items()
        if len({split for split, _ in steps}) > 1 or any(selection == "validation" for _, selection in steps)
    ]
    keys.sort(key=lambda key: (list(arms).index(key[:2]), key[2]))
    if not keys:
        raise HistoBenchError("ladder: no arm was trained under two split policies; add some to `grid.splits`")
    known = looks(study.arms)
    ladders = {key: _places(folds[key], study) for key in keys}
    chooses = any(selection == "validation" for places in ladders.values() for _, selection in places)
    # A row for each arm, where its magnifications fit beside each other.
    narrow = max(map(len, ladders.values())) <= 3 and len({key[2] for key in keys}) > 2
    columns = min(len(keys), 4 if narrow else 2)
    rows = -(-len(keys) // columns)
    handles: list[Artist] = [
        Line2D([], [], color="0.2", linewidth=2.4, label="mean over folds"),
        Line2D([], [], label="one run", **DOT),
        *([Line2D([], [], color="0.2", label="mean, chosen on validation groups", **SQUARE)] if chooses else []),
        Line2D([], [], color="0.2", label="mean of the best epoch", **DIAMOND),
    ]
    figure = canvas(
        COLUMN if columns == 1 else PAGE, 4 + min(58 * rows, 232), study.notes, handles, 2 if columns == 1 else 4
    )
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axis in axes[len(keys) :]:
        axis.set_visible(False)
    for number, (axis, key) in enumerate(zip(axes, keys, strict=False)):
        steps, colour, places = folds[key], known[key[:2]].colour, ladders[key]
        means = [float(np.mean(steps[place])) for place in places]
        for x, (place, mean) in enumerate(zip(places, means, strict=True)):
            values = steps[place]
            spread = x + 0.2 * (np.arange(len(values)) - (len(values) - 1) / 2) / max(len(values) - 1, 1)
            axis.plot(spread, values, gid="folds", **DOT)
            axis.plot([x - 0.3, x + 0.3], [mean, mean], color=colour, linewidth=2.4, solid_capstyle="butt", gid="mean")
            for selection, aside, marks in (("best_epoch", -0.22, DIAMOND), ("validation", 0.22, SQUARE)):
                other = steps.get((place[0], selection))
                if other and place[1] == "last":
                    axis.plot([x + aside], [float(np.mean(other))], color=colour, gid=STEPS[selection], **marks)
        for x, (before, after) in enumerate(pairwise(means)):
            axis.plot([x + 0.3, x + 0.5, x + 0.5, x + 0.7], [before, before, after, after], color=colour, linewidth=0.6)
            axis.annotate(
                minus(f"{after - before:+.3f}"), (x + 0.5, 0), (0, 2), xycoords=("data", "axes fraction"),
                textcoords="offset points", ha="center", size=SMALL,
            )  # fmt: skip
        if key in published:
            axis.axhline(published[key], color="black", linestyle=(0, (4, 2)), linewidth=0.8, gid="published")
            axis.annotate(
                f"published {published[key]:.4f}", (0, published[key]), (2, 2), xycoords=("axes fraction", "data"),
                textcoords="offset points", size=SMALL,
            )  # fmt: skip
        labels = [
            f"{split}\n{STEPS[selection]}\n{mean:.3f}" for (split, selection), mean in zip(places, means, strict=True)
        ]
        axis.margins(y=0.12)
        axis.set_xticks(range(len(places)), labels)
        axis.set_xlim(-0.6, len(places) - 0.4)
        axis.set_title(f"{arms[key[:2]].name}, {magnified(key[2])}", loc="left")
        axis.grid(axis="y")
        if number % columns == 0:
            axis.set_ylabel("accuracy")
    return figure


def _places(steps: Mapping[tuple[str, str], Sequence[float]], study: Study) -> list[tuple[str, str]]:
    """Return split and selection of each step of an arm's ladder, from what it was scored under."""
    splits = sorted({split for split, _ in steps}, key=lambda name: (STRICTNESS[study.splits[name]["by"]], name))
    places = [(split, "last") for split in splits] + [(splits[-1], "validation"), (splits[-1], "best_epoch")]
    return [place for place in places if place in steps]


def external(groups: Sequence[Texts], study: Study) -> Figure:
    """Return the share of images classified as malignant, for each class of the external dataset; a row of panels per scale.

    The rows of `external_groups.csv` are of one split and augmentation: one per fold, and one whose fold is `mean`.
    """
    rates: dict[tuple[Key, str], dict[str, list[float]]] = {}
    means: dict[tuple[Key, str], dict[str, float]] = {}
    malignant: dict[str, bool] = {}
    for row in groups:
        malignant[row["class"]], key = row["label"] == "1", (_key(row), row["scale"])
        if row["fold"] == MEAN:
            means.setdefault(key, {})[row["class"]] = float(row[RATE])
        else:
            rates.setdefault(key, {}).setdefault(row["class"], []).append(float(row[RATE]))
    names = sorted(malignant, key=malignant.__getitem__)  # stable: benign classes first, in the order of the file
    shown = [arm for arm in study.arms if any(key[:2] == arm.key for key, _ in means)]
    if not shown:
        return _nothing("external_gaps.csv", study)
    magnifications, scales = sorted({key[2] for key, _ in means}), list(dict.fromkeys(scale for _, scale in means))
    wide = len(magnifications) > 1
    known, step = looks(study.arms), 0.7 / len(shown)
    handles = arm_handles(shown, known, line=False)
    handles += [Line2D([], [], label="one run", **DOT), Patch(color=SHADE, label="malignant classes")]
    figure = canvas(PAGE if wide else COLUMN, 58 * len(scales), study.notes, handles, 4 if wide else 2)
    axes = figure.subplots(len(scales), len(magnifications), sharey=True, squeeze=False)
    for axis, (scale, magnification) in zip(axes.ravel(), product(scales, magnifications), strict=True):
        first = len(names) - sum(malignant.values()) - 0.5
        axis.axvspan(first, len(names) - 0.5, color=SHADE, zorder=0, linewidth=0)
        for place, arm in enumerate(shown):
            key = ((*arm.key, magnification), scale)
            offset = (place - (len(shown) - 1) / 2) * step
            for at, name in enumerate(names):
                values = rates.get(key, {}).get(name, [])
                axis.plot([at + offset - step / 5] * len(values), values, gid=f"{arm.name}: folds", **DOT)
            found = means.get(key, {})
            points = {at + offset + step / 8: found[name] for at, name in enumerate(names) if name in found}
            mean = {"linestyle": "none", "gid": f"{arm.name}: mean"}
            axis.plot(list(points), list(points.values()), **mean, **known[arm.key].marks)
        axis.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
        axis.set_xlim(-0.5, len(names) - 0.5)
        axis.set_ylim(-0.03, 1.03)
        axis.set_title(f"trained at {magnified(magnification)}{f', {scale}' if len(scales) > 1 else ''}", loc="left")
        axis.grid(axis="y")
    for axis in axes[:, 0]:
        axis.set_ylabel(f"{study.table6['on']}: share called malignant")
    return figure


def _nothing(gaps: str, study: Study) -> Figure:
    """Return the figure that is drawn where no arm could be used."""
    notes = [f"No arm could be drawn: {gaps} says what could not be used and why.", *study.notes]
    figure = canvas(COLUMN, 20, notes)
    figure.subplots().set_axis_off()
    return figure


def _key(row: Texts) -> Key:
    return row["model"], row["mode"], int(row["magnification"])
