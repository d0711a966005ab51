"""Calibration: how often images of a given predicted probability are malignant."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from histobench.report.figures.style import PAGE, Arm, canvas, magnification_looks, styled
from histobench.report.terms import printed

Texts = Mapping[str, str]

COLUMNS = (
    *("dataset", "model", "mode", "split", "magnification", "augmentation", "selection"),
    *("low", "high", "images", "mean_probability", "malignant_share"),
)
"""Columns of `calibration.csv` that are drawn."""


@styled
def reliability(calibration: Sequence[Texts], arms: Sequence[Arm], notes: Sequence[str] = ()) -> Figure:
    """Return the reliability curve of each arm, one line per magnification, over the number of images in each bin.

    Args:
        calibration: rows of `calibration.csv` of one dataset, split, augmentation and selection; bins without images
            have none of their shares.
        arms: of the study.
        notes: sentences for the foot.
    """
    shown = [arm for arm in arms if any((row["model"], row["mode"]) == arm.key for row in calibration)]
    magnifications = sorted({int(row["magnification"]) for row in calibration})
    colours = magnification_looks(magnifications)
    columns = max(1, min(4, len(shown)))  # an empty panel where no arm could be used
    lines = max(1, -(-len(shown) // columns))
    handles: list[Artist] = [
        Line2D([], [], color=colour, marker=marker, markersize=3, label=printed("magnification", str(magnification)))
        for magnification, (colour, marker) in colours.items()
    ]
    handles.append(Line2D([], [], color="0.6", linewidth=0.7, linestyle=(0, (4, 2)), label="perfectly calibrated"))
    figure = canvas(PAGE, 4 + 56 * lines, notes, handles, 5)
    grid = figure.subplots(2 * lines, columns, sharex=True, sharey="row", squeeze=False, height_ratios=[3.2, 1] * lines)
    for place in range(lines * columns):
        curve, bars = (grid[2 * (place // columns) + part, place % columns] for part in (0, 1))
        if place >= len(shown):
            curve.set_visible(False)
            bars.set_visible(False)
            continue
        arm = shown[place]
        curve.plot([0, 1], [0, 1], color="0.6", linewidth=0.7, linestyle=(0, (4, 2)))
        for magnification in magnifications:
            rows = [
                row
                for row in calibration
                if (row["model"], row["mode"], int(row["magnification"])) == (*arm.key, magnification)
                and int(row["images"]) > 0
            ]
            colour, marker = colours[magnification]
            curve.plot(
                [float(row["mean_probability"]) for row in rows],
                [float(row["malignant_share"]) for row in rows],
                color=colour, marker=marker, markersize=3, linewidth=0.9, gid=f"{arm.name}: {magnification}",
            )  # fmt: skip
        counts: dict[tuple[float, float], dict[int, int]] = {}
        for row in calibration:
            if (row["model"], row["mode"]) == arm.key:
                edges = float(row["low"]), float(row["high"])
                counts.setdefault(edges, {})[int(row["magnification"])] = int(row["images"])
        floor = dict.fromkeys(counts, 0)
        for magnification in magnifications:
            heights = [counts[edges].get(magnification, 0) for edges in counts]
            bars.bar(
                [low for low, _ in counts], heights, [high - low for low, high in counts], list(floor.values()),
                align="edge", color=colours[magnification][0], edgecolor="white", linewidth=0.3,
            )  # fmt: skip
            floor = {edges: floor[edges] + height for edges, height in zip(counts, heights, strict=True)}
        curve.set_title(arm.name, loc="left")
        curve.set_xlim(-0.02, 1.02)
        curve.set_ylim(-0.03, 1.03)
        curve.grid()
        curve.tick_params(labelleft=place % columns == 0)
        below = place + columns < len(shown)
        bars.tick_params(labelbottom=not below, labelleft=place % columns == 0)
        if place % columns == 0:
            curve.set_ylabel("share malignant")
            bars.set_ylabel("images")
        if not below:
            bars.set_xlabel("predicted probability")
        bars.set_xticks(np.linspace(0, 1, 5), ["0", "", "0.5", "", "1"])
    return figure
