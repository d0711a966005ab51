"""Folds from a CSV table: a split of your own, or one that someone else has published."""

import sys
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

from histobench.datasets import folds
from histobench.datasets.decode import SUFFIXES
from histobench.datasets.manifest import Image
from histobench.io.errors import HistoBenchError
from histobench.io.files import read_given_csv

SETS = {
    **dict.fromkeys(("train", "training"), 0),
    **dict.fromkeys(("test", "testing"), 1),
    **dict.fromkeys(("val", "valid", "validation", "dev"), -1),
}
"""Names of sets in lower case, and what becomes of their images: 0 they train, 1 they evaluate, -1 neither, unless there is
no test set."""


def read(
    images: Sequence[Image], table: Path, count: int, magnifications: Collection[int] | None = None
) -> folds.Folds:
    """Read the folds of the manifest `images` from a table with a row per image or per patient.

    Column `image` holds the id of an image, its path inside the source, or any other path with the same file name; column
    `group` holds a patient instead. Column `fold` holds the fold in which it evaluates (it trains in the others), numbered
    from 1 or from 0; column `set` says instead on which side of the only fold it is: one of :data:`SETS`. Images of a
    validation set are on neither, or evaluate where there is no test set. Other columns are ignored.

    Names that the dataset does not have, images that are on neither side and patients on both sides of a fold are counted
    on stderr and not refused: another's split is used as it is.

    Args:
        images: the whole manifest.
        table: the CSV table, in UTF-8.
        count: number of folds, 1 for a table of sets.
        magnifications: those at which every fold must have both classes on both sides; by default all that occur.

    Raises:
        HistoBenchError: the table cannot be read or lacks a column, a value is missing or wrong, a name means several
            images or none does, rows contradict each other, there are not `count` folds, or a fold lacks a class.
    """
    names, values, rows = _rows(table)
    number_of, unknown = _assigned(rows, _known(images, names), names, values)
    if values == "set" and all(SETS[value.lower()] < 1 for _, _, value in rows):
        number_of = {image: abs(number) for image, number in number_of.items()}
    numbers = sorted({number for number in number_of.values() if number >= 0})
    if not number_of:
        raise HistoBenchError(
            f"{table}: none of its {len(rows)} names is in the dataset, the first is {unknown[0] if unknown else 'absent'}; "
            f"correct column {names}"
        )
    wanted = {"set": [0, 1], "fold": [*range(count)] if 0 in numbers else [*range(1, count + 1)]}[values]
    if numbers != wanted or (values == "set") != (count == 1):
        found = ", ".join(folds.SIDES[number] if values == "set" else str(number) for number in numbers)
        raise HistoBenchError(
            f"{table}: the dataset's images are in {values} {found} and `folds` of the split is {count}, expected "
            "train and test with 1 fold, or as many numbers as folds, from 1; correct the table or the split"
        )
    tests = numbers[-count:]
    used = sorted(image for image, number in number_of.items() if number >= 0)
    made = folds.Folds("file", {image: tuple(number_of[image] == test for test in tests) for image in used})
    folds.check(made, images, f"{table}", "correct the table", magnifications)
    unused = [image.image_id for image in images if image.image_id not in made.tested]
    for several, what in (
        (unknown, "names that are not in the dataset"),
        (unused, "images of the dataset that neither train nor evaluate"),
        (
            sorted(set[str]().union(*folds.shared_patients(images, made))),
            "patients with images on both sides of a fold",
        ),
    ):
        if several:
            print(f"warning: {table}: {what}: {len(several)}, the first is {several[0]}", file=sys.stderr)
    return made


def _rows(table: Path) -> tuple[str, str, list[tuple[str, str, str]]]:
    """Return the column of names, the column of values, and of each row its place for messages, name and value."""
    header, rows = read_given_csv(table)
    chosen = [column for pair in (("image", "group"), ("fold", "set")) for column in header if column in pair]
    if len(chosen) != 2 or chosen[0] in ("fold", "set") or chosen[1] in ("image", "group"):
        raise HistoBenchError(
            f"{table}: found the columns {', '.join(header)!r:.300}, expected one of image and group and one of fold and set; "
            "rename them, and leave out what is not needed"
        )
    names, values = chosen
    texts = [(line, *((row[column] or "").strip() for column in chosen)) for line, row in rows]
    return names, values, [(f"{table}, line {line}", name, value) for line, name, value in texts]


def _known(images: Sequence[Image], names: str) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Return the ids of the images that a patient, an id or a path means exactly, and those that a file name means."""
    exact: dict[str, set[str]] = {}
    by_name: dict[str, set[str]] = {}
    for image in images:
        for key in (image.patient,) if names == "group" else (image.image_id, image.member):
            exact.setdefault(key, set()).add(image.image_id)
        if names == "image":
            by_name.setdefault(PurePosixPath(image.image_id).name, set()).add(image.image_id)
    return exact, by_name


def _assigned(
    rows: Sequence[tuple[str, str, str]],
    known: tuple[Mapping[str, set[str]], Mapping[str, set[str]]],
    names: str,
    values: str,
) -> tuple[dict[str, int], list[str]]:
    """Return the number of each image that the rows name, and the names that mean no image."""
    exact, by_name = known
    number_of: dict[str, int] = {}
    unknown: list[str] = []
    for place, text, value in rows:
        name, digits = unicodedata.normalize("NFC", text), value.removesuffix(".0")  # which pandas writes
        number = (
            SETS.get(value.lower())
            if values == "set"
            else int(digits)
            if digits.isdecimal() and len(digits) < 9
            else None
        )
        if number is None or not name:
            expected = "train, test or val" if values == "set" else "a number from 1"
            raise HistoBenchError(
                f"{place}: {names} is {text!r:.200} and {values} is {value!r:.200}, expected a name and {expected}; correct the row"
            )
        own = exact.get(name, set())
        if not own and names == "image":
            path = PurePosixPath(name.replace("\\", "/"))
            path = path.with_suffix("") if path.suffix.lower() in SUFFIXES else path
            own = exact.get(f"{path}") or by_name.get(path.name) or own
            if len(own) > 1:
                either = " or ".join(sorted(own)[:2])
                raise HistoBenchError(f"{place}: {text} may be {either}; give its path inside the dataset's source")
        if not own:
            unknown.append(text)
        for image in own:
            if number_of.setdefault(image, number) != number:
                raise HistoBenchError(
                    f"{place}: {text} is in {values} {value} here and in another one above; remove one of the rows"
                )
    return number_of, unknown
