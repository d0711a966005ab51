"""What accuracy costs: seconds of training and trainable parameters."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from histobench.evaluation.summary import ARM
from histobench.report.figures.style import PAGE, arm_handles, canvas, looks
from histobench.report.terms import Texts
from histobench.study.resolved import Study

COSTS = (*ARM, "runs", "seconds", "feature_seconds", "device")
PARAMETERS = ("model", "mode", "trainable")
"""Columns of `costs.csv` and `parameters.csv` that are drawn."""
NOTE = (
    "Markers: mean over magnifications; lines: their range. Seconds of a run include its share of embeddings or visual "
    "tokens, which are computed once for all folds."
)


def unit(devices: Sequence[str]) -> str:
    """Return the unit of training time: CPU-seconds, GPU-seconds, or either where the runs' devices differ."""
    kinds = {"CPU" if device.startswith("cpu ") else "GPU" for device in devices}
    return f"{kinds.pop()}-seconds" if len(kinds) == 1 else "seconds, on CPU or GPU,"


def cost(costs: Sequence[Texts], parameters: Sequence[Texts], summary: Sequence[Texts], study: Study) -> Figure:
    """Return accuracy against the seconds of one run, and against trainable parameters, on logarithmic scales.

    A marker is the mean over magnifications, the line through it their range. Seconds are the mean over runs, with those
    of embeddings or visual tokens; a note names the arms of which the latter are not known. The rows of `costs.csv` are of
    one dataset, split and augmentation, those of `summary.csv` of the same arms at the last epoch.
    """
    trainable = {(row["model"], row["mode"]): float(row["trainable"]) for row in parameters}
    totals: dict[tuple[str, str], list[tuple[float, int]]] = {}
    for row in costs:
        spent = float(row["seconds"]) + float(row["feature_seconds"] or 0)
        totals.setdefault((row["model"], row["mode"]), []).append((spent, int(row["runs"])))
    seconds = {key: sum(total for total, _ in rows) / sum(runs for _, runs in rows) for key, rows in totals.items()}
    accuracy: dict[tuple[str, str], list[float]] = {}
    for row in summary:
        accuracy.setdefault((row["model"], row["mode"]), []).append(float(row["accuracy_mean"]))
    shown = [arm for arm in study.arms if arm.key in seconds and arm.key in accuracy and arm.key in trainable]
    known = looks(study.arms)
    unknown = {(row["model"], row["mode"]) for row in costs if not row["feature_seconds"]}
    names = ", ".join(arm.name for arm in shown if arm.key in unknown and arm.trainable != "all")
    notes = [NOTE, f"They lack it where it was not recorded: {names}."] if names else [NOTE]
    figure = canvas(PAGE, 64, [*notes, *study.notes], arm_handles(shown, known, line=False))
    axes = figure.subplots(1, 2, sharey=True)
    devices = [device for row in costs for device in row["device"].split("; ")]
    panels = ((seconds, f"{unit(devices)} per run"), (trainable, "trainable parameters"))
    for axis, (xs, label) in zip(axes, panels, strict=True):
        for arm in shown:
            x, values, look = xs[arm.key], accuracy[arm.key], known[arm.key]
            if not x:  # nothing is trained, and the axis is logarithmic
                continue
            ends = [min(values), max(values)]
            axis.plot([x, x], ends, color=look.colour, linewidth=0.8, gid=f"{arm.name}: range")
            axis.plot([x], [np.mean(values)], linestyle="none", markersize=6, gid=arm.name, **look.marks)
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
