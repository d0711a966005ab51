"""What accuracy costs: seconds of training and trainable parameters."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from histobench.report.figures.style import PAGE, Arm, arm_handles, canvas, looks, styled

Texts = Mapping[str, str]

COSTS = ("dataset", "model", "mode", "split", "magnification", "augmentation", "runs", "seconds", "device")
PARAMETERS = ("model", "mode", "trainable")
"""Columns of `costs.csv` and `parameters.csv` that are drawn."""
NOTE = (
    "Markers: mean over magnifications; lines: their range. Embeddings and visual tokens, which all folds share, "
    "are computed before a run and are not in its seconds."
)


def unit(devices: Sequence[str]) -> str:
    """Return what a second of training is a second of, from the devices that runs name."""
    kinds = {"CPU" if device.startswith("cpu ") else "GPU" for device in devices}
    return f"{kinds.pop()}-seconds" if len(kinds) == 1 else "seconds, on CPU or GPU,"


@styled
def cost(
    costs: Sequence[Texts],
    parameters: Sequence[Texts],
    summary: Sequence[Texts],
    arms: Sequence[Arm],
    notes: Sequence[str] = (),
) -> Figure:
    """Return accuracy against the seconds of one run, and against trainable parameters, both logarithmic.

    A marker is the mean over magnifications, the line through it their range; seconds are the mean over runs.

    Args:
        costs: rows of `costs.csv` of one dataset, split and augmentation.
        parameters: rows of `parameters.csv`.
        summary: rows of `summary.csv` of the same arms, last epoch.
        arms: of the study.
        notes: sentences for the foot.
    """
    trainable = {(row["model"], row["mode"]): int(row["trainable"]) for row in parameters}
    spent: dict[tuple[str, str], list[tuple[float, int]]] = {}
    for row in costs:
        spent.setdefault((row["model"], row["mode"]), []).append((float(row["seconds"]), int(row["runs"])))
    seconds = {key: sum(total for total, _ in rows) / sum(runs for _, runs in rows) for key, rows in spent.items()}
    accuracy: dict[tuple[str, str], list[float]] = {}
    for row in summary:
        accuracy.setdefault((row["model"], row["mode"]), []).append(float(row["accuracy_mean"]))
    shown = [arm for arm in arms if arm.key in seconds and arm.key in accuracy and arm.key in trainable]
    known = looks(arms)
    figure = canvas(PAGE, 64, [NOTE, *notes], arm_handles(shown, known, line=False))
    axes = figure.subplots(1, 2, sharey=True)
    devices = [device for row in costs for device in row["device"].split("; ")]
    for axis, xs, label in (
        (axes[0], seconds, f"{unit(devices)} per run"),
        (axes[1], {key: float(value) for key, value in trainable.items()}, "trainable parameters"),
    ):
        for arm in shown:
            x, values = xs[arm.key], accuracy[arm.key]
            axis.plot(
                [x, x], [min(values), max(values)], color=known[arm.key].colour, linewidth=0.8, gid=f"{arm.name}: range"
            )
            axis.plot([x], [np.mean(values)], linestyle="none", markersize=6, gid=arm.name, **known[arm.key].marks)
        axis.set_xscale("log")
        axis.margins(x=0.12)
        low, high = axis.get_xlim()
        if high / low < 300:
            axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.grid()
        axis.set_xlabel(label)
    axes[0].set_ylabel("accuracy")
    return figure
