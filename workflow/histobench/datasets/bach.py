"""BACH (Aresta et al., Medical Image Analysis 2019): the labelled microscopy images of its four classes.

The archive, ICIAR2018_BACH_Challenge.zip of Zenodo record 3632035, is licensed CC BY-NC-ND 4.0: neither its images nor
resized copies of them may be passed on. Its tree is ``Photos/{Normal,Benign,InSitu,Invasive}/*.tif``; it also holds
whole slides and lists, which are skipped. It names no patients. Those of 145 photographs are known from a list that the
organisers published later (:data:`PATIENTS`); each other photograph counts as a patient of its own. BACH names no
magnification either: 0.42 um per pixel.
"""

import hashlib
import re
from collections import Counter
from functools import cache
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

PATIENTS = {
    11: "b32-35", 12: "b36-38", 13: "b39-40", 14: "b70-90 is58-69 iv71-73", 15: "b41", 16: "b42-44 n46-51",
    17: "b45-58 n52-55", 18: "b59 n56-60", 19: "b60 iv59-60", 20: "b61-63 n63", 21: "b64-69 n64-68",
    22: "is56 iv58 n61-62", 23: "is40-53", 24: "is57", 25: "is54 iv46", 26: "is55 iv47", 27: "iv41-42",
    28: "iv43-44", 29: "iv45", 30: "iv48-49", 31: "iv50-53", 32: "iv54-55", 33: "iv56-57", 34: "iv61-62",
    35: "iv63", 36: "iv64", 37: "iv65-66", 38: "iv67-68", 39: "iv69-70",
}  # fmt: skip
"""Patient -> photographs, first to last, of the 29 patients that are known (145 photographs). From the organisers' spreadsheet by way
of THUNDER (github.com/MICS-Lab/thunder, commit 6fe47e09, src/thunder/datasets/dataset/bach.py), CC BY 4.0; written as ranges here."""

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
    patient = dict.fromkeys(("patient", "slide", "accession"), known_patients().get(path.stem, path.stem))
    return {"image_id": path.stem, **patient, "label": label, "subtype": subtype, "magnification": 0}


@cache
def known_patients() -> dict[str, str]:
    """Return photograph -> patient, for example ``b032`` -> ``patient-11``, of those that are known."""
    known = {}
    for patient, ranges in PATIENTS.items():
        for prefix, first, last in re.findall(r"([a-z]+)(\d+)(?:-(\d+))?", ranges):
            known |= {
                f"{prefix}{number:03}": f"patient-{patient}" for number in range(int(first), int(last or first) + 1)
            }
    return known
