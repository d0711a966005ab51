"""Splits of other people: the images of each set, from lists, tables, folders, or the authors' folds of BreakHis by name."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from histobench.audit import entries as entries_of
from histobench.audit import names
from histobench.audit.entries import Entry
from histobench.audit.names import ImageName, Naming
from histobench.audit.split_columns import Options
from histobench.audit.text_files import read_rows
from histobench.datasets import official_folds
from histobench.io.errors import HistoBenchError

OFFICIAL = "official"
"""In place of a file: the five folds of BreakHis's authors."""
MAX_FOLDS = 100
"""Leaving out one slide of BreakHis after the other makes 81."""
ORDER = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """One hold-out, or one fold."""

    title: str
    sets: Mapping[str, Sequence[ImageName]]
    """`train`, `val` and `test`, as far as they occur -> distinct images in the order of the file."""
    repeated: int = 0
    """Names that mean an image of the same set that was named before."""

    @property
    def evaluated(self) -> str:
        """The set whose scores are reported: `test`, or `val` where there is no test set."""
        return "test" if "test" in self.sets else "val"


@dataclass(frozen=True)
class Splits:
    """What a user's files hold: one split, or several folds of one."""

    title: str
    dataset: str
    splits: Sequence[Split]
    unknown: Sequence[str] = ()
    """Names that have another form than the dataset's."""
    contradictions: Sequence[str] = ()
    """Places where a folder or column names another class than the image's name."""
    notes: Sequence[str] = ()
    """What was guessed or ignored."""

    @cached_property
    def images(self) -> dict[str, ImageName]:
        """Every image that occurs, by its name."""
        return {one.image: one for split in self.splits for part in split.sets.values() for one in part}

    @cached_property
    def missing_official(self) -> tuple[list[str], int, set[int]]:
        """The official images that are in no set, of how many, and the magnifications that count: those that occur."""
        scales = {one.magnification for one in self.images.values() if one.official}
        expected = [one.image for one in names.official(self.dataset).values() if one.magnification in scales]
        return [image for image in expected if image not in self.images], len(expected), scales


def read(files: Sequence[Path], options: Options | None = None) -> Splits:
    """Read the files of one split or of its folds.

    Files of one set each belong together; files with several sets each are folds. A fold number in a column, in the name of a file or
    in a folder is used.

    Raises:
        HistoBenchError: a file cannot be read, the dataset is not recognised, or there is no training or evaluation set.
    """
    options = options or Options()
    scope = _scope(options)
    if [str(file) for file in files] == [OFFICIAL]:
        return official()
    if OFFICIAL in map(str, files) and not Path(OFFICIAL).exists():
        raise HistoBenchError(
            "--split official is the folds of BreakHis's authors and stands alone; give other files with a --split of their own"
        )
    entries, notes, columns, slides = _entries(files, options)
    if slides:
        found = [(entry, image) for entry in entries for image in names.of_slides(names.slides(entry.name))]
        unknown, contradictions = [entry.name for entry in entries if not names.slides(entry.name)], []
        found = [(entry, image) for entry, image in found if _is_wanted(image, options)]
        found, more = _with_others(found, options)
        notes += [f"The files list slides: each stands for its official images{scope}.", *more]
        dataset = "breakhis"
    else:
        sample = [entry.name for entry in entries[:: max(1, len(entries) // 1000)]]
        try:
            naming = Naming.of(sample, options.dataset, options.patient, options.label, columns)
        except HistoBenchError as error:
            raise HistoBenchError(f"{_title(files)}: {error}") from None
        found, unknown, contradictions = _identified(entries, naming)
        found, more = _with_others(found, options)
        notes, dataset = notes + more, naming.dataset
    if not found and scope:
        raise HistoBenchError(
            f"{_title(files)}: no image is{scope}; correct --magnifications or --subtypes, which are for BreakHis, or leave them out"
        )
    if not found:
        raise HistoBenchError(
            f"{_title(files)}: none of its {len(entries):,} names is an image of {dataset}, the first is {entries[0].name!r:.100}; "
            "name another column (--name-column) or dataset (--dataset)"
        )
    folds = {entry.fold for entry, _ in found}
    if len(folds) > MAX_FOLDS:
        raise HistoBenchError(
            f"{_title(files)}: has {len(folds):,} folds, expected at most {MAX_FOLDS}; say which column holds the fold (--fold-column)"
        )
    splits = _divided(found, files)
    _require_two_sides(splits, files)
    return Splits(_title(files), dataset, splits, unknown, contradictions, notes)


def official() -> Splits:
    """Return the five folds of BreakHis's authors, from the names of its images alone."""
    sides = official_folds.tested()
    images = names.official("breakhis").values()
    made = []
    for fold in range(1, official_folds.COUNT + 1):
        test = [one for one in images if fold in sides[one.subtype, one.slide]]
        train = [one for one in images if fold not in sides[one.subtype, one.slide]]
        made.append(Split(f"fold {fold}", {"train": train, "test": test}))
    return Splits("official folds of BreakHis", "breakhis", made)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # its name is too long; whoever reads it says so
        return False


def _entries(files: Sequence[Path], options: Options) -> tuple[list[Entry], list[str], list[str], bool]:
    """Return the entries of all files, notes, the columns that every table has, and whether the names are slides."""
    entries: list[Entry] = []
    notes: list[str] = []
    said: dict[str, list[Path]] = {}
    for file in files:
        if _is_folder(file):
            own, of_file = entries_of.of_folder(file)
        else:
            table = read_rows(file)
            notes += table.notes
            own, of_file = entries_of.of_rows(table, options)
        entries += own
        for note in of_file:
            said.setdefault(note, []).append(file)
    notes += [f"{_title(same)}: {note}" for note, same in said.items()]
    if not entries:
        raise HistoBenchError(
            f"{_title(files)}: no row has a set of train, val or test; say which column holds it (--set-column)"
        )
    columns = set[str]().union(*(entry.row for entry in entries[:: max(1, len(entries) // 1000)]))
    sample = [entry.name for entry in entries[:: max(1, len(entries) // 300)]]
    known = options.dataset.lower() in ("", "breakhis") and not options.patient
    slides = known and 2 * sum(bool(names.slides(name)) for name in sample) > len(sample)
    return entries, notes, sorted(columns), slides


Found = tuple[Entry, ImageName]


def _identified(entries: Sequence[Entry], naming: Naming) -> tuple[list[Found], list[str], list[str]]:
    """Return entries with their images, the names that mean none, and the places where a class contradicts the name."""
    found, unknown, contradictions = [], [], []
    for entry in entries:
        image = naming.identify(entry.name, entry.row)
        if image is None:
            unknown.append(entry.name)
            continue
        found.append((entry, image))
        if naming.dataset in names.KNOWN and _contradicts(entry, image):
            contradictions.append(entry.place)
    return found, unknown, contradictions


def _contradicts(entry: Entry, image: ImageName) -> bool:
    """Tell whether a folder or a cell is the name of another class than the image's."""
    words = {part.lower() for part in re.split(r"[/\\]", entry.name)[:-1]} | {
        cell.lower() for cell in entry.row.values()
    }
    if image.dataset == "bach":
        return bool(words & {"normal", "insitu", "invasive"}) and image.subtype not in words
    return bool(words & {"benign", "malignant"}) and bool(image.label) and image.label not in words


def _is_wanted(image: ImageName, options: Options) -> bool:
    """Tell whether the options leave an image in."""
    return (not options.magnifications or image.magnification in options.magnifications) and (
        not options.subtypes or image.subtype in options.subtypes
    )


def _with_others(found: Sequence[Found], options: Options) -> tuple[list[Found], list[str]]:
    """Return the images with all official ones that are not listed, in the set that the options say."""
    kept = [(entry, image) for entry, image in found if _is_wanted(image, options)]
    notes = [f"Left out {len(found) - len(kept):,} names, as the options say."] if len(kept) < len(found) else []
    if not options.others or not kept:
        return kept, notes
    if {entry.fold for entry, _ in kept} != {""}:
        raise HistoBenchError("--others is for a split without folds; leave it out, or give one split")
    listed = {image.image for _, image in kept}
    rest = Entry("", options.others, "", "")
    others = [
        (rest, image)
        for image in names.official(kept[0][1].dataset).values()
        if image.image not in listed and _is_wanted(image, options)
    ]
    notes.append(
        f"The {len(others):,} official images that are not listed{_scope(options)} were put into {options.others}."
    )
    return kept + others, notes


def _scope(options: Options) -> str:
    scales = ", ".join(f"{value}X" for value in options.magnifications)
    parts = [
        *([f"at {scales}"] if scales else []),
        *([f"of {', '.join(options.subtypes)}"] if options.subtypes else []),
    ]
    return f" {' '.join(parts)}" if parts else ""


def _divided(found: Sequence[Found], files: Sequence[Path]) -> list[Split]:
    """Return a split for each fold, or for each file that holds several sets."""
    per_file: dict[str, set[str]] = {}
    for entry, _ in found:
        per_file.setdefault(entry.file, set()).add(entry.set)
    own = len(per_file) > 1 and all("train" in sets and len(sets) > 1 for sets in per_file.values())
    keyed: dict[tuple[str, str], list[Found]] = {}
    for entry, image in found:
        file = entry.file if own else ""
        keyed.setdefault((file, entry.fold), []).append((entry, image))
    if all(not entry.set for entry, _ in found):
        return _partition(found)
    several = len(keyed) > 1
    made = []
    for (file, fold), part in sorted(keyed.items(), key=lambda item: (item[0][0], item[0][1].zfill(9))):
        title = " ".join(text for text in (Path(file).name, f"fold {fold}" if fold and not file else "") if text)
        made.append(_split(title if several else "", part))
    titles = Counter(split.title for split in made)
    if several and max(titles.values()) > 1:
        made = [replace(split, title=f"{split.title} ({number})".strip()) for number, split in enumerate(made, 1)]
    return made


def _split(title: str, part: Sequence[Found]) -> Split:
    sets: dict[str, dict[str, ImageName]] = {}
    total = 0
    for entry, image in part:
        if entry.set:
            sets.setdefault(entry.set, {}).setdefault(image.image, image)
            total += 1
    ordered = {name: tuple(sets[name].values()) for name in ORDER if name in sets}
    return Split(title, ordered, total - sum(map(len, ordered.values())))


def _partition(found: Sequence[Found]) -> list[Split]:
    """Return a split for each fold: its images evaluate and all others train."""
    folds: dict[str, dict[str, ImageName]] = {}
    for entry, image in found:
        folds.setdefault(entry.fold, {}).setdefault(image.image, image)
    if set(folds) == {""}:
        return []
    repeated = len(found) - sum(map(len, folds.values()))
    made = []
    for fold in sorted(folds, key=lambda fold: fold.zfill(9)):
        train = {image: one for other, part in folds.items() if other != fold for image, one in part.items()}
        made.append(
            Split(f"fold {fold}", {"train": tuple(train.values()), "test": tuple(folds[fold].values())}, repeated)
        )
    return made


def _require_two_sides(splits: Sequence[Split], files: Sequence[Path]) -> None:
    if not splits:
        raise HistoBenchError(
            f"{_title(files)}: no column, file name or folder says which names train and which evaluate; give train.csv and test.csv, a "
            "column of sets, or its name (--set-column, --fold-column)"
        )
    for split in splits:
        there = [name for name, images in split.sets.items() if images]
        if "train" not in there or len(there) < 2:
            found = ", ".join(there)
            wanted = "train" if "train" not in there else "test or val"
            where = f"{_title(files)}{f' ({split.title})' if split.title else ''}"
            raise HistoBenchError(
                f"{where}: holds only the set {found}, expected {wanted} too; give the file of that set as well, or say where the "
                "official images that are not listed belong (--others train)"
            )


def _title(files: Sequence[Path]) -> str:
    shown = [file.name or str(file) for file in files]
    return ", ".join(shown) if len(shown) <= 3 else f"{shown[0]} and {len(shown) - 1} more files"
