"""How many images a dataset has, before and after it is read."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from histobench.datasets import breakhis
from histobench.io.errors import HistoBenchError
from histobench.io.files import read_csv
from histobench.study import paths
from histobench.study.config import Config

BACH = 400
"""Labelled photographs of BACH: 100 of each class (ICIAR 2018 Grand Challenge)."""


@dataclass(frozen=True)
class Images:
    """Number of images of a dataset."""

    at: dict[int, int] | None
    """By magnification; None where nothing tells it yet."""
    source: str
    """What tells it."""

    @property
    def total(self) -> int:
        """At all magnifications; 0 where they are not known."""
        return sum((self.at or {}).values())


def images(config: Config, dataset: str) -> Images:
    """Count a dataset's images by its manifest, where it has been read; else by what it must or will hold."""
    settings = config.datasets[dataset]
    manifest = Path(paths.MANIFEST.format(dataset=dataset))
    if manifest.exists():
        try:
            rows = read_csv(manifest, ["magnification"])
            return Images(dict(Counter(int(row["magnification"]) for row in rows)), "its manifest")
        except (HistoBenchError, OSError, ValueError):
            pass  # the job that reads it says so
    if made := settings.synthetic:
        classes = 2 if made.kind == "breakhis" else 4
        each = classes * made.patients_per_class * made.images_per_patient
        return Images(dict.fromkeys(made.magnifications, each), "the generator's settings")
    if settings.format == "bach":
        return Images({40: BACH}, "the official count")
    if settings.format == "breakhis":
        source = Path(config.source(dataset))
        if source.is_dir():
            return Images(_named(source), "the names of its files")
        counted = Counter(identity.magnification for identity in breakhis.official())
        return Images(dict(counted), "the official count")
    return Images(None, "they are not counted before they are read")


def _named(folder: Path) -> dict[int, int]:
    """Count the images of a tree by the magnification in their names: SOB_B_A-14-22549AB-40-001.png."""
    found = Counter(path.stem.split("-")[-2] for path in folder.rglob("SOB_*-*-*.png"))
    return {int(magnification): count for magnification, count in found.items() if magnification.isdecimal()}
