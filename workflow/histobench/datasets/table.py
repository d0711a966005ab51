"""The user's own datasets: images that a CSV table lists, or that lie in one folder for each class."""

import re
import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from histobench.datasets.decode import FORMATS, SUFFIXES
from histobench.datasets.manifest import LABELS, Image, equal_pixels
from histobench.datasets.scan import Facts, scan
from histobench.io.errors import HistoBenchError
from histobench.io.files import read_given_csv
from histobench.study.values import MAGNIFICATIONS

REQUIRED = ("path", "label", "patient")
OPTIONAL = ("magnification", "subtype", "accession")
"""Columns of a table. Defaults: magnification 0 (not known), subtype the label as it is written, accession the
patient."""


MISSING = {
    "nan",
    "na",
    "n/a",
    "#n/a",
    "#na",
    "<na>",
    "n.a.",
    "nat",
    "nil",
    "none",
    "null",
    "missing",
    "unknown",
    "?",
    "-",
    ".",
}
"""What tables write where a value is missing, in lower case."""


def read_table(source: Path, table: Path, classes: Mapping[str, str], workers: int) -> list[Image]:
    """Read the images that a CSV table lists, as :func:`histobench.datasets.formats.read` does.

    The table has the columns :data:`REQUIRED` and, if wanted, :data:`OPTIONAL`; `path` is relative to the source, with
    ``/`` between its parts. Files that it does not list are skipped. Texts are compared in Unicode's composed form.

    Raises:
        HistoBenchError: a column is missing, a row has a wrong value, the source lacks an image, a class does not occur,
            images of two patients or of two classes have equal pixels, or as :func:`histobench.datasets.scan.scan`.
    """
    rows = _rows(table, _composed(classes))
    expected = f"the images that {table} lists, such as {next(iter(rows))}"
    images = scan(source, lambda member: rows.get(member, {}), expected, workers, len(rows))
    found = {image.member for image in images}
    if missing := [path for path in rows if path not in found]:
        raise HistoBenchError(
            f"{table}: {missing[0]} is not in {source} (images missing: {len(missing)}); "
            "correct the paths, which are relative to the source, or add the images"
        )
    _check(images, f"{table}")
    return images


def read_folders(source: Path, classes: Mapping[str, str], patient: str, workers: int) -> list[Image]:
    """Read the images below folders that are named after classes, as :func:`histobench.datasets.formats.read` does.

    A class folder may be at any depth, and contain other folders. The pattern `patient` is searched for in the path of an
    image inside the source, so ``/(P[0-9]+)_`` is enough. `subtype` is the class folder's name, `magnification` 0.

    Raises:
        HistoBenchError: an image is in no class folder or in two, the pattern does not find its patient, a class does
            not occur, images of two patients or of two classes have equal pixels, or as
            :func:`histobench.datasets.scan.scan`.
    """
    pattern, classes = re.compile(unicodedata.normalize("NFC", patient)), _composed(classes)

    def facts(member: str) -> Facts | None:
        path = PurePosixPath(member)
        if path.suffix.lower() not in SUFFIXES:
            return None
        own = [part for part in path.parts[:-1] if part in classes]
        if len(own) != 1:
            raise HistoBenchError(
                f"{member}: is in {' and '.join(own) or 'no class folder'}, expected one of {', '.join(classes)}; "
                "move it, or name its folder under `classes` of the dataset"
            )
        found = pattern.search(member)
        if found is None or not found[1]:
            raise HistoBenchError(
                f"{member}: the pattern {patient} finds no patient in this path; correct `patient` of the "
                "dataset, or rename the file"
            )
        if found[1].casefold() in MISSING:
            raise HistoBenchError(f"{member}: {_means_missing('patient', found[1])}; rename the file, or remove it")
        return _facts(member, classes[own[0]], own[0], found[1], found[1], 0)

    names = " or ".join(f"{name}/" for name in classes)
    images = scan(source, facts, f"{FORMATS} files below {names}", workers)
    _check(images, f"{source}")
    return images


def _composed(classes: Mapping[str, str]) -> dict[str, str]:
    return {unicodedata.normalize("NFC", name): label for name, label in classes.items()}


def _means_missing(column: str, text: str) -> str:
    return f"{column} is {text!r}, which means missing, so that all such images would count as one {column}"


def _facts(member: str, label: str, subtype: str, patient: str, accession: str, magnification: int) -> Facts:
    return {
        "image_id": str(PurePosixPath(member).with_suffix("")),
        "label": label,
        "subtype": subtype,
        "patient": patient,
        "slide": patient,
        "accession": accession,
        "magnification": magnification,
    }


def _rows(table: Path, classes: Mapping[str, str]) -> dict[str, Facts]:
    """Return what is known of each path of a table."""
    header, numbered = read_given_csv(table)
    if absent := [column for column in REQUIRED if column not in header]:
        raise HistoBenchError(
            f"{table}: column {absent[0]} is missing (found: {', '.join(header)!r:.300}), expected {', '.join(REQUIRED)} and, "
            f"if wanted, {', '.join(OPTIONAL)}; add it"
        )
    if twice := [column for column in (*REQUIRED, *OPTIONAL) if header.count(column) > 1]:
        raise HistoBenchError(f"{table}: two columns are named {twice[0]}; rename or remove one of them")
    if not numbered:
        raise HistoBenchError(f"{table}: lists no image; give it a row for each")
    rows: dict[str, Facts] = {}
    known: dict[tuple[str, str | int], str | int] = {}
    for line, row in numbered:
        try:
            if None in row or None in row.values():
                raise ValueError(f"has more or fewer values than the header's {len(header)} columns")
            texts = {column: (row.get(column) or "").strip() for column in (*REQUIRED, *OPTIONAL)}
            facts = _checked({key: unicodedata.normalize("NFC", text) for key, text in texts.items()}, classes)
            path = unicodedata.normalize("NFC", texts["path"])
            if path in rows:
                raise ValueError(f"{path} is listed a second time")
            for kind, key in (("patient", "accession"), ("subtype", "label")):
                name, value = facts[kind], facts[key]
                before = known.setdefault((kind, name), value)
                if before != value:
                    raise ValueError(f"{kind} {name} has {key} {value} here and {before} above, expected one")
        except ValueError as error:
            raise HistoBenchError(f"{table}, line {line}: {error!s:.300}; correct the row") from None
        rows[path] = facts
    return rows


def _checked(row: Mapping[str, str], classes: Mapping[str, str]) -> Facts:
    """Return what one row says of its image; raise a ValueError that says what is wrong with it."""
    if empty := [column for column in REQUIRED if not row[column]]:
        raise ValueError(f"{empty[0]} is empty")
    if odd := [column for column, text in row.items() if not text.isprintable()]:
        raise ValueError(f"{odd[0]} is {row[odd[0]]!a}, which holds characters that nobody sees")
    for column in ("patient", "accession", "subtype"):
        if row[column].casefold() in MISSING:
            raise ValueError(_means_missing(column, row[column]))
    path, label = PurePosixPath(row["path"]), row["label"]
    if path.is_absolute() or "\\" in row["path"] or ".." in path.parts or str(path) != row["path"]:
        raise ValueError(f"path is {row['path']!r}, expected one inside the source, with / between its parts")
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path} has none of the suffixes {', '.join(SUFFIXES)}")
    if label not in classes:
        raise ValueError(f"label is {label!r}, expected {' or '.join(classes)}")
    known = [str(value) for value in MAGNIFICATIONS]
    magnification = row["magnification"] or "0"
    if magnification not in known:
        raise ValueError(
            f"magnification is {magnification!r}, expected {', '.join(known[1:])}, or nothing where it is not known"
        )
    patient, accession = row["patient"], row["accession"] or row["patient"]
    return _facts(str(path), classes[label], row["subtype"] or label, patient, accession, int(magnification))


def _check(images: list[Image], where: str) -> None:
    """Require both classes, and that no two patients or classes share an image: one would train, the other evaluate.

    Patients and accession numbers whose names are nearly equal are kept apart, with a warning on stderr.
    """
    absent = [label for label in LABELS if all(image.label != label for image in images)]
    if absent:
        raise HistoBenchError(
            f"{where}: all {len(images)} images are {images[0].label} and none is {absent[0]}, but both classes must "
            "occur; add some, or correct `classes` of the dataset"
        )
    for first, *others in equal_pixels(images):
        for other in others:
            if (other.patient, other.label) != (first.patient, first.label):
                raise HistoBenchError(
                    f"{where}: {first.member} ({first.label}, patient {first.patient}) and {other.member} "
                    f"({other.label}, patient {other.patient}) have equal pixels; remove one of them, or correct its "
                    "label or patient"
                )
    told: list[list[list[str]]] = [[]]
    for column in ("patient", "accession"):
        alike: dict[tuple[str, ...], list[str]] = {}
        for name in sorted({getattr(image, column) for image in images}):
            text = unicodedata.normalize("NFKC", name).casefold().removesuffix(".0")
            parts = re.findall(r"\d+|[^\W\d_]+", text)
            alike.setdefault(tuple(part.lstrip("0") for part in parts), []).append(name)
        several = [names for names in alike.values() if len(names) > 1]
        if several not in told:  # the accession number is often the patient
            print(
                f"warning: {where}: {column} {' and '.join(map(repr, several[0]))} differ only in case, zeros or "
                f"punctuation, and count as {len(several[0])} (such sets of names: {len(several)}); if they are one, write "
                "them alike",
                file=sys.stderr,
            )
            told.append(several)
