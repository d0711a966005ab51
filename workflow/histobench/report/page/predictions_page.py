"""The page of predictions for a folder of images: each image, its probability and its heat map."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from histobench.report.overlays import overlay
from histobench.report.page.templates import environment


@dataclass(frozen=True)
class Predicted:
    """One image of the page."""

    name: str
    probability: float
    """Of malignant."""
    call: str
    pixels: np.ndarray
    """uint8 (S, S, 3), as the model sees it."""
    heat: np.ndarray | None
    """(h, w), evidence for the class that is called; None where no map was made."""
    known: bool
    """Whether the dataset of training has an image with equal pixels."""


def build(
    title: str,
    notes: Sequence[str],
    facts: Sequence[tuple[str, str]],
    predicted: Sequence[Predicted],
    unreadable: Sequence[str],
) -> str:
    """Return one self-contained HTML page, images by falling probability.

    `title` names the model, `notes` are warnings at the top, `facts` pairs of a term and sentences, and `unreadable` a sentence
    for each file that could not be read.
    """
    from markupsafe import Markup

    here = Path(__file__).parent
    shown = [
        (one, _address(one.pixels), None if one.heat is None else _address(overlay(one.pixels, one.heat)))
        for one in sorted(predicted, key=lambda one: (-one.probability, one.name))
    ]
    return (
        environment(here)
        .get_template("predictions.html")
        .render(
            style=Markup((here / "style.css").read_text(encoding="utf-8")),
            title=title,
            notes=notes,
            facts=facts,
            shown=shown,
            unreadable=unreadable,
        )
    )


def _address(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
