"""BreakHis (Spanhol et al., IEEE TBME 2016): its file names, its tree, and its official content."""

import csv
import re
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from histobench.datasets import formats
from histobench.datasets.manifest import Image
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
"""Sequence numbers of the official archive for each subtype, slide and magnification."""

ROOT = "BreaKHis_v1/histology_slides/breast"

_NAME = re.compile(
    r"SOB_(?P<letter>[BM])_(?P<subtype>A|F|PT|TA|DC|LC|MC|PC)-(?P<accession>\d{2}-\d+)(?P<suffix>[A-Z]*)"
    r"-(?P<magnification>40|100|200|400)-(?P<sequence>\d{3})\.png",
    re.ASCII,
)
_EXAMPLE = "SOB_B_A-14-22549AB-40-001.png"
_IMAGE_SUFFIXES = frozenset(
    (
        ".png",
        ".jpg",
        ".jpeg",
        ".jp2",
        ".tif",
        ".tiff",
        ".bmp",
        ".gif",
        ".webp",
        ".ppm",
        ".svs",
        ".ndpi",
        ".dcm",
        ".heic",
    )
)


@dataclass(frozen=True, slots=True)
class Identity:
    """What the name of an image says about it."""

    image_id: str
    label: str
    subtype: str
    slide: str
    accession: str
    magnification: int

    @property
    def folders(self) -> str:
        """The official folders of the image below ``breast``; names write ``-14-``, folders ``_14-``."""
        label, kind = SUBTYPES[self.subtype]
        letter = label[0].upper()
        return f"{label}/SOB/{kind}/SOB_{letter}_{self.subtype}_{self.slide}/{self.magnification}X"

    @property
    def member(self) -> str:
        """The path of the image in the official archive."""
        return f"{ROOT}/{self.folders}/{self.image_id}.png"


def identify(member: str) -> Identity | None:
    """Tell what an image is from its path.

    The name must have the form ``SOB_B_A-14-22549AB-40-001.png`` and agree with the five folders above it, such as
    ``benign/SOB/adenosis/SOB_B_A_14-22549AB/40X``; what stands before those does not matter.

    Args:
        member: path inside the source.

    Returns:
        The identity, or None when the file is no image (nor are the ``._`` companions that macOS writes).

    Raises:
        HistoBenchError: an image's name has another form, or contradicts itself or its folders.
    """
    path = PurePosixPath(member)
    if path.suffix.lower() not in _IMAGE_SUFFIXES or path.name.startswith("._"):
        return None
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise HistoBenchError(
            f"{member}: is not named like an image of BreakHis, expected a name such as {_EXAMPLE}; "
            "rename it or remove it from the source"
        )
    label, _ = SUBTYPES[match["subtype"]]
    if label[0].upper() != match["letter"]:
        raise HistoBenchError(
            f"{member}: contradicts itself, for subtype {match['subtype']} is {label} and expected after "
            f"SOB_{label[0].upper()}_ instead of SOB_{match['letter']}_; rename it or remove it from the source"
        )
    identity = Identity(
        image_id=path.stem,
        label=label,
        subtype=match["subtype"],
        slide=match["accession"] + match["suffix"],
        accession=match["accession"],
        magnification=int(match["magnification"]),
    )
    expected = identity.folders.split("/")
    if list(path.parts[-6:-1]) != expected:
        raise HistoBenchError(
            f"{member}: its name contradicts its folders, expected it in {identity.folders}; "
            "move it there, rename it, or remove it from the source"
        )
    return identity


def official() -> list[Identity]:
    """Return the 7,909 images of the official archive, in its tree's order of subtype, slide, magnification, number."""
    identities = []
    with OFFICIAL_CENSUS.open(newline="", encoding="ascii") as file:
        for row in csv.DictReader(file):
            label, _ = SUBTYPES[row["subtype"]]
            stem = f"SOB_{label[0].upper()}_{row['subtype']}-{row['slide']}-{row['magnification']}"
            accession = row["slide"].rstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
            for numbers in row["sequence_numbers"].split():
                first, _, last = numbers.partition("-")
                identities += [
                    Identity(
                        f"{stem}-{number:03d}",
                        label,
                        row["subtype"],
                        row["slide"],
                        accession,
                        int(row["magnification"]),
                    )
                    for number in range(int(first), int(last or first) + 1)
                ]
    return identities


def read(source: Path, complete: bool, workers: int, progress: bool = True) -> tuple[list[Image], Counter[str]]:
    """Read every image of a BreakHis archive or folder once, and say what it holds.

    Args:
        source: tar.gz, tar or zip archive, or folder, with the official tree under any prefix; may be partial.
        complete: require exactly the official 7,909 images.
        workers: number of decoding threads, at least 1.
        progress: draw a progress bar on stderr.

    Returns:
        As :func:`histobench.datasets.formats.read`.

    Raises:
        HistoBenchError: as :func:`histobench.datasets.formats.read` and :func:`identify`; and when `complete` is asked
            for and images are missing or surplus.
    """
    expected = {identity.image_id for identity in official()} if complete else set()
    tree = f"PNG files in the tree of BreakHis such as {official()[0].member}"
    images, skipped = formats.read(source, _facts, tree, workers, len(expected) or None, progress)
    if complete:
        _assert_complete(source, {image.image_id for image in images}, expected)
    return images, skipped


def _facts(member: str) -> formats.Facts | None:
    identity = identify(member)
    return identity and asdict(identity) | {"patient": identity.slide}


def _assert_complete(source: Path, found: set[str], expected: set[str]) -> None:
    missing, surplus = sorted(expected.difference(found)), sorted(found.difference(expected))
    if missing or surplus:
        what = " and ".join(
            f"{len(names)} {'is' if len(names) == 1 else 'are'} {kind} ({formats.shown(names)})"
            for kind, names in (("missing", missing), ("surplus", surplus))
            if names
        )
        raise HistoBenchError(
            f"{source}: is not the official BreakHis of {len(expected)} images, for {what}; get the official archive, "
            "or set complete: false for this dataset"
        )
