"""The most confident errors of some arms as pictures, with heat maps where there are any."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from histobench.evaluation.confident_errors import MOST, ConfidentError
from histobench.report.figures.style import PAGE, TINY, canvas
from histobench.report.overlays import overlay, towards_call

SIDE = 15.5
"""Of a picture, in mm."""
TITLE, LINES = 3.5, 7.5
"""Height in mm of the title of an arm, and of the lines above a picture."""


@dataclass(frozen=True)
class Row:
    """The errors of one arm."""

    title: str
    errors: Sequence[ConfidentError]
    pixels: Sequence[np.ndarray]
    """uint8 (S, S, 3) of each error."""
    maps: Sequence[np.ndarray | None]
    """(h, w) evidence of malignant of each error; None where there is no map."""


def error_pictures(rows: Sequence[Row], notes: Sequence[str]) -> Figure:
    """Return two lines of pictures for each arm, the second with heat maps; only one where the arm has none."""
    lines: list[tuple[Row, bool]] = [
        (row, mapped)
        for row in rows
        for mapped in (False, True)
        if not mapped or any(one is not None for one in row.maps)
    ]
    heights = [SIDE + (0 if mapped else TITLE + LINES) + 1 for _, mapped in lines]
    figure = canvas(PAGE, max(sum(heights), 12), notes)
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(w_pad=0.5 / 25.4, h_pad=0.5 / 25.4, wspace=0, hspace=0)  # type: ignore[call-arg]
    if not lines:
        figure.text(0.5, 0.9, "No arm of this study calls an image wrongly.", ha="center", va="top")
        return figure
    axes = figure.subplots(len(lines), MOST, squeeze=False, height_ratios=heights)
    for line, (row, mapped) in zip(axes, lines, strict=True):
        for axis in line:
            axis.set_axis_off()
        for axis, error, pixels, heat in zip(line, row.errors, row.pixels, row.maps, strict=False):
            if not mapped:
                text = f"{('benign', 'malignant')[error.label]}\n{error.probability:.3f}\n{error.group}, fold {error.run.fold}"
                axis.imshow(pixels)
                axis.set_title(text, loc="left", size=TINY - 1, pad=1.5, linespacing=1.1)
            elif heat is not None:
                axis.imshow(overlay(pixels, towards_call(heat[None], np.array([error.logit]))[0]))
        if not mapped:
            line[0].text(
                0, 1 + (LINES + 0.5) / SIDE, row.title, transform=line[0].transAxes, size=TINY + 0.5, weight="bold"
            )
    return figure
