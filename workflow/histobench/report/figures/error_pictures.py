"""The most confident errors of some arms as pictures, with heat maps where there are any."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from histobench.evaluation.confident_errors import MOST, ConfidentError
from histobench.report.figures.style import PAGE, TINY, canvas
from histobench.report.overlays import overlay, towards_call

CLASSES = ("benign", "malignant")
HEIGHTS = {"title": 5.0, "pictures": 22.5, "maps": 17.5}
"""Of the lines in mm; three lines of text are above each picture."""
SIDE = 16.5
"""Of a picture in mm."""


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
    """Return for each arm a title and two lines of pictures, the second with heat maps; only one where the arm has none."""
    lines: list[tuple[Row, str]] = []
    for row in rows:
        mapped = any(heat is not None for heat in row.maps)
        lines += [(row, kind) for kind in ("title", "pictures", *["maps"] * mapped)]
    height = sum(HEIGHTS[kind] for _, kind in lines)
    figure = canvas(PAGE, max(height, 12), notes)
    if not lines:
        figure.text(0.5, 0.95, "No arm of this study calls an image wrongly.", ha="center", va="top")
        return figure
    # One axes, in mm from the upper left corner: an axes for each picture would take seconds.
    axis = figure.subplots()
    axis.set_axis_off()
    lefts, below = [PAGE / MOST * place for place in range(MOST)], 0.0
    for row, kind in lines:
        below += HEIGHTS[kind]
        if kind == "title":
            axis.text(0, below - 0.2, row.title, size=TINY + 0.5, weight="bold", va="bottom")
            continue
        for left, error, pixels, heat in zip(lefts, row.errors, row.pixels, row.maps, strict=False):
            place = (left, left + SIDE, below, below - SIDE)
            if kind == "pictures":
                text = f"{CLASSES[error.label]}\n{error.probability:.3f}\n{error.group}, fold {error.run.fold}"
                axis.imshow(pixels, extent=place)
                axis.text(left, below - SIDE - 0.5, text, size=TINY - 1, va="bottom", linespacing=1.1)
            elif heat is not None:
                axis.imshow(overlay(pixels, towards_call(heat[None], np.array([error.logit]))[0]), extent=place)
    axis.set(xlim=(0, PAGE), ylim=(height, 0))
    return figure
