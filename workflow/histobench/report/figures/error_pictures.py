"""The most confident errors of some arms as pictures, with heat maps where there are any."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from histobench.evaluation.confident_errors import MOST, ConfidentError
from histobench.report.figures.style import PAGE, TINY, canvas
from histobench.report.overlays import overlay, towards_call

CLASSES = ("benign", "malignant")
HEIGHTS = {"title": (3.5, 3.5), "pictures": (16.5, 24.0), "maps": (16.5, 17.5)}
"""Of the lines in mm: their axes alone, and with the three lines of text above each picture."""


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
    ratios, heights = zip(*(HEIGHTS[kind] for _, kind in lines), strict=True) if lines else ((), ())
    figure = canvas(PAGE, max(sum(heights), 12), notes)
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(w_pad=0.5 / 25.4, h_pad=0.5 / 25.4, wspace=0, hspace=0)  # type: ignore[call-arg]
    if not lines:
        figure.text(0.5, 0.95, "No arm of this study calls an image wrongly.", ha="center", va="top")
        return figure
    axes = figure.subplots(len(lines), MOST, squeeze=False, height_ratios=ratios)
    for line, (row, kind) in zip(axes, lines, strict=True):
        for axis in line:
            axis.set_axis_off()
        if kind == "title":
            line[0].text(0, 0.1, row.title, size=TINY + 0.5, weight="bold", va="bottom").set_in_layout(False)
            continue
        for axis, error, pixels, heat in zip(line, row.errors, row.pixels, row.maps, strict=False):
            if kind == "pictures":
                text = f"{CLASSES[error.label]}\n{error.probability:.3f}\n{error.group}, fold {error.run.fold}"
                axis.imshow(pixels)
                axis.set_title(text, loc="left", size=TINY - 1, pad=1.5, linespacing=1.1)
            elif heat is not None:
                axis.imshow(overlay(pixels, towards_call(heat[None], np.array([error.logit]))[0]))
    return figure
