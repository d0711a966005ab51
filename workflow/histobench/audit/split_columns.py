"""Which columns of other people's tables hold names, sets and folds."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from histobench.audit import names
from histobench.datasets.given_folds import SETS as GIVEN
from histobench.io.errors import HistoBenchError

SETS = {name: ("train", "test", "val")[number] for name, number in GIVEN.items()} | {
    **dict.fromkeys(("tr", "trn", "train_set", "trainset", "training_set"), "train"),
    **dict.fromkeys(("te", "tst", "test_set", "testset", "testing_set", "holdout", "hold-out", "evaluation"), "test"),
    **dict.fromkeys(("validate", "val_set", "valset", "validation_set", "tune", "tuning", "development"), "val"),
}
"""Names of sets in lower case -> `train`, `val` or `test`."""
IMAGE_HEADERS = (
    *("image", "img", "images", "path", "filepath", "file_path", "image_path", "img_path", "filename", "file_name", "file", "name"),
    *("image_name", "img_name", "img. name", "image_id", "id", "slide", "slide_id", "patient", "patient_id", "group"),
)  # fmt: skip
TRUE, FALSE = ("True", "true", "TRUE", "1", "1.0", "yes"), ("False", "false", "FALSE", "0", "0.0", "no", "")
SET_HEADERS = ("set", "split", "subset", "partition", "phase", "grp", "dataset_split", "usage")
FOLD_HEADERS = ("fold", "folds", "kfold", "k_fold", "cv_fold", "fold_id", "fold_number")
FOLD_NUMBER = re.compile(
    r"(?:^|[^a-z])(?:cv|k)?[_-]?fold[_ -]?(\d{1,3})(?!\d)|(?:^|_)f_?(\d{1,2})(?=_|$)", re.IGNORECASE
)


@dataclass(frozen=True)
class Options:
    """What the user says about the files, instead of having it guessed."""

    dataset: str = ""
    patient: str = ""
    label: str = ""
    name_column: str = ""
    set_column: str = ""
    fold_column: str = ""
    others: str = ""
    """Set of the official images that no file lists: train, val or test."""
    magnifications: Sequence[int] = ()
    subtypes: Sequence[str] = ()


def set_of(text: str) -> str:
    """Return `train`, `val` or `test` for the name of a set, or nothing."""
    return SETS.get(text.strip().strip(":-=#[]()<>* ").lower(), "")


Reader = Callable[[str], object]
READERS: tuple[Reader, ...] = (names.read_breakhis, names.read_bach_exactly, names.slides, names.is_image)
"""What recognises a name; the first that fits counts."""


def name_column(path: Path, header: Sequence[str], texts: Sequence[Sequence[str]], wanted: str) -> int:
    """Return the column that holds names, by its cells or else its head.

    Raises:
        HistoBenchError: there is none, or not the wanted one.
    """
    if wanted:
        return _column(path, header, wanted, "--name-column")
    samples = [[text for text in column[:: max(1, len(column) // 300)] if text] for column in texts]
    for reader in READERS:
        shares = [sum(bool(reader(text)) for text in sample) / max(1, len(sample)) for sample in samples]
        if max(shares) >= 0.5:
            if reader is names.slides:  # numbers of other kinds have the form of a slide too
                named = [place for place, name in enumerate(header) if name in IMAGE_HEADERS and shares[place] >= 0.5]
                return named[0] if named else shares.index(max(shares))
            return shares.index(max(shares))
    for place, name in enumerate(header):
        if name in IMAGE_HEADERS:
            return place
    if len(header) == 1:
        return 0
    raise HistoBenchError(
        f"{path}: no column holds names of images (the columns are {', '.join(header)!r:.200}); say which one does (--name-column)"
    )


def flags(header: Sequence[str], texts: Sequence[Sequence[str]]) -> dict[int, str]:
    """Return the columns, such as `train` or `is_test`, that say of each row whether it is in a set -> the set."""
    found = {at: set_of(re.sub(r"^(is|in)_?", "", name)) for at, name in enumerate(header)}
    return {at: name for at, name in found.items() if name and any(texts[at]) and set(texts[at]) <= {*TRUE, *FALSE}}


def set_columns(
    path: Path, header: Sequence[str], texts: Sequence[Sequence[str]], name_at: int, options: Options
) -> tuple[list[int], list[int]]:
    """Return the columns that hold sets (several, if each is a fold), and at most one that holds the number of a fold."""
    sets = [place for place, column in enumerate(texts) if place != name_at and _holds_sets(column)]
    folds = [place for place, name in enumerate(header) if name in FOLD_HEADERS and _holds_folds(texts[place])]
    if header[0] == "name" and not folds:  # of JSON
        folds = [place for place, name in enumerate(header) if name.startswith("key ") and _holds_folds(texts[place])]
    if options.set_column:
        sets = [_column(path, header, options.set_column, "--set-column")]
        if not _holds_sets(texts[sets[0]]):
            found = ", ".join(sorted(set(texts[sets[0]]))[:5])
            raise HistoBenchError(
                f"{path}: column {options.set_column!r} holds {found!r:.100}, expected train, val or test; name another column"
            )
    if options.fold_column:
        folds = [_column(path, header, options.fold_column, "--fold-column")]
    numbered = len({re.sub(r"\d+", "", header[place]) for place in sets}) == 1  # cv1, cv2 and so on
    if len(sets) > 1 and not (numbered or all("fold" in header[place] for place in sets)):
        named = [place for place in sets if header[place] in SET_HEADERS]
        if len(named) != 1 and any(texts[place] != texts[sets[0]] for place in sets):
            found = " and ".join(repr(header[place]) for place in sets[:3])
            raise HistoBenchError(
                f"{path}: each of the columns {found} holds sets; say which one to use (--set-column)"
            )
        sets = named[:1] or sets[:1]
    return sets, folds[:1] if len(sets) < 2 else []


def _holds_sets(column: Sequence[str]) -> bool:
    given = [text for text in column if text]
    return bool(given) and sum(bool(set_of(text)) for text in given) >= 0.5 * len(given)


def _holds_folds(column: Sequence[str]) -> bool:
    return any(column) and all(
        FOLD_NUMBER.search(text) or re.fullmatch(r"\d{1,5}(\.0)?", text) for text in column if text
    )


def _column(path: Path, header: Sequence[str], wanted: str, option: str) -> int:
    name = wanted.strip().lower()
    if name not in header:
        raise HistoBenchError(
            f"{path}: there is no column {wanted!r:.100} (the columns are {', '.join(header)!r:.200}); correct {option}"
        )
    return list(header).index(name)
