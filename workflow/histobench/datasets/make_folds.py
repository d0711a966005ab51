"""Makes the folds of one split of a dataset: with scikit-learn, or from lists of the dataset's authors."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from histobench.datasets import folds, official_folds
from histobench.datasets.manifest import LABELS, Image
from histobench.io.errors import HistoBenchError


def stratified(
    images: Sequence[Image], by: str, count: int, seed: int, magnifications: Collection[int] | None = None
) -> folds.Folds:
    """Divide a manifest into `count` folds with similar shares of each class and, of groups, of each histological type.

    ``image`` is :func:`divided` by scikit-learn alone; the folds of grouped policies are then :func:`balanced`.

    Args:
        images: the whole manifest.
        by: ``patient``, ``accession`` or ``image``.
        count: number of folds, at least 2.
        seed: seed of the shuffling.
        magnifications: those at which every fold must have both classes on both sides; by default all that occur.

    Raises:
        HistoBenchError: a class has fewer groups than there are folds, a fold lacks a class on one side at some
            magnification, or images with equal pixels are in different groups of a grouped split.
    """
    unit = {"patient": "patients", "accession": "accession numbers", "image": "images"}[by]
    where = f"split by {by} into {count} folds with seed {seed}"
    groups = [folds.group_of(image, by) for image in images]
    labels = [image.label for image in images]
    for label in LABELS:
        found = len({group for group, other in zip(groups, labels, strict=True) if other == label})
        if found < count:
            raise HistoBenchError(
                f"{where}: the manifest has only {found} {label} {unit}, fewer than folds; "
                "use fewer folds or a dataset with more of them"
            )
    made = divided(images, by, count, seed)
    made = made if by == "image" else balanced(made, images)
    folds.check(made, images, where, "use fewer folds, another seed, or a dataset with more patients", magnifications)
    return made


def divided(images: Sequence[Image], by: str, count: int, seed: int) -> folds.Folds:
    """Divide a manifest with scikit-learn; arguments as for :func:`stratified`.

    Grouped policies use ``StratifiedGroupKFold``, ``image`` uses ``StratifiedKFold``; both are shuffled with `seed`. (Before
    scikit-learn 1.8 shuffling undid the stratification: its pull request 32540.)
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    kind = StratifiedKFold if by == "image" else StratifiedGroupKFold
    groups = [folds.group_of(image, by) for image in images]
    labels = [image.label for image in images]
    given = (labels, labels) if by == "image" else (labels, labels, groups)
    fold = {}
    for number, (_, test) in enumerate(kind(count, shuffle=True, random_state=seed).split(*given)):
        fold |= {groups[row]: number for row in test}
    return _partition(by, fold, count)


def balanced(made: folds.Folds, images: Sequence[Image]) -> folds.Folds:
    """Move and exchange groups of a partition so that every fold has its share of every histological type.

    Objective: as few pairs of a fold and a type as possible without a group; then the smallest sum, over types and
    folds, of the squared deviation of the fold's share of the type's images from an even share. One group after the other, in
    the order of their names, is moved to another fold or exchanged with another group, whichever lowers the objective
    most, until nothing does. That is a local minimum, found without chance.

    Bound: the images of each class at each magnification, of each class, of each magnification and of all together, and
    the groups of each class, are counted in every fold. No step lets such a number deviate more from an even share than the
    largest deviation that it has in any fold of `made`, or takes the last image of its kind from a fold.

    Returns:
        The new partition; `made` itself where types say no more than the classes do.
    """
    place = {group: row for row, group in enumerate(made.tested)}

    def counts(*names: str) -> np.ndarray:
        """Return the images of each group, and of no group, per combination of these fields: int64 (groups + 1, ...)."""
        keys = [tuple(getattr(image, name) for name in names) for image in images]
        column = {key: number for number, key in enumerate(sorted(set(keys)))}
        table = np.zeros((len(place) + 1, len(column)), np.int64)
        for image, key in zip(images, keys, strict=True):
            table[place[folds.group_of(image, made.policy)], column[key]] += 1
        return table

    types, classes = counts("label", "subtype"), counts("label")
    if types.shape == classes.shape:
        return made
    sums = [counts(*names) for names in (("label", "magnification"), ("magnification",), ())]
    fold = np.array([row.index(True) for row in made.tested.values()])
    fold = _exchanged(fold, types, np.hstack([*sums, classes, classes > 0]), made.count)
    return _partition(made.policy, dict(zip(made.tested, fold.tolist(), strict=True)), made.count)


def _exchanged(fold: np.ndarray, types: np.ndarray, bounded: np.ndarray, count: int) -> np.ndarray:
    """Return the new fold of each group, as :func:`balanced` has it; the last row of both tables is no group."""
    fold, has = fold.copy(), (types > 0).astype(np.int64)
    others = np.concatenate([np.arange(len(fold)), np.full(count, len(fold))])  # to exchange with; no group for a move

    def per_fold(table: np.ndarray) -> np.ndarray:
        return np.eye(count, dtype=np.int64)[fold].T @ table[:-1]

    def after_steps(table: np.ndarray, group: int, pair: np.ndarray) -> np.ndarray:
        moved = table[group] - table[others]
        return per_fold(table)[pair] + np.stack([-moved, moved])

    def deviation(numbers: np.ndarray) -> np.ndarray:
        return abs(count * numbers - bounded.sum(axis=0))

    def cost(images: np.ndarray, groups: np.ndarray) -> np.ndarray:
        # The squares of a type sum to less than 1, so that a pair without a group outweighs all of them.
        squares = (images / types.sum(axis=0) - 1 / count) ** 2
        return (types.shape[1] * (groups == 0) + squares).sum(axis=-1)

    largest, present = deviation(per_fold(bounded)).max(axis=0), per_fold(bounded).min(axis=0) > 0
    improved = True
    while improved:
        improved = False
        for group in range(len(fold)):
            target = np.concatenate([fold, np.arange(count)])
            pair = np.stack([np.full(len(target), fold[group]), target])  # the two folds that a step changes
            after = [after_steps(table, group, pair) for table in (types, has, bounded)]
            within = (deviation(after[2]) <= largest) & (after[2] >= present)
            allowed = (target != fold[group]) & within.all(axis=(0, 2))
            gain = cost(per_fold(types), per_fold(has))[pair] - cost(after[0], after[1])
            # Rounded, so that equal gains are equal on every machine.
            gain = np.where(allowed, gain.sum(axis=0), 0).round(9)
            best = int(gain.argmax())
            if gain[best] > 0:
                if best < len(fold):
                    fold[best] = fold[group]
                fold[group] = target[best]
                improved = True
    return fold


def _partition(by: str, fold: Mapping[str, int], count: int) -> folds.Folds:
    """Return the partition with the groups in these folds, counted from 0."""
    return folds.Folds(by, {group: tuple(fold[group] == number for number in range(count)) for group in sorted(fold)})


def official(
    images: Sequence[Image], files: Sequence[Path] = (), magnifications: Collection[int] | None = None
) -> folds.Folds:
    """Read the hold-outs of the dataset's authors, or your own in the same form, one file per fold.

    Without files they are the authors' five, by the names of the slides (:mod:`histobench.datasets.official_folds`), and the manifest
    need not be complete.

    A row is ``name|magnification|fold|train`` or ``...|test``, for example ``SOB_B_A-14-22549AB-40-001.png|40|1|train``
    (BreakHis: dsfold1.txt to dsfold5.txt of its ``mkfold`` archive). Spaces around fields, blank lines and CR are
    ignored.

    Raises:
        HistoBenchError: without files, an image is of no slide of BreakHis; a file cannot be read, a row is malformed, names an
            image that the manifest does not have, contradicts another row of the same slide folder, an image has no row, or a fold lacks a class on one side at
            some magnification.
    """
    if not files:
        tested = official_folds.tested()
        strange = next((image for image in images if (image.subtype, image.slide) not in tested), None)
        if strange:
            raise HistoBenchError(
                f"split by official: {strange.image_id} is of no slide of BreakHis, whose authors' folds are known by the names of its slides; "
                "give lists of your own in `files`, or choose another split"
            )
        rows = {
            folds.group_of(image, "official"): tuple(
                fold in tested[image.subtype, image.slide] for fold in range(1, official_folds.COUNT + 1)
            )
            for image in images
        }
        made = folds.Folds("official", dict(sorted(rows.items())))
        folds.check(made, images, "split by official", "use a dataset with more slides", magnifications)
        return made
    known = {image.image_id: image for image in images}
    sides: dict[str, list[bool]] = {folds.group_of(image, "official"): [] for image in images}
    for fold, file in enumerate(map(Path, files), start=1):
        side_of: dict[str, bool] = {}
        seen: set[str] = set()
        for line, (name, _, number, side) in _official_rows(file):
            where = f"{file}, line {line}"
            image = known.get(name.removesuffix(".png"))
            if image is None:
                raise HistoBenchError(
                    f"{where}: the manifest has no image {name!r}; the official folds need exactly the complete dataset"
                )
            if number != str(fold):
                raise HistoBenchError(
                    f"{where}: the row is of fold {number}, but the file is listed as fold {fold}; list the files in the "
                    "order of their folds, from 1"
                )
            group = folds.group_of(image, "official")
            if side_of.setdefault(group, side == "test") != (side == "test"):
                raise HistoBenchError(
                    f"{where}: {name} is in {side}, but an earlier row has another image of the slide folder {group} on "
                    "the other side; put a slide on one side only"
                )
            seen.add(image.image_id)
        missing = [image.image_id for image in images if image.image_id not in seen]
        if missing:
            raise HistoBenchError(
                f"{file}: {len(missing)} of the manifest's images have no row, the first is {missing[0]}; "
                "give every image one row"
            )
        for group, test in side_of.items():
            sides[group].append(test)
    made = folds.Folds("official", {group: tuple(row) for group, row in sorted(sides.items())})
    folds.check(made, images, "split by official", "correct the fold files", magnifications)
    return made


def _official_rows(file: Path) -> list[tuple[int, list[str]]]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise HistoBenchError(
            f"{file}: cannot be read as a fold file ({error}); unpack the dataset's mkfold archive there"
        ) from error
    rows = [(line, [field.strip() for field in text.split("|")]) for line, text in enumerate(lines, 1) if text.strip()]
    for line, fields in rows:
        if len(fields) != 4 or fields[3] not in folds.SIDES:
            raise HistoBenchError(
                f"{file}, line {line}: found {'|'.join(fields)!r}, expected name|magnification|fold|train or test; "
                "correct the row"
            )
    return rows
