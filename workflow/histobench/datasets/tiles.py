"""Tiles of another dataset's images at the physical scale of training.

Training squashes a whole field of view to a square. A tile covers as many micrometres of the other dataset's image as that field
of view, across and down, so that after the same squashing a pixel covers what it did in training.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from histobench.datasets.manifest import Image
from histobench.io.errors import HistoBenchError

MOST = 3
"""Columns of tiles in an image, and rows, at most."""

Size = tuple[int, int]
"""Width and height in pixels."""
Microns = Mapping[str, float]
"""Magnification, as text -> micrometres per pixel of the original images."""


def most_frequent(images: Iterable[Image], magnification: int | None = None) -> Image:
    """Return the first image of the most frequent size, at one magnification where that is given.

    Raises:
        HistoBenchError: there is no image at this magnification.
    """
    kinds: dict[tuple[int, int, int], list[Image]] = {}
    for image in images:
        if magnification in (None, image.magnification):
            kinds.setdefault((image.magnification, image.width, image.height), []).append(image)
    if not kinds:
        raise HistoBenchError(f"the dataset of training has no image at {magnification}x; choose another magnification")
    return max(kinds.values(), key=len)[0]


def sizes(
    images: Sequence[Image], trained_on: Iterable[Image], magnification: int, microns: tuple[Microns, Microns]
) -> list[Size]:
    """Return the size of the tiles of each image, in its pixels.

    Args:
        images: of the other dataset.
        trained_on: the manifest that training images are from; their most frequent size counts.
        magnification: of the training images.
        microns: of the other dataset and of that of training.

    Raises:
        HistoBenchError: the micrometres per pixel of an image are not known, or nothing was trained on at `magnification`.
    """
    other, training = microns
    field = most_frequent(trained_on, magnification)
    for image in images:
        if str(image.magnification) not in other:
            raise HistoBenchError(
                f"image {image.image_id} has magnification {image.magnification}, for which `microns_per_pixel` of its dataset "
                "has no value; add it, or leave `matched` out of `scales`"
            )
    ratios = (training[str(magnification)] / other[str(image.magnification)] for image in images)
    return [(max(1, round(field.width * ratio)), max(1, round(field.height * ratio))) for ratio in ratios]


def starts(length: int, tile: int) -> list[int]:
    """Return where tiles begin along one side of an image: as many as cover it, at most :data:`MOST`, evenly from end to end.

    Where fewer tiles than cover it are allowed, gaps are between them. A tile that is not shorter than the image begins at 0.
    """
    count = min(MOST, math.ceil(length / tile))
    return [round(number * (length - tile) / (count - 1)) for number in range(count)] if count > 1 else [0]


def count(image: Image, tile: Size) -> int:
    """Return the number of tiles of an image."""
    return math.prod(len(starts(*sides)) for sides in zip((image.width, image.height), tile, strict=True))


def covered(image: Image, tile: Size) -> float:
    """Return the share of an image that its tiles cover."""
    return math.prod(
        min(1.0, len(starts(length, side)) * side / length)
        for length, side in zip((image.width, image.height), tile, strict=True)
    )


def mirrored(image: Image, tile: Size) -> float:
    """Return the share of a tile that is beyond the edges of the image."""
    inside = (min(1.0, length / side) for length, side in zip((image.width, image.height), tile, strict=True))
    return 1 - math.prod(inside)


def cut(pixels: np.ndarray, tile: Size) -> list[np.ndarray]:
    """Return the tiles of an image, row by row, each uint8 (height, width, 3) of the tile's size.

    An image that is smaller than the tile is continued by reflection at its edges, so that the scale holds.
    """
    width, height = tile
    missing = [max(0, side - length) for side, length in zip((height, width), pixels.shape[:2], strict=True)]
    whole = np.pad(pixels, [*((extra // 2, extra - extra // 2) for extra in missing), (0, 0)], "reflect")
    return [
        whole[y : y + height, x : x + width]
        for y in starts(whole.shape[0], height)
        for x in starts(whole.shape[1], width)
    ]
