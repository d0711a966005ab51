"""Calibration: how often images of a given predicted probability are malignant."""

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from histobench.report.figures.style import DIAGONAL, PAGE, canvas, magnification_looks
from histobench.report.terms import Texts, magnified
from histobench.study.resolved import Arm, Study

COLUMNS = (
    *("dataset", "model", "mode", "split", "magnification", "augmentation", "selection"),
    *("low", "high", "images", "mean_probability", "malignant_share"),
)
"""Columns of `calibration.csv` that are drawn."""
NOTE = "The area of a marker is proportional to the number of images in its bin."
LARGEST = 60.0
"""Area in square points of the marker of the bin with the most images."""


def reliability(calibration: Sequence[Texts], study: Study) -> Figure:
    """Return the reliability curve of each arm of a study, as :func:`reliability_of`."""
    return reliability_of(calibration, study.arms, study.notes)


def reliability_of(
    calibration: Sequence[Texts], arms: Sequence[Arm], notes: Sequence[str], magnifications_named: bool = True
) -> Figure:
    """Return the reliability curve of each arm, one line per magnification, above the number of images in each bin.

    The rows of `calibration.csv` are of one dataset, split, augmentation and selection; the shares of a bin without images
    are empty. The area of a marker is proportional to the number of images in its bin. Without `magnifications_named`, the legend
    leaves magnifications out: the images of all are together.
    """
    shown = [arm for arm in arms if any((row["model"], row["mode"]) == arm.key for row in calibration)]
    magnifications = sorted({int(row["magnification"]) for row in calibration})
    colours = magnification_looks(magnifications)
    columns = max(1, min(4, len(shown)))  # one empty panel where no arm could be used
    lines = max(1, -(-len(shown) // columns))
    largest = max((int(row["images"]) for row in calibration), default=1)
    handles: list[Artist] = [
        Line2D([], [], color=colour, marker=marker, markersize=3, label=magnified(magnification))
        for magnification, (colour, marker) in colours.items()
        if magnifications_named
    ]
    handles.append(Line2D([], [], label="perfectly calibrated", **DIAGONAL))
    figure = canvas(PAGE, 4 + 56 * lines, [NOTE, *notes], handles, 5)
    grid = figure.subplots(2 * lines, columns, sharex=True, sharey="row", squeeze=False, height_ratios=[3.2, 1] * lines)
    pairs = [(grid[2 * line, column], grid[2 * line + 1, column]) for line in range(lines) for column in range(columns)]
    for axis in (axis for pair in pairs[len(shown) :] for axis in pair):
        axis.set_visible(False)
    for place, (arm, (curve, bars)) in enumerate(zip(shown, pairs, strict=False)):
        curve.plot([0, 1], [0, 1], **DIAGONAL)
        floor: dict[str, int] = {}  # height of the bars so far, by the lower edge of the bin
        for magnification in magnifications:
            setting = (*arm.key, str(magnification))
            rows = [row for row in calibration if (row["model"], row["mode"], row["magnification"]) == setting]
            filled = [row for row in rows if int(row["images"]) > 0]
            colour, marker = colours[magnification]
            curve.plot(
                [float(row["mean_probability"]) for row in filled],
                [float(row["malignant_share"]) for row in filled],
                color=colour, linewidth=0.6, alpha=0.6, gid=f"{arm.name}: {magnification}",
            )  # fmt: skip
            curve.scatter(
                [float(row["mean_probability"]) for row in filled],
                [float(row["malignant_share"]) for row in filled],
                [LARGEST * int(row["images"]) / largest for row in filled],
                colour, marker, linewidths=0, gid=f"{arm.name}: {magnification} images",
            )  # fmt: skip
            bars.bar(
                [float(row["low"]) for row in rows],
                [int(row["images"]) for row in rows],
                [float(row["high"]) - float(row["low"]) for row in rows],
                [floor.get(row["low"], 0) for row in rows],
                align="edge", color=colour, edgecolor="white", linewidth=0.3,
            )  # fmt: skip
            for row in rows:
                floor[row["low"]] = floor.get(row["low"], 0) + int(row["images"])
        curve.set_title(arm.name, loc="left")
        curve.set_xlim(-0.02, 1.02)
        curve.set_ylim(-0.03, 1.03)
        curve.grid()
        left, below = place % columns == 0, place + columns < len(shown)
        curve.tick_params(labelleft=left)
        bars.tick_params(labelbottom=not below, labelleft=left)
        if left:
            curve.set_ylabel("share malignant")
            bars.set_ylabel("images")
        if not below:
            bars.set_xlabel("predicted probability")
        bars.set_xticks(np.linspace(0, 1, 5), ["0", "", "0.5", "", "1"])
    return figure
