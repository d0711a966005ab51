"""The manifest: one row for each image of a dataset, and counts of its images."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from histobench.io.errors import HistoBenchError
from histobench.io.files import read_csv, write_csv


@dataclass(frozen=True, slots=True)
class Image:
    """One image, and one row of ``manifest.csv``: the fields are the columns, in order."""

    image_id: str
    """File stem, for example ``SOB_B_A-14-22549AB-40-001``, or path without suffix; unique in the manifest."""
    label: str
    """``benign`` or ``malignant``."""
    subtype: str
    """Histological type: A, F, PT, TA (benign), DC, LC, MC, PC (malignant); the class, where a dataset has others."""
    patient: str
    """The patient, as the dataset's authors number them (slide number), for example ``14-22549AB``; the image id, where no
    patients are known."""
    slide: str
    """Year and slide, for example ``14-22549AB``; the patient, where slides are not named."""
    accession: str
    """The slide id without its trailing letters, for example ``14-22549``."""
    magnification: int
    """Optical magnification: 40, 100, 200 or 400; 0 where it is not known or there is none."""
    width: int
    """Width of the original in pixels."""
    height: int
    """Height of the original in pixels."""
    sha256: str
    """SHA-256 of the decoded RGB pixels (:func:`histobench.datasets.decode.pixel_sha256`)."""
    member: str
    """Path inside the source."""


COLUMNS = tuple(field.name for field in fields(Image))
NUMBERS = ("magnification", "width", "height")
CENSUS_COLUMNS = ("unit", "name", "label", "magnification", "images")
LABELS = ("benign", "malignant")


def ordered(images: Iterable[Image]) -> list[Image]:
    """Return `images` in manifest order: by magnification, then by image id."""
    return sorted(images, key=lambda image: (image.magnification, image.image_id))


def save(path: Path, images: Sequence[Image]) -> None:
    """Write `images` as a manifest, in manifest order; atomically."""
    write_csv(path, COLUMNS, (dict(zip(COLUMNS, astuple(image), strict=True)) for image in ordered(images)))


def load(path: Path) -> list[Image]:
    """Read a manifest.

    Raises:
        HistoBenchError: the file is missing or empty, a column is missing, or a number or label is invalid.
    """
    images: list[Image] = []
    for line, row in enumerate(read_csv(path, COLUMNS), start=2):
        fault = "" if row["label"] in LABELS else f"label is {row['label']!r}, expected benign or malignant"
        try:
            numbers = {column: int(row[column]) for column in NUMBERS}
        except (TypeError, ValueError):
            fault = f"{', '.join(NUMBERS)} must be whole numbers"
        if fault:
            raise HistoBenchError(f"{path}, line {line}: {fault}; delete the file to have it rebuilt")
        images.append(Image(**{column: row[column] for column in COLUMNS} | numbers))  # type: ignore[arg-type]
    if not images:
        raise HistoBenchError(f"{path}: holds no image; delete the file to have it rebuilt")
    return images


def equal_pixels(images: Iterable[Image]) -> list[list[Image]]:
    """Return the groups of two or more images with the same pixels, in the order of their first image."""
    groups: dict[str, list[Image]] = {}
    for image in images:
        groups.setdefault(image.sha256, []).append(image)
    return [group for group in groups.values() if len(group) > 1]


def digest(images: Iterable[Image]) -> str:
    """Return a SHA-256 of the ids, labels, patients and pixels of some images; a run records it for its two sides."""
    lines = (f"{image.image_id},{image.label},{image.patient},{image.sha256}\n" for image in images)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def census(images: Sequence[Image]) -> list[dict[str, str | int]]:
    """Count images per class and magnification, then per (subtype, slide) pair and magnification.

    Returns:
        Rows with the columns ``unit`` (``class`` or ``patient``), ``name`` (the class, or a pair such as
        ``DC 14-13412``), ``label``, ``magnification`` and ``images``. Every unit has a row for every magnification that
        occurs, with 0 where it has no image.
    """
    magnifications = sorted({image.magnification for image in images})
    counts = Counter(("class", image.label, image.magnification) for image in images)
    counts.update(("patient", f"{image.subtype} {image.slide}", image.magnification) for image in images)
    patients = {(image.label, f"{image.subtype} {image.slide}") for image in images}
    units = [("class", label, label) for label in LABELS]
    units += [("patient", name, label) for label, name in sorted(patients)]
    return [
        dict(zip(CENSUS_COLUMNS, (unit, name, label, magnification, counts[unit, name, magnification]), strict=True))
        for unit, name, label in units
        for magnification in magnifications
    ]


def save_census(path: Path, images: Sequence[Image]) -> None:
    """Write :func:`census` as CSV; atomically."""
    write_csv(path, CENSUS_COLUMNS, census(images))
