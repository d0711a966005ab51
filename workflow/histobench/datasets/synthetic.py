"""Synthetic datasets with known truth, in the tree and with the file names of BreakHis or of BACH.

What is true of a patient is in a :class:`histobench.datasets.tissue.Tissue`: the architecture, the atypia of the nuclei,
and what differs between patients of both classes. The class acts only on architecture and atypia, both with the strength
`class_effect`.

Slides have the year 99, which BreakHis does not have: ``SOB_B_A-99-10001-40-001`` fits its grammar
``SOB_[BM]_TYPE-YEAR-SLIDE-MAGNIFICATION-SEQUENCE``. Benign slides count from 10001, malignant ones from 20001. Every fourth
slide of a class has the accession number of the one before it, and its suffix is B. Both are drawn independently.
Images in the tree of BACH count from 101 in each class, after the 100 that BACH has.
"""

import gzip
import hashlib
import io
import math
import multiprocessing
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from histobench.datasets.breakhis import SUBTYPES, identity
from histobench.datasets.tissue import EOSIN, HAEMATOXYLIN, Architecture, Tissue, draw
from histobench.study.synthetic_settings import SHARED_ACCESSION, SyntheticSettings
from histobench.study.values import canonical_json

BREAKHIS_FIELD = 40 * 980.0
"""Width of the field of view in um, times the magnification; chosen by eye so that nuclei at all four magnifications
have about the size in pixels that they have in BreakHis's own images."""
BACH_FIELD = 860.0
"""Width of the field of view in um: 2048 pixels of 0.42 um."""
SHORT_SHARE, SHORT = 0.05, 456 / 460
"""Share of BreakHis-like images that are shorter, and their height relative to the others."""
BREAKHIS_TYPES = {
    "A": Architecture(66, 27, 11, presence=0.75, lumen="secretion"),
    "F": Architecture(150, 42, 17, stretch=3.2, warp=0.4, presence=0.75, cellularity=1.7, fat=0),
    "PT": Architecture(300, 85, 15, stretch=2.6, warp=0.5, cellularity=2.8, fat=0),
    "TA": Architecture(52, 27, 14, septum=6, warp=0.08, fat=0.02),
    "DC": Architecture(130, 90, 75, septum=14, warp=0.45, presence=0.85),
    "LC": Architecture(190, 24, 20, presence=0.25, warp=0.3, files=0.8, fat=0.12),
    "MC": Architecture(270, 190, 0, septum=14, warp=0.25, lumen="mucin", islands=34),
    "PC": Architecture(75, 60, 30, fronds=True, fat=0),
}
BACH_TYPES = {
    "Normal": Architecture(190, 26, 12, presence=0.45, fat=0.3, cellularity=0.7),
    "Benign": Architecture(80, 30, 13, presence=0.7, lumen="secretion"),
    "InSitu": Architecture(230, 90, 62, septum=40, warp=0.1, presence=0.8, lumen="necrosis"),
    "Invasive": Architecture(95, 42, 60, warp=0.6, presence=0.8, files=0.35),
}
BACH_PREFIXES = {"Normal": "n", "Benign": "b", "InSitu": "is", "Invasive": "iv"}
"""Beginning of the names of images."""


@dataclass(frozen=True)
class Field:
    """One image to be made, and its path in the archive."""

    patient: str
    label: str
    kind: str
    """Key of :data:`BREAKHIS_TYPES` or :data:`BACH_TYPES`."""
    magnification: int
    sequence: int
    member: str


def fields(settings: SyntheticSettings) -> Iterator[Field]:
    """Yield every image of the dataset, in the order of the archive."""
    if settings.kind == "bach":
        for label, prefix in BACH_PREFIXES.items():
            for index in range(settings.patients_per_class * settings.images_per_patient):
                patient = f"{prefix}{index // settings.images_per_patient + 1}"
                yield Field(patient, label, label, 40, index + 1, f"Photos/{label}/{prefix}{index + 101}.tif")
        return
    for first, label in ((10001, "benign"), (20001, "malignant")):
        types = [subtype for subtype, (its_label, _) in SUBTYPES.items() if its_label == label]
        for index in range(settings.patients_per_class):
            subtype, patient = types[index % len(types)], f"99-{first + index}"
            # Some accession numbers hold two slides, as in BreakHis.
            slide = f"99-{first + index - 1}B" if index % SHARED_ACCESSION == SHARED_ACCESSION - 1 else patient
            for magnification in settings.magnifications:
                spread = settings.images_per_patient // 4
                count = _generator(settings, patient, magnification).integers(-spread, spread + 1)
                for sequence in range(1, settings.images_per_patient + count + 1):
                    member = identity(subtype, slide, magnification, f"{sequence:03}").member
                    yield Field(patient, label, subtype, magnification, sequence, member)


def tissue(settings: SyntheticSettings, field: Field) -> Tissue:
    """Return what all images of the field's patient share: a pure function of settings, patient and type.

    Whatever `class_effect` is, the same random numbers are drawn, so that it is all that differs between two datasets
    that differ in it alone.
    """
    rng = _generator(settings, field.patient, "tissue")
    effect = settings.patient_effect
    architectures = BACH_TYPES if settings.kind == "bach" else BREAKHIS_TYPES
    chosen, any_type = rng.random(), rng.integers(len(architectures))
    # Without class effect the architecture is drawn from all types alike, whatever the class.
    own = architectures[field.kind] if chosen < settings.class_effect else list(architectures.values())[any_type]
    side = 1 if field.label in ("malignant", "InSitu", "Invasive") else -1
    grade = 1.5 * side * settings.class_effect + 1.1 * effect * rng.normal()
    size, fibre, waviness, looseness, haematoxylin, eosin = rng.normal(size=6) * effect
    stains = np.clip(np.stack([HAEMATOXYLIN, EOSIN]) + 0.05 * effect * rng.normal(size=(2, 3)), 0.02, None)
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    if settings.kind == "bach":  # another laboratory: its dyes take more blue and red away
        stains = stains * [1.06, 0.94, 1.35]
    return Tissue(
        architecture=replace(own, spacing=own.spacing * math.exp(0.1 * size), radius=own.radius * math.exp(0.1 * size)),
        atypia=1 / (1 + math.exp(-grade)),
        stains=stains * np.exp([[0.18 * haematoxylin], [0.22 * eosin]]),
        light=np.clip(np.array([0.90, 0.90, 0.91]) + 0.035 * effect * rng.normal(size=3), 0.7, 0.99),
        fibre=5.0 * math.exp(0.25 * fibre),
        waviness=14.0 * math.exp(0.3 * waviness),
        looseness=min(0.11 * math.exp(0.35 * looseness), 0.2),
        blur=0.5 + 0.3 * effect * rng.random(),
    )


def image(settings: SyntheticSettings, field: Field) -> np.ndarray:
    """Draw one image: a pure function of settings and field.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    rng = _generator(settings, field.patient, field.magnification, field.sequence)
    height = settings.height
    if settings.kind == "breakhis" and rng.random() < SHORT_SHARE:
        height -= max(1, round(height * (1 - SHORT)))
    width_um = BACH_FIELD if settings.kind == "bach" else BREAKHIS_FIELD / field.magnification
    return draw(rng, tissue(settings, field), settings.width, height, width_um)


def generate(settings: SyntheticSettings, path: Path, workers: int = 1) -> int:
    """Write the dataset to the tar.gz archive `path`.

    The bytes depend on the settings alone (given the versions of numpy, OpenCV and zlib), not on the time or on the
    number of `workers` (processes). Beside the images are files that a reader must skip.

    Returns:
        The number of images.
    """
    todo = list(fields(settings))
    encode = partial(_encode, settings)
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, spawn, initializer=cv2.setNumThreads, initargs=(1,))
    try:
        contents = pool.map(encode, todo, chunksize=4) if workers > 1 else map(encode, todo)
        members = zip((field.member for field in todo), contents, strict=True)
        with (
            Path(path).open("wb") as file,
            gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as stream,
            tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive,
        ):
            for name, content in chain(_notes(settings, todo), members):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    finally:
        pool.shutdown(cancel_futures=True)  # on a full disk, draw no more
    return len(todo)


def _encode(settings: SyntheticSettings, field: Field) -> bytes:
    pixels = cv2.cvtColor(image(settings, field), cv2.COLOR_RGB2BGR)
    return cv2.imencode(Path(field.member).suffix, pixels)[1].tobytes()


def _notes(settings: SyntheticSettings, todo: Sequence[Field]) -> Iterator[tuple[str, bytes]]:
    """Yield what is no image: path and content."""
    note = f"Synthetic images. No patient, no tissue. Settings: {canonical_json(settings.model_dump(mode='json'))}\n"
    if settings.kind == "breakhis":
        yield "BreaKHis_v1/README.txt", note.encode()
        return
    yield "README.txt", note.encode()
    labels = (f"{PurePosixPath(field.member).name},{field.label}\n" for field in todo)
    yield "Photos/microscopy_ground_truth.csv", "".join(labels).encode()
    yield "Photos/Thumbs.db", bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504)


def _generator(settings: SyntheticSettings, *key: object) -> np.random.Generator:
    """Return a generator of its own for `key`, the same on every machine and in every process."""
    text = canonical_json([settings.kind, settings.seed, *key])
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))
