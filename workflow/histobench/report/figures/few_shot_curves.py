"""Accuracy against the number of patients of each class that train."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from histobench.report.figures.style import COLOURS, COLUMN, MARKERS, PAGE, canvas
from histobench.report.terms import Texts, magnified, resampled
from histobench.study.resolved import Study, printed_mode


def few_shot_curves(intervals: Sequence[Texts], study: Study) -> Figure:
    """Return a panel for each magnification with a line for each model and classifier, means over folds with 95 % intervals.

    The rows are those of `intervals.csv`; the right end of a line, where it has one, is training on all patients.
    """
    setting = {**study.main, "selection": "last", "metric": "accuracy"}
    rows = [row for row in intervals if setting.items() <= row.items()]
    found = {(row["model"], row["mode"], row["magnification"]): row for row in rows}
    curves = study.few_shot_curves()
    magnifications = sorted({row["magnification"] for row in rows}, key=int) or [str(study.magnification)]
    counts = sorted({count for modes in curves.values() for count in modes if count})
    everyone = counts[-1] * 2  # all patients are not one number: classes and folds have different ones
    ticks = {**{count: str(count) for count in counts}, everyone: "all"}
    names = {curve: f"{study.label(curve[0])} {printed_mode(curve[1])}" for curve in curves}
    looks = {
        curve: {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}
        for place, curve in enumerate(curves)
    }
    handles = [Line2D([], [], label=names[curve], **look) for curve, look in looks.items()]  # type: ignore[arg-type]
    about = [f"Bars: 95 % intervals of the mean over folds; {resampled(rows, study)} are resampled."] if rows else []
    wide = len(magnifications) > 1
    figure = canvas(PAGE if wide else COLUMN, 62, [*about, *study.notes], handles, 4 if wide else 2)
    axes = figure.subplots(1, len(magnifications), sharey=True, squeeze=False)[0]
    for axis, magnification in zip(axes, magnifications, strict=True):
        for place, (curve, modes) in enumerate(curves.items()):
            aside = 1.03 ** (place - (len(curves) - 1) / 2)  # so that bars do not cover each other
            points = [
                ((count or everyone) * aside, row)
                for count, mode in modes.items()
                if (row := found.get((curve[0], mode, magnification)))
            ]
            values = [float(row["fold_mean"]) for _, row in points]
            axis.plot([x for x, _ in points], values, gid=names[curve], **looks[curve])
            for x, row in points:
                if row["fold_mean_low"] and row["fold_mean_high"]:
                    ends = [float(row["fold_mean_low"]), float(row["fold_mean_high"])]
                    axis.plot([x, x], ends, color=looks[curve]["color"], linewidth=0.8, gid=f"{names[curve]}: interval")
        axis.set_xscale("log")
        axis.set_xticks(list(ticks), list(ticks.values()))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_xlabel(f"{study.unit(study.split)}s of each class that train")
        axis.set_title(magnified(magnification), loc="left")
        axis.grid(axis="y")
    axes[0].set_ylabel("accuracy")
    return figure
