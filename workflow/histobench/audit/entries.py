"""Entries of a split: names with their set or fold, found in the columns, sections, keys and paths of other people's files."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from histobench.audit import names
from histobench.audit.split_columns import (
    FOLD_NUMBER,
    READERS,
    SET_HEADERS,
    SETS,
    TRUE,
    Options,
    Reader,
    flags,
    name_column,
    set_columns,
    set_of,
)
from histobench.audit.text_files import Rows
from histobench.io.errors import HistoBenchError

_OFFICIAL_COLUMNS = ("name", "magnification", "fold", "set")
"""Columns of the BreakHis authors' lists: ``SOB_B_A-14-22549AB-40-001.png|40|1|train``."""


@dataclass(frozen=True)
class Entry:
    """A name and where it belongs."""

    name: str
    set: str
    """`train`, `val`, `test`, or nothing where only folds are given."""
    fold: str
    file: str
    """Path of the file or folder that lists it; empty for an image that no file lists."""
    line: int = 0
    """Number of the line or record; 0 for a file in a folder."""
    row: Mapping[str, str] = field(default_factory=dict)
    """The cells of its row, by their columns in lower case."""

    @property
    def place(self) -> str:
        """File and line, for messages."""
        return f"{self.file}, line {self.line}" if self.line else f"{self.file}/{self.name}"


def of_rows(table: Rows, options: Options) -> tuple[list[Entry], list[str]]:
    """Return the entries of a file, and what was guessed or ignored, as the ends of sentences.

    Raises:
        HistoBenchError: no column holds names or sets, or a column of the options is missing.
    """
    if not table.columns and all(len(cells) == 1 for _, cells in table.rows):
        return _of_list(table)
    header, rows = _header(table)
    if not rows:
        raise HistoBenchError(f"{table.path}: has a header and no rows, expected names of images; give the whole table")
    texts = [[cells[place] if place < len(cells) else "" for _, cells in rows] for place in range(len(header))]
    if flagged := flags(header, texts):
        return _of_flags(table, header, rows, texts, flagged, options)
    wide = {place: set_of(name) for place, name in enumerate(header) if set_of(name)}
    if len(set(wide.values())) > 1 and not table.columns:
        return _of_wide(table, rows, wide)
    name_at = name_column(table.path, header, texts, options.name_column)
    sets, folds = set_columns(table.path, header, texts, name_at, options)
    if not options.name_column and not sets and set(header) & set(SET_HEADERS) and not options.set_column:
        unknown = next(name for name in header if name in SET_HEADERS)
        values = ", ".join(sorted(set(texts[header.index(unknown)]))[:5])
        raise HistoBenchError(
            f"{table.path}: column {unknown!r} holds {values!r:.100}, expected train, val or test; rename the sets, or say which column "
            "holds them (--set-column)"
        )
    said = [f"names from column {header[name_at]!r}", *(f"sets from column {header[at]!r}" for at in sets[:1])]
    said += [f"folds from column {header[at]!r}" for at in folds]
    said += [f"folds from the columns {header[sets[0]]!r} to {header[sets[-1]]!r}"] if len(sets) > 1 else []
    notes = [f"took {', '.join(said)}."]
    default = "" if sets or folds else set_of_path(table.path)
    of_file = fold_of_path(table.path)
    entries, left = [], 0
    for at in sets or [None]:
        of_column = (re.sub(r"\D+", "", header[at]) or header[at]) if at is not None and len(sets) > 1 else ""
        for (line, _), cells in zip(rows, zip(*texts, strict=True), strict=True):
            name = cells[name_at]
            if at is not None:
                chosen = set_of(cells[at])
            else:
                chosen = default or ("" if folds else _set_in_path(name, table.path))
            if not name or (at is not None and not chosen):
                left += bool(name)
                continue
            fold = of_column or (_fold_of_cell(cells[folds[0]]) if folds else "") or _fold_in_name(name) or of_file
            entries.append(Entry(name, chosen, fold, str(table.path), line, dict(zip(header, cells, strict=True))))
    if left:
        notes.append(f"left out {left:,} rows whose set is not train, val or test.")
    return entries, notes


def of_folder(folder: Path) -> tuple[list[Entry], list[str]]:
    """Return an entry for each image file in a tree such as ``train/benign/*.png``; links to folders are not followed.

    Raises:
        HistoBenchError: a folder cannot be read, there is no image in the tree, or there are more than two million files.
    """

    def refuse(error: OSError) -> None:
        raise HistoBenchError(f"{error.filename}: cannot be read ({error.strerror}); correct its permissions")

    entries, seen = [], 0
    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders.sort()
        seen += len(files)
        if seen > 2_000_000:
            raise HistoBenchError(
                f"{folder}: holds more than 2,000,000 files, expected one dataset; name its own folder"
            )
        for file in sorted(files):
            if names.is_image(file) and not file.startswith("._"):
                path = (Path(parent) / file).relative_to(folder).as_posix()
                entries.append(Entry(path, _set_in_path(path), _fold_in_name(path), str(folder)))
    if not entries:
        raise HistoBenchError(
            f"{folder}: holds no image files, expected folders such as train/benign with images; name the lists in it as files"
        )
    return entries, ["took sets from the names of folders."]


def set_of_path(path: Path) -> str:
    """Return the set that the name of a file has as a word; nothing where it has several."""
    found = {SETS[word] for word in re.split(r"[^a-z]+", path.stem.lower()) if word in SETS}
    return found.pop() if len(found) == 1 else ""


def fold_of_path(path: Path) -> str:
    """Return the number of the fold in the name of a file, or in that of one of three folders above it; or nothing."""
    return _fold_in([path.stem, *(parent.name for parent in list(path.parents)[:3])])


def _fold_in_name(name: str) -> str:
    """Return the number of the fold in the folders of a name, or nothing."""
    return _fold_in(reversed(name.replace("\\", "/").split("/")[:-1]))


def _fold_of_cell(cell: str) -> str:
    """Return ``3`` for `fold_3` and `3.0`."""
    return _fold_in([cell]) or cell.removesuffix(".0")


def _fold_in(parts: Iterable[str]) -> str:
    match = next(filter(None, map(FOLD_NUMBER.search, parts)), None)
    return str(int(match[1] or match[2])) if match else ""


def _set_in_path(name: str, file: Path = Path()) -> str:
    """Return the set that a folder in a name is called like, or else the folder of the file that lists it."""
    folders = [file.parent.name, *name.replace("\\", "/").split("/")[:-1]]
    return next((SETS[part.lower()] for part in reversed(folders) if part.lower() in SETS), "")


def _of_list(table: Rows) -> tuple[list[Entry], list[str]]:
    """Return the entries of a list of names, whose sections may begin with the name of a set."""
    of_file, fold_of_file, section = set_of_path(table.path), fold_of_path(table.path), ""
    entries, ignored = [], 0
    reader = _kind([cells[0] for _, cells in table.rows])
    for line, (text,) in table.rows:
        if set_of(text):
            section = set_of(text)
        elif not (reader(text) or names.is_like_name(text, slides=reader is names.slides)):
            ignored += 1
        else:
            chosen = section or of_file or _set_in_path(text, table.path)
            fold = _fold_in_name(text) or fold_of_file
            entries.append(Entry(text, chosen, fold, str(table.path), line))
    if not entries:
        raise HistoBenchError(
            f"{table.path}: no line is the name of an image or slide, the first is {table.rows[0][1][0]!r:.100}; expected names such as "
            "SOB_B_A-14-22549AB-40-001.png, or a table with a column of them; give such a list"
        )
    notes = [f"ignored {ignored:,} lines that are no names."] if ignored else []
    if section:
        notes.append("took sets from the lines that name a set.")
    elif of_file:
        notes.append(f"took the set {of_file} from the name of the file.")
    return entries, notes


def _of_flags(
    table: Rows,
    header: Sequence[str],
    rows: Sequence[tuple[int, Sequence[str]]],
    texts: Sequence[Sequence[str]],
    flagged: Mapping[int, str],
    options: Options,
) -> tuple[list[Entry], list[str]]:
    """Return the entries of a table with a column for each set that says which rows are in it."""
    rest = [place for place in range(len(header)) if place not in flagged]
    name_at = rest[
        name_column(table.path, [header[at] for at in rest], [texts[at] for at in rest], options.name_column)
    ]
    fold = fold_of_path(table.path)
    entries = []
    for number, (line, _) in enumerate(rows):
        row = {name: column[number] for name, column in zip(header, texts, strict=True)}
        chosen = [name for at, name in flagged.items() if texts[at][number] in TRUE]
        if not chosen and len(flagged) == 1:
            chosen = ["test" if "train" in flagged.values() else "train"]
        entries += [Entry(texts[name_at][number], name, fold, str(table.path), line, row) for name in chosen]
    told = ", ".join(repr(header[at]) for at in flagged)
    return entries, [f"took names from column {header[name_at]!r}, and the columns {told} as marks of sets."]


def _of_wide(table: Rows, rows: Sequence[tuple[int, Sequence[str]]], sets: Mapping[int, str]) -> tuple[list, list[str]]:
    """Return the entries of a table with a column of names for each set."""
    fold = fold_of_path(table.path)
    entries = [
        Entry(cells[place], chosen, fold, str(table.path), line)
        for place, chosen in sets.items()
        for line, cells in rows
        if place < len(cells) and cells[place]
    ]
    return entries, ["took the columns named like sets as lists of names."]


def _header(table: Rows) -> tuple[list[str], Sequence[tuple[int, Sequence[str]]]]:
    """Return the names of the columns in lower case, and the rows below them."""
    if table.columns:
        return [name.strip().lower() for name in table.columns], table.rows
    first, width = table.rows[0][1], max(len(cells) for _, cells in table.rows)
    if not any(reader(cell) for cell in first for reader in READERS):
        header = [name.strip().lower() for name in first]
        header += [f"column {place + 1}" for place in range(len(header), width)]
        return [name or f"column {place + 1}" for place, name in enumerate(header)], table.rows[1:]
    if table.delimiter == "|" and width == len(_OFFICIAL_COLUMNS):
        return list(_OFFICIAL_COLUMNS), table.rows
    return [f"column {place + 1}" for place in range(width)], table.rows


def _kind(texts: Sequence[str]) -> Reader:
    """Return what recognises most of a sample of texts: images of BreakHis or BACH, slides, or names of image files."""
    sample = [text for text in texts[:: max(1, len(texts) // 300)] if text]
    return next((one for one in READERS if 2 * sum(bool(one(text)) for text in sample) >= len(sample)), READERS[0])
