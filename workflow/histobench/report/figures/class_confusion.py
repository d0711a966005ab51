"""The confusion matrix of several classes, for each arm and magnification."""

from collections.abc import Mapping

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from histobench.evaluation.class_predictions import ClassPredictions
from histobench.metrics import confusion
from histobench.report.figures.curves import SHARE_COLOURS
from histobench.report.figures.style import COLUMN, PAGE, TINY, canvas
from histobench.report.terms import magnified
from histobench.study.resolved import Study
from histobench.study.runs import Run


def class_confusion(predictions: Mapping[Run, ClassPredictions], study: Study) -> Figure:
    """Return a panel for each arm and magnification: shares of each true class in percent, of all folds and seeds together.

    Beside each true class is its number of images. A class without images has an empty row.
    """
    size = len(study.classes)
    counts: dict[tuple[str, int], np.ndarray] = {}
    for arm in study.arms:
        for run in sorted(predictions, key=lambda run: run.magnification):
            if (run.model, run.mode) == arm.key:
                one = predictions[run]
                own = counts.setdefault((arm.name, run.magnification), np.zeros((size, size), dtype=int))
                own += confusion(one.label, one.logits["last"])
    columns = min(len(counts), 3 if size > 4 else 4)
    rows, width = -(-len(counts) // columns), PAGE if columns > 1 else COLUMN
    figure = canvas(width, rows * width / columns + 4, study.notes)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    scale = LinearSegmentedColormap.from_list("shares", SHARE_COLOURS, bad="0.9")
    for axis, ((name, magnification), own) in zip(axes, counts.items(), strict=False):
        images = own.sum(axis=1)
        share = np.divide(own, images[:, None], out=np.full(own.shape, np.nan), where=images[:, None] > 0)
        axis.pcolormesh(np.ma.masked_invalid(share), cmap=scale, vmin=0, vmax=1, edgecolors="0.85", linewidth=0.4)
        for true, called in np.argwhere(own):
            colour = "white" if share[true, called] > 0.6 else "black"
            text = f"{100 * share[true, called]:.0f}"
            place = {"ha": "center", "va": "center", "color": colour, "size": TINY}
            axis.text(called + 0.5, true + 0.5, text, gid=f"{name}: {magnification}", **place)
        axis.set_title(f"{name}, {magnified(magnification)}", loc="left")
        turned = {"rotation": 90} if max(map(len, study.classes)) > 4 else {}
        axis.set_xticks(np.arange(size) + 0.5, study.classes, **turned)
        axis.set_yticks(np.arange(size) + 0.5, [f"{one} ({n:,})" for one, n in zip(study.classes, images, strict=True)])
        axis.set(xlabel="called", ylabel="true class (images)", ylim=(size, 0), aspect="equal")
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    for axis in axes[len(counts) :]:
        axis.set_visible(False)
    return figure
