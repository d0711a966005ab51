"""Loss and accuracy over epochs: one panel per arm (Figure 6), and all arms in one panel (Figure 7)."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from histobench.report.figures.style import GREY, PAGE, Arm, arm_handles, canvas, looks
from histobench.report.terms import Texts, magnified
from histobench.study.resolved import Study
from histobench.study.runs import Run

COLUMNS = ("epoch", "train_loss", "validation_loss", "accuracy")
"""Columns of a `history.csv` that are drawn."""
SPREAD = "Bars: mean ± sample standard deviation over folds at the last epoch."

Histories = Mapping[Run, Sequence[Texts]]
"""The epochs of each run, of one dataset, split and augmentation."""


def curves(histories: Histories, arm: Arm, magnification: int, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Return one column of the histories of an arm, over the epochs that all its folds have: the mean over a fold's seeds.

    Returns:
        int (epochs,): numbers of the epochs, and float64 (folds, epochs): the values.
    """
    setting = (*arm.key, magnification)
    folds: dict[int, list[Sequence[Texts]]] = {}
    for run, epochs in histories.items():
        if (run.model, run.mode, run.magnification) == setting:
            folds.setdefault(run.fold, []).append(epochs)
    if not folds:
        return np.empty(0, int), np.empty((0, 0))
    length = min(len(epochs) for seeds in folds.values() for epochs in seeds)
    values = [
        np.mean([[float(epoch[column]) for epoch in epochs[:length]] for epochs in seeds], axis=0)
        for seeds in folds.values()
    ]
    return np.array([int(epoch["epoch"]) for epoch in next(iter(folds.values()))[0][:length]]), np.array(values)


def losses(histories: Histories, study: Study) -> Figure:
    """Return Figure 6: training and validation loss of each arm at one magnification, mean and range over folds.

    CNNs are in the upper rows.
    """
    magnification = study.magnification
    shown = [arm for arm in _with_epochs(study) if curves(histories, arm, magnification, "epoch")[0].size]
    families = ([arm for arm in shown if arm.family == "cnn"], [arm for arm in shown if arm.family != "cnn"])
    columns = min(4, max(map(len, families)))
    rows = [family[start : start + columns] for family in families for start in range(0, len(family), columns)]
    handles: list[Artist] = [
        Line2D([], [], color=GREY, linestyle="--", linewidth=1.2, label="training (dashed), mean over folds"),
        Line2D([], [], color="black", linewidth=1.2, label="validation (solid), mean over folds"),
        Patch(color="0.5", alpha=0.3, linewidth=0, label="range over folds"),
    ]
    figure = canvas(PAGE, 6 + 42 * len(rows), study.notes, handles, 3)
    axes = figure.subplots(len(rows), columns, sharex=True, sharey=True, squeeze=False)
    known = looks(study.arms)
    for number, (line, row) in enumerate(zip(axes, rows, strict=True)):
        for axis in line[len(row) :]:
            axis.set_visible(False)
        for column, (axis, arm) in enumerate(zip(line, row, strict=False)):
            for name, colour, style in (("train_loss", GREY, "--"), ("validation_loss", known[arm.key].colour, "-")):
                epochs, values = curves(histories, arm, magnification, name)
                low, high = values.min(0), values.max(0)
                axis.fill_between(epochs, low, high, color=colour, alpha=0.22, linewidth=0, gid=f"{name} range")
                axis.plot(epochs, values.mean(0), color=colour, linestyle=style, linewidth=1.2, gid=name)
            axis.set_title(arm.name, loc="left")
            axis.grid()
            below = number + 1 < len(rows) and column < len(rows[number + 1])
            axis.tick_params(labelbottom=not below, labelleft=column == 0)
            if not below:
                axis.set_xlabel("epoch")
        line[0].set_ylabel(f"BCE loss, {magnified(magnification)}")
    _scale(axes)
    return figure


def overlay(histories: Histories, study: Study) -> Figure:
    """Return Figure 7: validation loss and accuracy of all arms, mean over folds, one column per magnification.

    Bars on the right are the mean of the last epoch with the sample standard deviation over folds.
    """
    magnifications = sorted({run.magnification for run in histories})
    shown = [arm for arm in _with_epochs(study) if any((run.model, run.mode) == arm.key for run in histories)]
    known = looks(study.arms)
    figure = canvas(PAGE, 96, [SPREAD, *study.notes], arm_handles(shown, known))
    axes = figure.subplots(2, len(magnifications), sharex=True, sharey="row", squeeze=False)
    for column, magnification in enumerate(magnifications):
        for axis, name in zip(axes[:, column], ("validation_loss", "accuracy"), strict=True):
            for place, arm in enumerate(shown):
                epochs, values = curves(histories, arm, magnification, name)
                if not epochs.size:
                    continue
                every = max(len(epochs) // 5, 1)
                axis.plot(
                    epochs,
                    values.mean(0),
                    linestyle=known[arm.key].line,
                    markevery=(place * every // len(shown), every),  # markers of different arms do not coincide
                    markersize=3.2,
                    gid=f"{arm.name}: {name}",
                    **known[arm.key].marks,
                )
                if len(values) > 1:
                    mean, spread = values[:, -1].mean(), values[:, -1].std(ddof=1)
                    x = epochs[-1] + 0.03 * (place + 1) * max(epochs[-1] - epochs[0], 1)
                    look = {"color": known[arm.key].colour, "linestyle": "-", "marker": "_", "markersize": 3}
                    axis.plot([x] * 3, [mean - spread, mean, mean + spread], gid=f"{arm.name}: {name} spread", **look)
            axis.grid()
        axes[0, column].set_title(magnified(magnification), loc="left")
        axes[1, column].set_xlabel("epoch")
    axes[0, 0].set_ylabel("validation BCE loss")
    axes[1, 0].set_ylabel("validation accuracy")
    _scale(axes)
    return figure


def _with_epochs(study: Study) -> list[Arm]:
    return [arm for arm in study.arms if study.has_epochs(*arm.key)]


def _scale(axes: np.ndarray) -> None:
    """Give losses a logarithmic axis with plain numbers as ticks, which axes that share it follow, and epochs whole numbers."""
    axis = axes[0, 0]
    axis.set_yscale("log", nonpositive="clip")
    low, high = axis.get_ylim()
    subs = (1.0,) if high / low > 30 else (1.0, 2.0, 5.0)
    axis.yaxis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    for axis in axes.ravel():
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
