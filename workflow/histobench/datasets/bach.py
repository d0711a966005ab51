"""BACH (Aresta et al., Medical Image Analysis 2019): the labelled microscopy images of its four classes.

The archive, ICIAR2018_BACH_Challenge.zip of Zenodo record 3632035, is licensed CC BY-NC-ND 4.0: neither its images nor
resized copies of them may be passed on. Its tree is ``Photos/{Normal,Benign,InSitu,Invasive}/*.tif``; it also holds
whole slides and lists, which are skipped. It names no patients (some were published later, outside of it), so each
image counts as a patient of its own. It names no magnification either: 0.42 um per pixel, nearest to BreakHis's 40X.
"""

import hashlib
from collections import Counter
from pathlib import Path, PurePosixPath

from histobench.datasets.decode import SUFFIXES
from histobench.datasets.manifest import Image
from histobench.datasets.scan import Facts, scan
from histobench.io.errors import HistoBenchError

CLASSES = {
    "Normal": ("benign", "normal"),
    "Benign": ("benign", "benign"),
    "InSitu": ("malignant", "insitu"),
    "Invasive": ("malignant", "invasive"),
}
"""Label and histological type of each class folder."""

OFFICIAL_COUNT = 100
"""Images of each class."""
OFFICIAL_SIZE = (2048, 1536)
"""Width and height of every image in pixels."""
OFFICIAL_MD5 = "8ae1801334aa943c44627c1eef3631b2"
"""MD5 of the archive, as Zenodo gives it."""


def read(source: Path, complete: bool, workers: int) -> list[Image]:
    """Read every image of the four class folders, as :func:`histobench.datasets.formats.read` does.

    The tree may be under any prefix, and partial unless `complete` requires the official 100 images of 2048x1536 pixels in
    each class and, of an archive, the official MD5. `magnification` is 0, `subtype` normal, benign, insitu or invasive.
    """
    source = Path(source)
    if complete and source.is_file():
        with source.open("rb") as file:
            digest = hashlib.file_digest(file, "md5").hexdigest()
        if digest != OFFICIAL_MD5:
            raise HistoBenchError(
                f"{source}: has MD5 {digest}, but the official archive has {OFFICIAL_MD5}; "
                "get a whole copy of it, or set complete: false for this dataset"
            )
    tree = "TIFF files such as Photos/Normal/n001.tif"
    images = scan(source, _facts, tree, workers, 4 * OFFICIAL_COUNT if complete else None)
    if not complete:
        return images
    counts = Counter(image.subtype for image in images)
    for folder, (_, subtype) in CLASSES.items():
        if counts[subtype] != OFFICIAL_COUNT:
            raise HistoBenchError(
                f"{source}: holds {counts[subtype]} images in Photos/{folder}, but the official dataset has "
                f"{OFFICIAL_COUNT}; get the official archive, or set complete: false for this dataset"
            )
    if other := [image.member for image in images if (image.width, image.height) != OFFICIAL_SIZE]:
        raise HistoBenchError(
            f"{source}: {len(other)} images are not of 2048x1536 pixels, the first is {other[0]}; get the official "
            "archive, or set complete: false for this dataset"
        )
    return images


def _facts(member: str) -> Facts | None:
    path = PurePosixPath(member)
    inside = len(path.parts) == 2 or path.parts[-3:-2] == ("Photos",)
    if not inside or path.parts[-2] not in CLASSES:
        return {}  # a whole slide, or its thumbnail
    if path.suffix.lower() not in SUFFIXES:
        return None
    label, subtype = CLASSES[path.parts[-2]]
    own = dict.fromkeys(("image_id", "patient", "slide", "accession"), path.stem)
    return own | {"label": label, "subtype": subtype, "magnification": 0}
