"""Datasets of one's own: images that a CSV table lists, or that stand in one folder for each class."""

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from histobench.datasets import formats
from histobench.datasets.decode import FORMATS
from histobench.datasets.manifest import LABELS, Image, equal_pixels
from histobench.io.errors import HistoBenchError
from histobench.study.spec import MAGNIFICATIONS

REQUIRED = ("path", "label", "patient")
OPTIONAL = ("magnification", "subtype", "accession")
"""Columns of a table. Without magnification it is 0 (not known), without subtype the label as it is written, without
accession the patient."""


def read_table(
    source: Path, table: Path, classes: Mapping[str, str], workers: int, progress: bool = True
) -> tuple[list[Image], Counter[str]]:
    """Read the images that a CSV table lists, each once.

    Args:
        source: archive or folder with the images.
        table: CSV with the columns :data:`REQUIRED` and, where wanted, :data:`OPTIONAL`; `path` is relative to the
            source, with ``/`` between its parts.
        classes: from each label of the table to benign or malignant.
        workers: number of decoding threads, at least 1.
        progress: draw a progress bar on stderr.

    Returns:
        As :func:`histobench.datasets.formats.read`; files that the table does not list are skipped.

    Raises:
        HistoBenchError: a column is missing, a row is not what its columns hold, the source lacks an image, a class does
            not occur, images of two patients or of two classes have equal pixels, or as
            :func:`histobench.datasets.formats.read`.
    """
    rows = _rows(table, classes)
    expected = f"the images that {table} lists, such as {next(iter(rows))}"
    images, skipped = formats.read(
        source, lambda name: rows.get(name, (0, None))[1], expected, workers, len(rows), progress
    )
    missing = rows.keys() - {image.member for image in images}
    if missing:
        path, (line, _) = min(((path, rows[path]) for path in missing), key=lambda item: item[1][0])
        raise HistoBenchError(
            f"{table}, line {line}: {path} is not in {source} (nor are {len(missing) - 1} others); correct the paths, "
            "which are relative to the source, or add the images"
        )
    _check(images, f"{table}")
    return images, skipped


def read_folders(
    source: Path, classes: Mapping[str, str], patient: str, workers: int, progress: bool = True
) -> tuple[list[Image], Counter[str]]:
    """Read the images below folders that are named after classes.

    Args:
        source: archive or folder; a class folder may stand at any depth, and have folders of its own.
        classes: from the name of each class folder to benign or malignant.
        patient: regular expression with one group, which is the patient's name in the path of an image inside the
            source; searched for, so that ``/(P[0-9]+)_`` will do.
        workers: number of decoding threads, at least 1.
        progress: draw a progress bar on stderr.

    Returns:
        As :func:`histobench.datasets.formats.read`; `subtype` is the name of the class folder, `magnification` 0.

    Raises:
        HistoBenchError: an image stands in no class folder or in two, the pattern does not find its patient, a class
            does not occur, images of two patients or of two classes have equal pixels, or as
            :func:`histobench.datasets.formats.read`.
    """
    pattern = re.compile(patient)

    def facts(member: str) -> formats.Facts | None:
        path = PurePosixPath(member)
        if path.suffix.lower() not in FORMATS or path.name.startswith("._"):
            return None
        own = [part for part in path.parts[:-1] if part in classes]
        if len(own) != 1:
            raise HistoBenchError(
                f"{source}, {member}: stands in {'no class folder' if not own else ' and '.join(own)}, expected one of "
                f"{', '.join(classes)}; move it, or name its folder under `classes` of the dataset"
            )
        found = pattern.search(member)
        if found is None or not found[1]:
            raise HistoBenchError(
                f"{source}, {member}: the pattern {patient} finds no patient in this path; correct `patient` of the "
                "dataset, or rename the file"
            )
        return _facts(member, classes[own[0]], own[0], found[1], found[1], 0)

    names = " or ".join(f"{name}/" for name in classes)
    images, skipped = formats.read(source, facts, f"PNG, TIFF or JPEG files below {names}", workers, None, progress)
    _check(images, f"{source}")
    return images, skipped


def _facts(
    member: str, label: str, subtype: str, patient: str, accession: str, magnification: int
) -> dict[str, str | int]:
    return {
        "image_id": str(PurePosixPath(member).with_suffix("")),
        "label": label,
        "subtype": subtype,
        "patient": patient,
        "slide": patient,
        "accession": accession,
        "magnification": magnification,
    }


def _rows(table: Path, classes: Mapping[str, str]) -> dict[str, tuple[int, dict[str, str | int]]]:
    """Return line number and facts for each path of a table."""
    try:
        with Path(table).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            lines = [(reader.line_num, row) for row in reader]
            header = reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise HistoBenchError(f"{table}: cannot be read as a CSV table ({error}); save it as CSV in UTF-8") from error
    for column in REQUIRED:
        if column not in header:
            raise HistoBenchError(
                f"{table}: column {column} is missing (found: {', '.join(header)}), expected {', '.join(REQUIRED)} and, "
                f"where wanted, {', '.join(OPTIONAL)}; add it"
            )
    rows: dict[str, tuple[int, dict[str, str | int]]] = {}
    accessions: dict[str, str] = {}
    subtypes: dict[str, str] = {}
    for line, row in lines:
        fault = _fault(row, classes, header)
        if not fault:
            path = row["path"].strip()
            patient = row["patient"].strip()
            accession = (row.get("accession") or "").strip() or patient
            label = row["label"].strip()
            subtype = (row.get("subtype") or "").strip() or label
            magnification = int((row.get("magnification") or "").strip() or 0)
            if path in rows:
                fault = f"{path} is listed a second time, after line {rows[path][0]}"
            elif accessions.setdefault(patient, accession) != accession:
                fault = (
                    f"patient {patient} has accession {accession} here and {accessions[patient]} above, expected one"
                )
            elif subtypes.setdefault(subtype, classes[label]) != classes[label]:
                fault = f"subtype {subtype} is {classes[label]} here and {subtypes[subtype]} above, expected one class"
            else:
                rows[path] = line, _facts(path, classes[label], subtype, patient, accession, magnification)
        if fault:
            raise HistoBenchError(f"{table}, line {line}: {fault}; correct the row")
    if not rows:
        raise HistoBenchError(f"{table}: lists no image; give it a row for each")
    return rows


def _fault(row: Mapping[str, str], classes: Mapping[str, str], header: Sequence[str]) -> str | None:
    """Return what is wrong with one row, or None."""
    if None in row or None in row.values():
        return f"has more or fewer values than the header's {len(header)} columns"
    for column in REQUIRED:
        if not row[column].strip():
            return f"{column} is empty"
    path = row["path"].strip()
    parts = PurePosixPath(path).parts
    if path.startswith("/") or "\\" in path or ".." in parts or "/".join(parts) != path:
        return f"path is {path!r}, expected one inside the source, with / between its parts"
    if PurePosixPath(path).suffix.lower() not in FORMATS:
        return f"{path} has none of the suffixes {', '.join(FORMATS)}"
    if row["label"].strip() not in classes:
        return f"label is {row['label'].strip()!r}, expected {' or '.join(classes)}"
    magnification = (row.get("magnification") or "").strip() or "0"
    if magnification not in map(str, MAGNIFICATIONS):
        return (
            f"magnification is {magnification!r}, expected {', '.join(map(str, MAGNIFICATIONS[1:]))}, or nothing where "
            "it is not known"
        )
    return None


def _check(images: list[Image], where: str) -> None:
    """Require both classes, and that no two patients or classes share an image: one would train, the other evaluate."""
    absent = [label for label in LABELS if all(image.label != label for image in images)]
    if absent:
        raise HistoBenchError(
            f"{where}: all {len(images)} images are {images[0].label} and none is {absent[0]}, but both classes must "
            "occur; add some, or correct `classes` of the dataset"
        )
    for group in equal_pixels(images):
        first = group[0]
        for other in group[1:]:
            if (other.patient, other.label) != (first.patient, first.label):
                raise HistoBenchError(
                    f"{where}: {first.member} ({first.label}, patient {first.patient}) and {other.member} "
                    f"({other.label}, patient {other.patient}) have equal pixels; remove one of them, or correct its "
                    "label or patient"
                )
