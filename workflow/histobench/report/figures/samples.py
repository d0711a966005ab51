"""Sample images with a scale bar (Figures 1 and 2)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from histobench.report.figures.style import COLUMN, PAGE, SMALL, canvas


@dataclass(frozen=True)
class Sample:
    """One image of a figure."""

    title: str
    pixels: np.ndarray
    """uint8 (height, width, 3), RGB."""
    micrometres_per_pixel: float | None
    """None where the scale is not known; the image then has no bar."""


def bar(micrometres: float) -> float:
    """Return the length of the scale bar for a field of this width, in µm: the longest of 1, 2, 5, 10, ... up to a quarter."""
    decade = 10 ** np.floor(np.log10(micrometres / 4))
    return float(max(step * decade for step in (1, 2, 5) if step * decade <= micrometres / 4))


def samples(rows: Sequence[tuple[str, Sequence[Sample]]], notes: Sequence[str] = ()) -> Figure:
    """Return rows of images, each row with its name on the left, and every image with an approximate scale bar."""
    columns = max(len(images) for _, images in rows)
    width = PAGE if columns > 2 else COLUMN
    side = (width - 6) / columns - 2.4
    tallest = max(image.pixels.shape[0] / image.pixels.shape[1] for _, images in rows for image in images)
    figure = canvas(width, len(rows) * (side * tallest + 6.5), notes)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, images) in zip(axes, rows, strict=True):
        for axis in line[len(images) :]:
            axis.set_visible(False)
        for axis, image in zip(line, images, strict=False):
            axis.imshow(image.pixels)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            axis.set_title(image.title, loc="left", size=SMALL, pad=2)
            if image.micrometres_per_pixel:
                _scale_bar(axis, image)
        line[0].set_ylabel(name)
    return figure


def _scale_bar(axis, image: Sample) -> None:
    height, width, _ = image.pixels.shape
    assert image.micrometres_per_pixel is not None
    length = bar(width * image.micrometres_per_pixel)
    pixels = length / image.micrometres_per_pixel
    margin, thick = 0.035 * width, 0.014 * width
    label = f"≈ {length:g} µm"
    # A white plate below bar and text, since tissue may have any colour.
    plate = max(pixels, 0.3 * width)
    corner, size = (width - 1.7 * margin - plate, height - 4.6 * margin), (plate + 1.4 * margin, 4.3 * margin)
    axis.add_patch(Rectangle(corner, *size, color="white", alpha=0.8, linewidth=0))
    centre = width - margin - plate / 2
    corner = (centre - pixels / 2, height - 1.4 * margin)
    axis.add_patch(Rectangle(corner, pixels, thick, color="black", linewidth=0, gid="scale bar"))
    axis.text(centre, height - 1.7 * margin, label, ha="center", va="bottom", size=SMALL)
