"""BreakHis (Spanhol et al., IEEE TBME 2016): its file names, its tree, and its official images."""

import csv
import re
import string
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from histobench.datasets.decode import IMAGE_NAME
from histobench.datasets.manifest import Image
from histobench.datasets.scan import Facts, scan, shown
from histobench.io.errors import HistoBenchError

SUBTYPES = {
    "A": ("benign", "adenosis"),
    "F": ("benign", "fibroadenoma"),
    "PT": ("benign", "phyllodes_tumor"),
    "TA": ("benign", "tubular_adenoma"),
    "DC": ("malignant", "ductal_carcinoma"),
    "LC": ("malignant", "lobular_carcinoma"),
    "MC": ("malignant", "mucinous_carcinoma"),
    "PC": ("malignant", "papillary_carcinoma"),
}
"""Class and folder of each histological type."""

OFFICIAL_CENSUS = Path(__file__).with_name("breakhis_census.csv")
"""Numbers of the images of the official archive: a row for each subtype and slide, a column for each magnification."""

ROOT = "BreaKHis_v1/histology_slides/breast"

_NAME = re.compile(
    r"SOB_[BM]_(?P<subtype>A|F|PT|TA|DC|LC|MC|PC)-(?P<slide>\d{2}-\d+[A-Z]*)"
    r"-(?P<magnification>40|100|200|400)-(?P<number>\d{3})\.png",
    re.ASCII,
)
_EXAMPLE = "SOB_B_A-14-22549AB-40-001.png"
_FOLDERS = {name for pair in SUBTYPES.values() for name in pair}
_SCALE = re.compile(r"(?<![0-9a-z])(40|100|200|400)x(?![0-9a-z])")


@dataclass(frozen=True, slots=True)
class Identity:
    """What the path of an image says about it."""

    image_id: str
    label: str
    subtype: str
    patient: str
    slide: str
    accession: str
    magnification: int

    @property
    def path(self) -> str:
        """The path of the image below ``breast``; names write ``-14-``, folders ``_14-``."""
        label, kind = SUBTYPES[self.subtype]
        slide = f"SOB_{label[0].upper()}_{self.subtype}_{self.slide}"
        return f"{label}/SOB/{kind}/{slide}/{self.magnification}X/{self.image_id}.png"

    @property
    def member(self) -> str:
        """The path of the image in the official archive."""
        return f"{ROOT}/{self.path}"


def identify(member: str) -> Identity | None:
    """Read the path of an image.

    The name must have the form ``SOB_B_A-14-22549AB-40-001.png``. It says everything; the folders above it must not
    contradict it where they name a class, subtype, slide or magnification, as in the official tree
    ``benign/SOB/adenosis/SOB_B_A_14-22549AB/40X`` or in ``BreaKHis 400X/train/benign``. Above an official tree, and
    with other names such as ``train``, they do not matter.

    Args:
        member: path inside the source.

    Returns:
        What the path says, or None if the file is no image.

    Raises:
        HistoBenchError: an image's name has another form, or contradicts itself or its folders.
    """
    path = PurePosixPath(member)
    if not IMAGE_NAME.fullmatch(path.name):
        return None
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise HistoBenchError(
            f"{member}: is not named like an image of BreakHis, expected a name such as {_EXAMPLE}; "
            "rename it or remove it from the source"
        )
    known = identity(**match.groupdict())
    if not f"/{member}".endswith(f"/{known.path}") and any(_contradicts(part, known) for part in path.parts):
        raise HistoBenchError(
            f"{member}: name and folders contradict each other, expected {known.path}; "
            "move or rename it, or remove it from the source"
        )
    return known


def _contradicts(part: str, known: Identity) -> bool:
    """Tell whether a folder, or the file itself, is named after another class, subtype, slide, magnification or image."""
    part = part.lower()
    if part in known.path.lower().split("/"):
        return False
    scales = _SCALE.findall(part)
    other_scale = bool(scales) and str(known.magnification) not in scales
    return other_scale or part in _FOLDERS or part.startswith(("sob_b_", "sob_m_"))


def official() -> list[Identity]:
    """Return the 7,909 images of the official archive, in the order of subtype, slide, magnification and number."""
    identities = []
    with OFFICIAL_CENSUS.open(newline="", encoding="ascii") as file:
        for row in csv.DictReader(file):
            for magnification in ("40", "100", "200", "400"):
                for numbers in row[magnification].split():
                    first, _, last = numbers.partition("-")
                    for number in range(int(first), int(last or first) + 1):
                        identities.append(identity(row["subtype"], row["slide"], magnification, f"{number:03d}"))
    return identities


def twins() -> dict[str, str]:
    """Return image -> image with the same pixels: slide 14-13412 is in the archive as DC and as LC, 123 images each.

    The n-th image of one at a magnification is the n-th of the other. From where DC lacks a number, at 200x and 400x, their numbers
    differ by one.
    """
    both: dict[str, list[str]] = {}
    for one in official():
        if one.slide == "14-13412":
            both.setdefault(one.subtype, []).append(one.image_id)
    first, second = both.values()
    return dict(zip(first, second, strict=True)) | dict(zip(second, first, strict=True))


def identity(subtype: str, slide: str, magnification: str | int, number: str) -> Identity:
    """Return the identity of an image from the parts of its name."""
    label, _ = SUBTYPES[subtype]
    return Identity(
        image_id=f"SOB_{label[0].upper()}_{subtype}-{slide}-{magnification}-{number}",
        label=label,
        subtype=subtype,
        patient=slide,
        slide=slide,
        accession=slide.rstrip(string.ascii_uppercase),
        magnification=int(magnification),
    )


def read(source: Path, complete: bool, workers: int) -> list[Image]:
    """Read every image of a BreakHis archive or folder, as :func:`histobench.datasets.formats.read` does.

    The official tree may be under any prefix, and partial unless `complete` requires exactly the 7,909 images; images may
    also lie in other folders (:func:`identify`).
    """
    expected = {image.image_id: image for image in official()}
    tree = f"PNG files in the tree of BreakHis such as {next(iter(expected.values())).member}"
    images = scan(source, _facts, tree, workers, len(expected) if complete else None)
    found = {image.image_id for image in images}
    if complete and found != expected.keys():
        missing, surplus = sorted(expected.keys() - found), sorted(found - expected.keys())
        raise HistoBenchError(
            f"{source}: is not the official BreakHis of {len(expected)} images: {len(missing)} are missing "
            f"({shown(missing) or 'none'}) and {len(surplus)} are surplus ({shown(surplus) or 'none'}); "
            "get the official archive, or set complete: false for this dataset"
        )
    return images


def _facts(member: str) -> Facts | None:
    known = identify(member)
    return known and asdict(known)
