"""Makes the folds of one split of a dataset: with scikit-learn, or from lists of the dataset's authors."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from histobench.datasets import folds
from histobench.datasets.manifest import LABELS, Image
from histobench.io.errors import HistoBenchError


def stratified(
    images: Sequence[Image], by: str, count: int, seed: int, magnifications: Collection[int] | None = None
) -> folds.Folds:
    """Divide a manifest into `count` folds with similar shares of benign and malignant images.

    Grouped policies use scikit-learn's ``StratifiedGroupKFold``, ``image`` its ``StratifiedKFold``; both are shuffled
    with `seed`. (Before scikit-learn 1.8 shuffling undid the stratification: its pull request 32540.)

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
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

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
    rows = np.zeros(len(images))
    if by == "image":
        parts = StratifiedKFold(count, shuffle=True, random_state=seed).split(rows, labels)
    else:
        parts = StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(rows, labels, groups)
    tested = np.zeros((len(images), count), bool)
    for fold, (_, test) in enumerate(parts):
        tested[test, fold] = True
    made = folds.Folds(
        by, dict(sorted((group, tuple(row)) for group, row in zip(groups, tested.tolist(), strict=True)))
    )
    folds.check(made, images, where, "use fewer folds, another seed, or a dataset with more patients", magnifications)
    return made


def official(
    images: Sequence[Image], files: Sequence[Path], magnifications: Collection[int] | None = None
) -> folds.Folds:
    """Read the hold-outs of the dataset's authors, or your own in the same form, one file per fold.

    A row is ``name|magnification|fold|train`` or ``...|test``, for example ``SOB_B_A-14-22549AB-40-001.png|40|1|train``
    (BreakHis: dsfold1.txt to dsfold5.txt of its ``mkfold`` archive). Spaces around fields, blank lines and CR are
    ignored.

    Raises:
        HistoBenchError: a file cannot be read, a row is malformed, names an image that the manifest does not have,
            contradicts another row of the same slide folder, an image has no row, or a fold lacks a class on one side at
            some magnification.
    """
    known = {image.image_id: image for image in images}
    sides: dict[str, list[bool]] = {folds.group_of(image, "official"): [] for image in images}
    for fold, file in enumerate(map(Path, files), start=1):
        tested: dict[str, bool] = {}
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
            if tested.setdefault(group, side == "test") != (side == "test"):
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
        for group, test in tested.items():
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
