"""Training and validation over epochs: one panel per arm (Figure 6), and all arms in one (Figure 7)."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from histobench.io.errors import HistoBenchError
from histobench.report.figures.style import GREY, PAGE, Arm, arm_handles, canvas, looks, styled
from histobench.report.terms import printed
from histobench.study.runs import Run

COLUMNS = ("epoch", "train_loss", "validation_loss", "accuracy")
"""Columns of a `history.csv` that are drawn."""

Histories = Mapping[Run, Sequence[Mapping[str, str]]]
"""The epochs of each run, of one dataset, split and augmentation."""


def curves(histories: Histories, arm: Arm, magnification: int, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (epochs,) and (folds, epochs): one column of the histories of an arm's folds, over the epochs all have."""
    rows = [
        epochs
        for run, epochs in histories.items()
        if (run.model, run.mode, run.magnification) == (*arm.key, magnification)
    ]
    if not rows:
        return np.empty(0, int), np.empty((0, 0))
    length = min(map(len, rows))
    values = np.array([[float(epoch[column]) for epoch in fold[:length]] for fold in rows])
    return np.array([int(epoch["epoch"]) for epoch in rows[0][:length]]), values


@styled
def losses(histories: Histories, magnification: int, arms: Sequence[Arm], notes: Sequence[str] = ()) -> Figure:
    """Return Figure 6: training and validation loss of each arm, mean and range over folds, CNNs in the upper rows.

    Args:
        histories: of one dataset, split and augmentation.
        magnification: the one that is shown.
        arms: of the study.
        notes: sentences for the foot.

    Raises:
        HistoBenchError: no run has this magnification.
    """
    shown = [arm for arm in arms if curves(histories, arm, magnification, "epoch")[0].size]
    if not shown:
        raise HistoBenchError(
            f"losses: no run has the magnification {magnification}; choose another as `comparisons.magnification`"
        )
    families = ([arm for arm in shown if arm.family == "cnn"], [arm for arm in shown if arm.family != "cnn"])
    columns = min(4, max(map(len, families)))
    rows = [family[start : start + columns] for family in families for start in range(0, len(family), columns)]
    handles: list[Artist] = [
        Line2D([], [], color=GREY, linestyle="--", linewidth=1.2, label="training (dashed), mean over folds"),
        Line2D([], [], color="black", linewidth=1.2, label="validation (solid), mean over folds"),
        Patch(color="0.5", alpha=0.3, linewidth=0, label="range over folds"),
    ]
    figure = canvas(PAGE, 6 + 42 * len(rows), notes, handles, 3)
    axes = figure.subplots(len(rows), columns, sharex=True, sharey=True, squeeze=False)
    known = looks(arms)
    for number, (line, row) in enumerate(zip(axes, rows, strict=True)):
        for column, axis in enumerate(line):
            if column >= len(row):
                axis.set_visible(False)
                continue
            arm, colour = row[column], known[row[column].key].colour
            for name, drawn, style in (("train_loss", GREY, "--"), ("validation_loss", colour, "-")):
                epochs, values = curves(histories, arm, magnification, name)
                axis.fill_between(
                    epochs, values.min(0), values.max(0), color=drawn, alpha=0.22, linewidth=0, gid=f"{name} range"
                )
                axis.plot(epochs, values.mean(0), color=drawn, linestyle=style, linewidth=1.2, gid=name)
            axis.set_title(arm.name, loc="left")
            axis.grid()
            below = number + 1 < len(rows) and column < len(rows[number + 1])
            axis.tick_params(labelbottom=not below, labelleft=column == 0)
            if not below:
                axis.set_xlabel("epoch")
        line[0].set_ylabel(f"BCE loss, {printed('magnification', str(magnification))}")
    _logarithmic(axes[0, 0])
    _whole_epochs(axes.ravel())
    return figure


@styled
def overlay(histories: Histories, arms: Sequence[Arm], notes: Sequence[str] = ()) -> Figure:
    """Return Figure 7: validation loss and accuracy of all arms, mean over folds, one column for each magnification.

    Args:
        histories: of one dataset, split and augmentation.
        arms: of the study.
        notes: sentences for the foot.
    """
    magnifications = sorted({run.magnification for run in histories})
    shown = [arm for arm in arms if any((run.model, run.mode) == arm.key for run in histories)]
    known = looks(arms)
    figure = canvas(PAGE, 96, notes, arm_handles(shown, known))
    axes = figure.subplots(2, len(magnifications), sharex=True, sharey="row", squeeze=False)
    for column, magnification in enumerate(magnifications):
        for axis, (name, label) in zip(
            axes[:, column],
            (("validation_loss", "validation BCE loss"), ("accuracy", "validation accuracy")),
            strict=True,
        ):
            for place, arm in enumerate(shown):
                epochs, values = curves(histories, arm, magnification, name)
                if epochs.size:
                    every = max(len(epochs) // 5, 1)
                    axis.plot(
                        epochs,
                        values.mean(0),
                        linestyle=known[arm.key].line,
                        markevery=(place * every // len(shown), every),
                        markersize=3.2,
                        gid=f"{arm.name}: {name}",
                        **{key: value for key, value in known[arm.key].marks.items() if key != "markersize"},
                    )
            axis.grid()
            if column == 0:
                axis.set_ylabel(label)
        axes[0, column].set_title(printed("magnification", str(magnification)), loc="left")
        axes[1, column].set_xlabel("epoch")
    _logarithmic(axes[0, 0])
    _whole_epochs(axes.ravel())
    return figure


def _logarithmic(axis: Axes) -> None:
    """Give losses a logarithmic axis whose ticks are plain numbers; the axes that share it follow."""
    axis.set_yscale("log", nonpositive="clip")
    low, high = axis.get_ylim()
    subs = (1.0,) if high / low > 30 else (1.0, 2.0, 5.0)
    axis.yaxis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())


def _whole_epochs(axes: Iterable[Axes]) -> None:
    for axis in axes:
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
