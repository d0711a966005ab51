"""Names of images as other people write them, and what is known of the image.

BreakHis and BACH images are recognised by name: ``SOB_B_A-14-22549AB-40-001.png``, ``C:\\data\\SOB_B_A_14-22549AB-40-001.jpg``,
``train/benign/SOB_B_A-14-22549AB-40-001.png_aug3.png``, ``Photos/Benign/b001.tif``. A name with additions is its original's, because a
copy or a patch of an image shows the same tissue. Images of any other dataset are their paths, and their patient and class come from
a column or from a regular expression (:class:`Naming`).
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from histobench.audit.regular_expressions import timed_search
from histobench.datasets import bach, breakhis
from histobench.datasets.decode import IMAGE_NAME
from histobench.io.errors import HistoBenchError

KNOWN = ("breakhis", "bach")
"""Datasets whose names are recognised."""
OTHER = "other"
"""Any other dataset."""

_BREAKHIS = re.compile(
    r"SOB_(?P<letter>[BM])_(?P<subtype>A|F|PT|TA|DC|LC|MC|PC)[-_ ](?P<slide>\d{2}-\d+[A-Z]*)"
    r"[-_](?P<magnification>40|100|200|400)X?[-_](?P<number>\d{1,3})(?!\d)",
    re.ASCII | re.IGNORECASE,
)
_BACH = re.compile(r"(?<![0-9a-z])(?P<prefix>n|b|is|iv)(?P<number>\d{1,3})(?![0-9])", re.ASCII | re.IGNORECASE)
_SLIDE = re.compile(
    r"(?:SOB_[BM]_(?P<subtype>A|F|PT|TA|DC|LC|MC|PC)[-_ ])?(?P<slide>(?:\d{2}-)?\d{3,}[A-Z]*)", re.ASCII | re.IGNORECASE
)
_CLASSES = {"n": "Normal", "b": "Benign", "is": "InSitu", "iv": "Invasive"}
"""Class folder of BACH by the letters that its names begin with."""


@dataclass(frozen=True, slots=True)
class ImageName:
    """What the name of an image says about it."""

    dataset: str
    """``breakhis``, ``bach`` or :data:`OTHER`."""
    image: str
    """``SOB_B_A-14-22549AB-40-001`` or ``b001``; the path as written, with forward slashes, of other datasets."""
    label: str = ""
    """``benign`` or ``malignant``; another class or nothing for other datasets."""
    subtype: str = ""
    """``A`` or ``DC`` (BreakHis); ``normal``, ``benign``, ``insitu`` or ``invasive`` (BACH)."""
    magnification: int = 0
    """40, 100, 200 or 400; 0 where there is none."""
    slide: str = ""
    """``14-22549AB`` (BreakHis); empty where slides are not named."""
    accession: str = ""
    """The strictest known reading of a patient: ``14-22549`` (BreakHis), the known patient (BACH), the patient that a column or
    expression gives. Empty where it is not known."""
    official: bool = False
    """Whether the official archive has this image."""

    @property
    def group(self) -> str:
        """The smallest group that is certain: the slide, the patient, or else the image itself."""
        return self.slide or self.accession or self.image


@cache
def official(dataset: str) -> Mapping[str, ImageName]:
    """Return image -> what is known of it, of every image of the official archive of a known dataset."""
    if dataset == "breakhis":
        return {one.image_id: _of_breakhis(one, True) for one in breakhis.official()}
    if dataset == "bach":
        numbers = range(1, bach.OFFICIAL_COUNT + 1)
        return {f"{prefix}{number:03}": _of_bach(prefix, number) for prefix in _CLASSES for number in numbers}
    return {}


def read(text: str) -> ImageName | None:
    """Return the image of BreakHis or BACH that a name or path means, or None.

    The last part of the path that has the form of a name counts. A part that has the form of several different names means
    none of them.
    """
    return read_breakhis(text) or read_bach(text)


def read_breakhis(text: str) -> ImageName | None:
    """Return the image of BreakHis that a name or path means, or None."""
    for part in reversed(_parts(text)):
        found = {_breakhis_id(match): match for match in _BREAKHIS.finditer(part)}
        if len(found) == 1:
            ((image, match),) = found.items()
            known = official("breakhis").get(image)
            if known:
                return known
            parts = {name: value.upper() for name, value in match.groupdict().items()}
            letter = parts.pop("letter")
            made = breakhis.identity(**parts | {"number": f"{int(parts['number']):03}"})
            # A benign type that is called malignant is a name that no image has.
            wrong = letter != made.label[0].upper()
            return _of_breakhis(made, False) if not wrong else ImageName("breakhis", image)
        if found:
            return None
    return None


def read_bach(text: str) -> ImageName | None:
    """Return the image of BACH that a name or path means, or None."""
    part = _parts(text)[-1]
    found = {(match["prefix"].lower(), int(match["number"])) for match in _BACH.finditer(part)}
    if len(found) != 1:
        return None
    ((prefix, number),) = found
    return official("bach").get(f"{prefix}{number:03}") or _of_bach(prefix, number)


def slides(text: str) -> tuple[tuple[str, str], ...]:
    """Return the (subtype, slide) pairs of BreakHis that a slide or accession number means, alone or after its folder's name.

    ``14-22549AB``, ``22549AB``, ``SOB_B_A_14-22549AB`` and ``SOB_B_A-14-22549AB`` mean one slide. A number that is no slide means
    every slide of that accession number: ``22549`` means three. ``13412`` means two pairs, because the slide is there as DC and LC.
    """
    for part in reversed(_parts(text)):
        match = _SLIDE.fullmatch(part)
        if match:
            subtype, number = (match["subtype"] or "").upper(), match["slide"].upper()
            return _slides_by_number().get((subtype, number)) or _slides_by_number().get((subtype, f"14-{number}"), ())
    return ()


def of_slides(pairs: Collection[tuple[str, str]]) -> list[ImageName]:
    """Return the official images of these (subtype, slide) pairs."""
    return [one for one in official("breakhis").values() if (one.subtype, one.slide) in pairs]


@dataclass(frozen=True)
class Naming:
    """How the images of one file are identified."""

    dataset: str
    patient_column: str = ""
    patient_pattern: re.Pattern[str] | None = None
    label_column: str = ""
    label_pattern: re.Pattern[str] | None = None

    @classmethod
    def of(
        cls, names: Iterable[str], dataset: str = "", patient: str = "", label: str = "", columns: Collection[str] = ()
    ) -> "Naming":
        """Return how to identify images with these names.

        Args:
            names: some or all names of a file; the dataset is recognised from them where `dataset` is empty.
            dataset: ``breakhis``, ``bach`` or any other name.
            patient: of another dataset, the column that holds the patient, or a regular expression that finds the patient in the name,
                as its first group or as the whole match.
            label: the same for the class; may be empty.
            columns: of the file, in lower case.

        Raises:
            HistoBenchError: the dataset is not recognised, no patient is given for another one, or one is neither a column nor an expression.
        """
        chosen = dataset.lower() or ("" if patient else dataset_of(names))
        if chosen in KNOWN:
            return cls(chosen)
        if not chosen and not patient:
            raise HistoBenchError(
                "the names are not those of BreakHis (SOB_B_A-14-22549AB-40-001.png) or BACH (b001.tif); for another dataset say what "
                "names the patient: a column or a regular expression (--patient)"
            )
        if not patient:
            raise HistoBenchError(
                f"the dataset {dataset!r} is not known by name, expected breakhis, bach, or --patient with the column or regular "
                "expression that names the patient; give it"
            )
        found = [_column_or_pattern(what, text, columns) for what, text in (("patient", patient), ("class", label))]
        return cls(OTHER, *found[0], *found[1])

    def identify(self, name: str, row: Mapping[str, str] | None = None) -> ImageName | None:
        """Return the image that a name means, or None; `row` holds the other columns, by their names in lower case.

        Of another dataset, a patient that the expression does not find in the name, or an empty cell, is unknown.
        """
        if self.dataset == "breakhis":
            return read_breakhis(name)
        if self.dataset == "bach":
            return read_bach(name)
        if not name.strip():
            return None
        path, row = "/".join(_parts(name)), row or {}
        patient = _value(self.patient_column, self.patient_pattern, path, row)
        label = _value(self.label_column, self.label_pattern, path, row)
        return ImageName(OTHER, path, label=label, accession=patient)


def dataset_of(names: Iterable[str]) -> str:
    """Return ``breakhis`` or ``bach`` where more than half of the names have that form, else nothing."""
    given = [name for name in names if name.strip()]
    for dataset, reader in (("breakhis", read_breakhis), ("bach", read_bach_exactly)):
        if sum(reader(name) is not None for name in given) * 2 > len(given):
            return dataset
    return ""


def read_bach_exactly(text: str) -> ImageName | None:
    """Return the image of BACH that a name means that begins like one; `image_b12.png` does not."""
    found = read_bach(text)
    return found if found and _BACH.match(_parts(text)[-1]) else None


def _parts(text: str) -> list[str]:
    """Return the parts of a path with forward or backward slashes, without quotes and spaces around it; at least one."""
    path = text.strip().strip("\"'").replace("\\", "/")
    return [part for part in path.split("/") if part not in ("", ".")] or [""]


def _breakhis_id(match: re.Match[str]) -> str:
    letter, subtype, slide, magnification, number = (value.upper() for value in match.groups())
    return f"SOB_{letter}_{subtype}-{slide}-{magnification}-{int(number):03}"


def _of_breakhis(one: breakhis.Identity, known: bool) -> ImageName:
    return ImageName(
        "breakhis", one.image_id, one.label, one.subtype, one.magnification, one.slide, one.accession, known
    )


def _of_bach(prefix: str, number: int) -> ImageName:
    image = f"{prefix}{number:03}"
    label, subtype = bach.CLASSES[_CLASSES[prefix]]
    known = 1 <= number <= bach.OFFICIAL_COUNT
    return ImageName("bach", image, label, subtype, accession=bach.known_patients().get(image, ""), official=known)


@cache
def _slides_by_number() -> dict[tuple[str, str], tuple[tuple[str, str], ...]]:
    """Return (subtype or nothing, slide or accession number) -> (subtype, slide) pairs; a slide goes before an accession number."""
    pairs = dict.fromkeys((one.subtype, one.slide, one.accession) for one in official("breakhis").values())
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    exact = {key for subtype, slide, _ in pairs for key in (("", slide), (subtype, slide), ("", slide[3:]))}
    for subtype, slide, accession in pairs:
        for number, is_slide in ((slide, True), (slide[3:], True), (accession, False), (accession[3:], False)):
            for key in (("", number), (subtype, number)):
                if is_slide or key not in exact:
                    own = found.setdefault(key, [])
                    own += [(subtype, slide)] if (subtype, slide) not in own else []
    return {key: tuple(own) for key, own in found.items()}


def _column_or_pattern(what: str, text: str, columns: Collection[str]) -> tuple[str, re.Pattern[str] | None]:
    if not text or text.strip().lower() in columns:
        return text.strip().lower(), None
    fault = ""
    try:
        pattern = re.compile(text)
        if re.escape(text) != text:  # it has a character with a meaning, so that it was meant as an expression
            return "", pattern
    except (re.error, OverflowError, RecursionError) as error:
        fault = f" ({error})"
    there = f"the columns are {', '.join(columns)!r:.200}" if columns else "the file has no columns"
    raise HistoBenchError(
        f"--{what} {text!r:.100} is neither a column nor a regular expression{fault}; {there}; give one of them or an expression "
        r"such as '(P\d+)_'"
    )


def _value(column: str, pattern: re.Pattern[str] | None, path: str, row: Mapping[str, str]) -> str:
    if column:
        return (row.get(column) or "").strip()
    match = timed_search(pattern, path) if pattern else None
    return ("" if match is None else match[1] if match.re.groups else match[0]) or ""


def is_image(name: str) -> bool:
    """Tell whether a name ends like that of an image file."""
    return IMAGE_NAME.fullmatch(_parts(name)[-1]) is not None


def is_like_name(text: str, slides: bool) -> bool:
    """Tell whether a line of a list is meant as a name: of an image file, of BreakHis, or, where `slides`, of a slide."""
    name = _parts(text)[-1]
    return is_image(name) or name.upper().startswith("SOB_") or (slides and _SLIDE.fullmatch(name) is not None)
