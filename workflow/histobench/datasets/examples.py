"""Sample images of a dataset for figures: which ones, their original pixels, and the size of a pixel in micrometres."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from histobench.datasets.archives import members
from histobench.datasets.decode import decode
from histobench.datasets.manifest import LABELS, Image
from histobench.io.errors import HistoBenchError


def per_class(images: Sequence[Image], classes: Sequence[str] = ()) -> list[list[Image]]:
    """Return for each class, benign first or those of `classes` in order, one image at each magnification; none is chosen by hand.

    They are the first images of the first patient of the class who has all magnifications of the dataset; if no patient
    has, the first image of the class at each.
    """
    magnifications = sorted({image.magnification for image in images})
    rows = []
    for name in classes or LABELS:
        own = [image for image in images if (image.subtype if classes else image.label) == name]
        first: dict[tuple[str, int], Image] = {}
        for image in own:
            first.setdefault((image.patient, image.magnification), image)
            first.setdefault(("", image.magnification), image)
        patients = sorted({image.patient for image in own})
        whole = (name for name in patients if all((name, scale) in first for scale in magnifications))
        patient = next(whole, "")
        rows.append([first[patient, scale] for scale in magnifications if (patient, scale) in first])
    return [row for row in rows if row]


def per_group(images: Iterable[Image]) -> list[Image]:
    """Return the first image of each histological type, or of each class where types are not known; benign first."""
    first: dict[tuple[int, str], Image] = {}
    for image in images:
        first.setdefault((LABELS.index(image.label), image.subtype or image.label), image)
    return [image for (_, _), image in sorted(first.items(), key=lambda item: item[0][0])]


def fetch(source: Path, wanted: Sequence[Image]) -> dict[str, np.ndarray]:
    """Return the decoded originals of some images by their id, uint8 (height, width, 3); the source is read once at most.

    Raises:
        HistoBenchError: as :func:`histobench.datasets.archives.members` and :func:`histobench.datasets.decode.decode`; and
            when the source lacks an image.
    """
    names = {image.member: image.image_id for image in wanted}
    found: dict[str, np.ndarray] = {}
    with closing(members(source)) as archive:
        for member in archive:
            if member.name in names:
                found[names[member.name]] = decode(member.read(), f"{source}, {member.name}")
                if len(found) == len(names):
                    return found
    absent = sorted(set(names.values()) - set(found))
    raise HistoBenchError(
        f"{source}: holds no image {absent[0]}, which its manifest names; delete the manifest to have it made again"
    )
