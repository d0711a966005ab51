"""Folds: which images train and which evaluate. Every job that loads them checks them again.

Five policies say which images are never divided between the two sides of a fold. Their unit is called a group:

- ``patient``: the patient, as the dataset's authors number them (slide number; 81 in BreakHis). The DC and LC copies of
  14-13412 share it, so they stay together.
- ``accession``: the slide number without its letters (70 in BreakHis), the strictest reading of "patient". Whether an
  accession number that holds several slides is one patient is unknown.
- ``image``: every image is a group of its own, a deliberately leaky control.
- ``official``: the hold-outs that the dataset's authors published (dsfold1.txt to dsfold5.txt), grouped by the
  (subtype, slide) folder. They are not a partition, and in fold 1 the DC and LC copies of 14-13412 are on two sides.
- ``file``: a split of your own, or someone else's, from a CSV table; each image is a group of its own. Images that it does
  not list, or lists for validation, are on neither side.

The first three are k-fold partitions, stratified on the binary label; the first two are balanced by histological type too. One
assignment serves all magnifications, so a group is in the same fold at each of them. :mod:`histobench.datasets.make_folds` makes folds. Loading needs csv and
numpy only, because every training job does it.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from histobench.datasets.manifest import LABELS, Image
from histobench.io.errors import HistoBenchError
from histobench.io.files import atomic_path, read_csv, sha256_of, write_csv

POLICIES = ("patient", "accession", "image", "official", "file")
COLUMNS = ("group", "images", "label")
SIDES = ("train", "test")
UNUSED = "unused"
SHARED = {"slide": "slide_in_training", "accession": "accession_in_training", "sha256": "pixels_in_training"}
"""What an evaluation image may have in common with a training image -> the column of the census with the share that have."""
CENSUS_COLUMNS = (
    *("fold", "label", "train_images", "train_groups", "test_images", "test_groups"),
    *("equal_pixels", "shared_patients", *SHARED.values()),
)


@dataclass(frozen=True)
class Folds:
    """One split of one dataset: a row per group, a column per fold."""

    policy: str
    """One of :data:`POLICIES`."""
    tested: Mapping[str, tuple[bool, ...]]
    """For each group, in the order of their names, whether it evaluates (else it trains) in each fold; groups that are on
    neither side are absent."""

    @property
    def count(self) -> int:
        """Number of folds."""
        return len(next(iter(self.tested.values())))

    def rows(self, images: Sequence[Image], fold: int, magnification: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the training and the evaluation rows of one fold at one magnification.

        Args:
            images: the whole manifest.
            fold: number of the fold, from 1.
            magnification: optical magnification.

        Returns:
            Two ascending int64 arrays of indices into `images`.

        Raises:
            HistoBenchError: there is no image of this magnification.
        """
        here = np.fromiter((image.magnification == magnification for image in images), bool, len(images))
        if not here.any():
            known = ", ".join(f"{value}x" for value in sorted({image.magnification for image in images}))
            raise HistoBenchError(f"the manifest has no image at {magnification}x: choose one of {known}")
        train, test = (np.flatnonzero(here & side[:, fold - 1]).astype(np.int64) for side in self.sides(images))
        return train, test

    def sides(self, images: Sequence[Image]) -> tuple[np.ndarray, np.ndarray]:
        """Return for each image and fold whether the image trains, and whether it evaluates: bool, shape (images, folds)."""
        found = [self.tested.get(group_of(image, self.policy)) for image in images]
        test = np.array([row or (False,) * self.count for row in found])
        return ~test & np.array([row is not None for row in found])[:, None], test


def group_of(image: Image, policy: str) -> str:
    """Return the name of the group of an image: what `policy` never divides."""
    match policy:
        case "patient":
            return image.patient
        case "accession":
            return image.accession
        case "image" | "file":
            return image.image_id
        case "official":
            # SOB_M_DC-14-13412-100-001 -> SOB_M_DC-14-13412: its folder, unlike the slide id, tells DC from LC.
            return image.image_id.rsplit("-", 2)[0]
    raise HistoBenchError(f"unknown split policy {policy!r}: expected one of {', '.join(POLICIES)}")


def groups(images: Sequence[Image], policy: str) -> dict[str, tuple[str, str, str]]:
    """Return the :data:`COLUMNS` of each group, in the order of their names.

    The number of images is that of all magnifications together; the label of a group with both is ``benign+malignant``.
    """
    labels: dict[str, list[str]] = {}
    for image in images:
        labels.setdefault(group_of(image, policy), []).append(image.label)
    return {name: (name, str(len(own)), "+".join(sorted(set(own)))) for name, own in sorted(labels.items())}


def check(
    folds: Folds, images: Sequence[Image], where: str, remedy: str, magnifications: Collection[int] | None = None
) -> None:
    """Check what every experiment relies on.

    - For ``patient``, ``accession`` and ``image`` each group evaluates in exactly one fold.
    - Both classes are on both sides of every fold at each of the `magnifications`, by default at every one that occurs.
    - For ``patient`` and ``accession`` no two groups contain an image with equal pixels.

    Raises:
        HistoBenchError: one of these does not hold; the message begins with `where` and ends with `remedy`.
    """
    if folds.policy not in ("official", "file"):
        for group, row in folds.tested.items():
            if sum(row) != 1:
                raise HistoBenchError(f"{where}: group {group} is test in {sum(row)} folds instead of 1; {remedy}")
    if magnifications is None:
        magnifications = {image.magnification for image in images}
    _check_classes(folds, images, where, remedy, magnifications)
    pairs = twins(images, folds.policy) if folds.policy in ("patient", "accession") else []
    if pairs:
        raise HistoBenchError(
            f"{where}: {pairs[0][0]} and {pairs[0][1]} have equal pixels but belong to different groups (such pairs: "
            f"{len(pairs)}), so one may train and the other evaluate; remove one image of each pair from the dataset"
        )


def twins(images: Sequence[Image], policy: str) -> list[tuple[str, str]]:
    """Return pairs of image ids with equal pixels in different groups of `policy`.

    Of several equal images each later one is paired with the first, so that there are as many pairs as surplus copies.
    """
    first: dict[str, Image] = {}
    pairs = []
    for image in images:
        original = first.setdefault(image.sha256, image)
        if group_of(original, policy) != group_of(image, policy):
            pairs.append((original.image_id, image.image_id))
    return pairs


def shared_patients(images: Sequence[Image], folds: Folds) -> list[list[str]]:
    """Return for each fold the patients who have images on both of its sides."""
    patients = np.array([image.patient for image in images])
    train, test = folds.sides(images)
    return [sorted(set(patients[train[:, fold]]) & set(patients[test[:, fold]])) for fold in range(folds.count)]


def census(images: Sequence[Image], folds: Folds) -> list[dict[str, Any]]:
    """Count what is on the two sides of each fold, and what the sides share.

    Returns:
        A row for each fold and class with :data:`CENSUS_COLUMNS`. Images and groups are those of the class, on each side, all
        magnifications together. The rest is about the evaluation images of the class, against training images of both
        classes: pairs of an evaluation and a training image with equal pixels, patients who have images on both sides, and
        the shares of images whose slide, whose accession number, and whose decoded pixels also train.
    """
    train, test = folds.sides(images)
    labels, groups = np.array([image.label for image in images]), [group_of(image, folds.policy) for image in images]
    columns = {name: np.array([getattr(image, name) for image in images]) for name in ("patient", *SHARED)}
    columns["group"] = np.array(groups)
    rows = []
    for fold, label in product(range(folds.count), LABELS):
        trains, here = train[:, fold], test[:, fold] & (labels == label)
        row: dict[str, Any] = {"fold": fold + 1, "label": label}
        for side, chosen in (("train", trains & (labels == label)), ("test", here)):
            row |= {f"{side}_images": int(chosen.sum()), f"{side}_groups": len(set(columns["group"][chosen]))}
        also = {name: np.isin(values[here], values[trains]) for name, values in columns.items()}
        copies = Counter(columns["sha256"][trains].tolist())
        row["equal_pixels"] = sum(copies[pixels] for pixels in columns["sha256"][here].tolist())
        row["shared_patients"] = len(set(columns["patient"][here][also["patient"]]))
        rows.append(row | {column: float(also[name].mean()) for name, column in SHARED.items()})
    return rows


def save(folds: Folds, images: Sequence[Image], path: Path) -> None:
    """Write the folds of the manifest `images`, and the digest of the file.

    Columns: ``group,images,label,fold_1,...,fold_k``, the last k ``train``, ``test`` or ``unused``; a row per
    group.
    """
    path = Path(path)
    # Without its digest a folds file is refused, so a job that is killed between the two writes leaves nothing valid.
    _digest_file(path).unlink(missing_ok=True)
    columns = (*COLUMNS, *(f"fold_{fold}" for fold in range(1, folds.count + 1)))
    neither = (UNUSED,) * folds.count
    texts = {group: tuple(SIDES[test] for test in row) for group, row in folds.tested.items()}
    rows = ((*known, *texts.get(group, neither)) for group, known in groups(images, folds.policy).items())
    write_csv(path, columns, (dict(zip(columns, row, strict=True)) for row in rows))
    with atomic_path(_digest_file(path)) as temporary:
        temporary.write_text(f"{sha256_of(path)}  {path.name}\n", encoding="utf-8")


def load(path: Path, images: Sequence[Image], by: str, magnifications: Collection[int] | None = None) -> Folds:
    """Read a folds file of the manifest `images` and the policy `by`, and :func:`check` it.

    Raises:
        HistoBenchError: the file or its digest is missing, the file is not what was saved, its groups are not those of the
            manifest, with its numbers of images and its labels, or a check fails.
    """
    path = Path(path)
    rows = read_csv(path, (*COLUMNS, "fold_1"))
    check_unedited(path)
    where, remedy = f"{path} (split by {by})", _delete(path)
    ours, theirs = {tuple(row[name] for name in COLUMNS) for row in rows}, set(groups(images, by).values())
    if different := ours ^ theirs:
        group, number, label = min(different)
        owner = "these folds" if (group, number, label) in ours else "the manifest"
        raise HistoBenchError(f"{where}: group {group} with {number} {label} images is only in {owner}; {remedy}")
    names = [name for name in rows[0] if name not in COLUMNS]
    used = (row for row in rows if row["fold_1"] != UNUSED)
    folds = Folds(by, {row["group"]: tuple(row[name] == "test" for name in names) for row in used})
    check(folds, images, where, remedy, magnifications)
    return folds


def check_unedited(path: Path) -> None:
    """Check that a folds file is what was saved.

    Raises:
        HistoBenchError: its digest is missing, or is that of another file.
    """
    try:
        digest = _digest_file(path).read_text(encoding="utf-8")[:64]
    except (OSError, UnicodeDecodeError) as error:
        raise HistoBenchError(
            f"{_digest_file(path)}: the digest of the folds cannot be read; {_delete(path)}"
        ) from error
    if digest != sha256_of(path):
        raise HistoBenchError(
            f"{path}: was edited after it was made (its SHA-256 is not the one in {_digest_file(path).name}); "
            f"{_delete(path)}, or write your own folds as a CSV table and configure a split of their own with `by: file`"
        )


def _digest_file(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _delete(path: Path) -> str:
    return f"delete {path} and {_digest_file(path).name} to have both made again"


def _check_classes(
    folds: Folds, images: Sequence[Image], where: str, remedy: str, magnifications: Collection[int]
) -> None:
    train, test = folds.sides(images)
    for magnification, label in product(sorted(magnifications), LABELS):
        here = [(image.magnification, image.label) == (magnification, label) for image in images]
        for side, counts in (("test", test[here].sum(axis=0)), ("train", train[here].sum(axis=0))):
            if not counts.all():
                raise HistoBenchError(
                    f"{where}: fold {int(np.argmin(counts)) + 1} has no {label} image on its {side} side at "
                    f"{magnification}x; {remedy}"
                )
