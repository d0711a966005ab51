"""Pixel stores whose stain is normalised to that of the training images of a fold."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from histobench.datasets import stain, validation
from histobench.datasets.folds import Folds
from histobench.datasets.manifest import Image
from histobench.io.files import read_json


def sides(
    images: Sequence[Image], split: Folds, fold: int, magnification: int, kept: tuple[float, int] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of `images` at a magnification that train in a fold, and all others at this magnification.

    Of the training rows those of groups that are kept for choosing are among the others: `kept` is their share and their seed.
    """
    trains, tested = split.rows(images, fold, magnification)
    if not kept:
        return trains, tested
    trains, chosen_on = validation.divide(images, split, fold, magnification, *kept)
    return trains, np.sort(np.concatenate([tested, chosen_on]))


def write(
    store: np.ndarray, trains: np.ndarray, others: np.ndarray, method: str, path: Path, workers: int = 1
) -> dict[str, Any]:
    """Write a store like `store`, uint8 (images, S, S, 3), with the rows `trains` and `others` normalised to those that train.

    The file has no content in other rows, which take no space on a disk that knows sparse files.

    Returns:
        The `method`; the `target` (:func:`histobench.datasets.stain.target`) as lists; how many images were measured for it
        (`images`); and how many of all have too little tissue and stay `unchanged`.

    Raises:
        HistoBenchError: no training image has enough tissue.
    """
    from histobench.datasets.scan import in_threads

    rows = np.sort(np.concatenate([trains, others]))
    measures = dict(zip(rows, in_threads(stain.measure, ((store[row], method) for row in rows), workers), strict=True))
    known = [measures[row] for row in trains if measures[row] is not None]
    target = stain.target(known)
    size = store[0].nbytes
    made = in_threads(stain.normalise, ((store[row], measures[row], target) for row in rows), workers)
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": store.shape}
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()
        for row, image in zip(rows, made, strict=True):
            file.seek(start + int(row) * size)
            file.write(image.tobytes())
        file.truncate(start + store.nbytes)
    unchanged = sum(one is None for one in measures.values())
    return {"method": method, "target": target.tolist(), "images": len(known), "unchanged": unchanged}


def reference(path: Path) -> tuple[str, np.ndarray]:
    """Return the method and the target that a file holds, as :func:`write` returned them.

    Raises:
        HistoBenchError: the file is missing or damaged.
    """
    content = read_json(path)
    return content["method"], np.array(content["target"])
