"""Entries of a split: names with their set or fold, found in the columns, sections, keys and paths of other people's files."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from histobench.audit import names
from histobench.audit.text_files import Rows
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
SET_HEADERS = ("set", "split", "subset", "partition", "phase", "grp", "dataset_split", "usage")
FOLD_HEADERS = ("fold", "folds", "kfold", "k_fold", "cv_fold", "fold_id", "fold_number")
_FOLD = re.compile(r"(?:^|[^a-z])(?:cv|k)?[_-]?fold[_ -]?(\d{1,3})(?!\d)|(?:^|_)f_?(\d{1,2})(?=_|$)", re.IGNORECASE)
_OFFICIAL_COLUMNS = ("name", "magnification", "fold", "set")
"""Columns of the BreakHis authors' lists: ``SOB_B_A-14-22549AB-40-001.png|40|1|train``."""


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


@dataclass(frozen=True)
class Entry:
    """A name and where it belongs."""

    name: str
    set: str
    """`train`, `val`, `test`, or nothing where only folds are given."""
    fold: str
    file: str
    """Name of the file, for titles."""
    place: str
    """File and line, for messages."""
    row: Mapping[str, str] = field(default_factory=dict)
    """The other cells, by their columns in lower case."""


def set_of(text: str) -> str:
    """Return `train`, `val` or `test` for the name of a set, or nothing."""
    return SETS.get(text.strip().strip(":-=#[]()<>* ").lower(), "")


def of_rows(table: Rows, options: Options) -> tuple[list[Entry], list[str]]:
    """Return the entries of a file, and what was guessed or ignored.

    Raises:
        HistoBenchError: no column holds names or sets, or a column of the options is missing.
    """
    if not table.columns and all(len(cells) == 1 for _, cells in table.rows):
        return _of_list(table)
    header, rows = _header(table)
    if not rows:
        raise HistoBenchError(f"{table.path}: has a header and no rows, expected names of images; give the whole table")
    wide = {place: set_of(name) for place, name in enumerate(header) if set_of(name)}
    if len(set(wide.values())) > 1 and not table.columns:
        return _of_wide(table, rows, wide)
    columns = {name: place for place, name in enumerate(header)}
    texts = [[cells[place] if place < len(cells) else "" for _, cells in rows] for place in range(len(header))]
    notes = list(table.notes)
    name_at = _name_column(table.path, header, texts, options.name_column)
    sets, folds = _set_columns(table.path, header, texts, name_at, options)
    if not options.name_column and not sets and set(header) & set(SET_HEADERS) and not options.set_column:
        (unknown,) = [name for name in header if name in SET_HEADERS][:1]
        values = ", ".join(sorted(set(texts[columns[unknown]]))[:5])
        raise HistoBenchError(
            f"{table.path}: column {unknown!r} holds {values!r:.100}, expected train, val or test; rename the sets, or say which column "
            "holds them (--set-column)"
        )
    said = [f"names from column {header[name_at]!r}", *(f"sets from column {header[at]!r}" for at in sets[:1])]
    said += [f"folds from column {header[at]!r}" for at in folds]
    said += [f"folds from the columns {header[sets[0]]!r} to {header[sets[-1]]!r}"] if len(sets) > 1 else []
    notes.append(f"{table.path.name}: took {', '.join(said)}.")
    default = "" if sets or folds else set_of_path(table.path)
    entries, left = [], 0
    for at in sets or [None]:
        for (line, _), cells in zip(rows, zip(*texts, strict=True), strict=True):
            name, row = cells[name_at], dict(zip(header, cells, strict=True))
            if not name:
                continue
            chosen = (
                set_of(cells[at]) if at is not None else default or ("" if folds else _set_in_path(name, table.path))
            )
            fold = cells[folds[0]].removesuffix(".0") if folds else ""
            if at is not None and len(sets) > 1:
                fold = re.sub(r"\D+", "", header[at]) or header[at]
            if at is not None and not chosen:
                left += 1
                continue
            fold = fold or fold_of_path(table.path, name)
            entries.append(Entry(name, chosen, fold, table.path.name, f"{table.path}, line {line}", row))
    if left:
        notes.append(f"{table.path.name}: left out {left:,} rows whose set is not train, val or test.")
    return entries, notes


def of_folder(folder: Path) -> tuple[list[Entry], list[str]]:
    """Return an entry for each image file in a tree such as ``train/benign/*.png``; links to folders are not followed.

    Raises:
        HistoBenchError: there is no image in the tree, or there are more than two million files.
    """
    import os

    entries, seen = [], 0
    for parent, folders, files in os.walk(folder, followlinks=False):
        folders.sort()
        seen += len(files)
        if seen > 2_000_000:
            raise HistoBenchError(
                f"{folder}: holds more than 2,000,000 files, expected one dataset; name its own folder"
            )
        for file in sorted(files):
            if names.is_image(file) and not file.startswith("._"):
                path = (Path(parent) / file).relative_to(folder).as_posix()
                entries.append(
                    Entry(path, _set_in_path(path), fold_of_path(Path(), path), folder.name, f"{folder}/{path}")
                )
    if not entries:
        raise HistoBenchError(
            f"{folder}: holds no image files, expected folders such as train/benign with images; name the lists in it as files"
        )
    return entries, [f"{folder.name}: took sets from the names of folders."]


def set_of_path(path: Path) -> str:
    """Return the set that the name of a file has as a word; nothing where it has several."""
    found = {SETS[word] for word in re.split(r"[^a-z]+", path.stem.lower()) if word in SETS}
    return found.pop() if len(found) == 1 else ""


def fold_of_path(path: Path, name: str = "") -> str:
    """Return the number of the fold in the name of a file, of three folders above it, or in a name's folders; or nothing."""
    parts = [*reversed(name.replace("\\", "/").split("/")[:-1]), path.stem]
    parts += [parent.name for parent in list(path.parents)[:3]]
    for part in parts:
        if match := _FOLD.search(part):
            return str(int(match[1] or match[2]))
    return ""


def _set_in_path(name: str, file: Path = Path()) -> str:
    """Return the set that a folder in a name is called like, or else the folder of the file that lists it."""
    folders = [file.parent.name, *name.replace("\\", "/").split("/")[:-1]]
    return next((SETS[part.lower()] for part in reversed(folders) if part.lower() in SETS), "")


def _of_list(table: Rows) -> tuple[list[Entry], list[str]]:
    """Return the entries of a list of names, whose sections may begin with the name of a set."""
    of_file, section = set_of_path(table.path), ""
    entries, ignored = [], 0
    reader = _kind([cells[0] for _, cells in table.rows])
    for line, (text,) in table.rows:
        if set_of(text):
            section = set_of(text)
        elif not (reader(text) or names.is_like_name(text, slides=reader is names.slides)):
            ignored += 1
        else:
            chosen = section or of_file or _set_in_path(text, table.path)
            fold = fold_of_path(table.path, text)
            entries.append(Entry(text, chosen, fold, table.path.name, f"{table.path}, line {line}"))
    if not entries:
        raise HistoBenchError(
            f"{table.path}: no line is the name of an image or slide, the first is {table.rows[0][1][0]!r:.100}; expected names such as "
            "SOB_B_A-14-22549AB-40-001.png, or a table with a column of them; give such a list"
        )
    notes = list(table.notes)
    notes += [f"{table.path.name}: ignored {ignored:,} lines that are no names."] if ignored else []
    if section:
        notes.append(f"{table.path.name}: took sets from its lines that name a set.")
    elif of_file:
        notes.append(f"{table.path.name}: took the set {of_file} from its path.")
    return entries, notes


def _of_wide(table: Rows, rows: Sequence[tuple[int, Sequence[str]]], sets: Mapping[int, str]) -> tuple[list, list[str]]:
    """Return the entries of a table with a column of names for each set."""
    fold = fold_of_path(table.path)
    entries = [
        Entry(cells[place], chosen, fold, table.path.name, f"{table.path}, line {line}")
        for place, chosen in sets.items()
        for line, cells in rows
        if place < len(cells) and cells[place]
    ]
    return entries, [*table.notes, f"{table.path.name}: took the columns named like sets as lists of names."]


def _header(table: Rows) -> tuple[list[str], Sequence[tuple[int, Sequence[str]]]]:
    """Return the names of the columns in lower case, and the rows below them."""
    if table.columns:
        return [name.strip().lower() for name in table.columns], table.rows
    first, width = table.rows[0][1], max(len(cells) for _, cells in table.rows)
    is_row = any(names.is_image(cell) or names.read_breakhis(cell) or names.slides(cell) for cell in first)
    is_row = is_row or any(names.dataset_of([cell]) == "bach" for cell in first)
    if not is_row:
        header = [name.strip().lower() for name in first]
        header += [f"column {place + 1}" for place in range(len(header), width)]
        return [name or f"column {place + 1}" for place, name in enumerate(header)], table.rows[1:]
    if table.delimiter == "|" and width == len(_OFFICIAL_COLUMNS):
        return list(_OFFICIAL_COLUMNS), table.rows
    return [f"column {place + 1}" for place in range(width)], table.rows


Reader = Callable[[str], object]


def _kind(texts: Sequence[str]) -> Reader:
    """Return what recognises most of a sample of texts: images of BreakHis or BACH, slides, or names of image files."""
    sample = [text for text in texts[:: max(1, len(texts) // 300)] if text]
    exact: Reader = lambda text: names.dataset_of([text]) == "bach"  # noqa: E731
    readers: tuple[Reader, ...] = (names.read_breakhis, exact, names.slides, names.is_image)
    return max(readers, key=lambda reader: sum(bool(reader(text)) for text in sample) * 2 >= max(1, len(sample)))


def _name_column(path: Path, header: Sequence[str], texts: Sequence[Sequence[str]], wanted: str) -> int:
    if wanted:
        return _column(path, header, wanted, "--name-column")
    samples = [[text for text in column[:: max(1, len(column) // 300)] if text] for column in texts]
    exact: Reader = lambda text: names.dataset_of([text]) == "bach"  # noqa: E731
    for reader in (names.read_breakhis, exact, names.slides, names.is_image):
        shares = [sum(bool(reader(text)) for text in sample) / max(1, len(sample)) for sample in samples]
        if max(shares) >= 0.5:
            if reader is names.slides:  # numbers of other kinds have the form of a slide too
                named = [place for place, name in enumerate(header) if name in IMAGE_HEADERS and shares[place] >= 0.5]
                return named[0] if named else shares.index(max(shares))
            return shares.index(max(shares))
    for place, name in enumerate(header):
        if name in IMAGE_HEADERS:
            return place
    raise HistoBenchError(
        f"{path}: no column holds names of images (the columns are {', '.join(header)!r:.200}); say which one does (--name-column)"
    )


def _set_columns(
    path: Path, header: Sequence[str], texts: Sequence[Sequence[str]], name_at: int, options: Options
) -> tuple[list[int], list[int]]:
    """Return the columns that hold sets (several, if each is a fold), and at most one that holds the number of a fold."""
    sets = [place for place, column in enumerate(texts) if place != name_at and _holds_sets(column)]
    folds = [place for place, name in enumerate(header) if name in FOLD_HEADERS and _holds_numbers(texts[place])]
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
    if len(sets) > 1 and not all("fold" in header[place] or header[place].isdigit() for place in sets):
        named = [place for place in sets if header[place] in SET_HEADERS]
        if len(named) != 1 and any(texts[place] != texts[sets[0]] for place in sets):
            found = " and ".join(repr(header[place]) for place in sets[:3])
            raise HistoBenchError(f"{path}: the columns {found} both hold sets; say which one to use (--set-column)")
        sets = named[:1] or sets[:1]
    return sets, folds[:1] if len(sets) < 2 else []


def _holds_sets(column: Sequence[str]) -> bool:
    given = [text for text in column if text]
    return bool(given) and sum(bool(set_of(text)) for text in given) >= 0.5 * len(given)


def _holds_numbers(column: Sequence[str]) -> bool:
    return all(text.removesuffix(".0").isdigit() and len(text) < 6 for text in column if text) and any(column)


def _holds_folds(column: Sequence[str]) -> bool:
    return all(_FOLD.search(text) or text.isdigit() for text in column if text) and any(column)


def _column(path: Path, header: Sequence[str], wanted: str, option: str) -> int:
    name = wanted.strip().lower()
    if name not in header:
        raise HistoBenchError(
            f"{path}: there is no column {wanted!r:.100} (the columns are {', '.join(header)!r:.200}); correct {option}"
        )
    return list(header).index(name)


def folds_in(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield the folds that occur, in the order of their numbers."""
    yield from sorted({entry.fold for entry in entries}, key=lambda fold: (not fold.isdigit(), fold.zfill(9)))
