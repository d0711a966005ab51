"""Which images train and which evaluate, decided once for a dataset and asserted again whenever it is loaded.

Four policies say what is never divided between the two sides of a fold:

- ``patient``: the slide id (81 in BreakHis); the DC and LC copies of 14-13412 share it, so they stay together.
- ``accession``: the slide id without its letters (70 in BreakHis), the strictest reading of "patient".
- ``image``: nothing. Every image is a group of its own: a deliberately leaky control.
- ``official``: the hold-outs that the dataset's authors published (dsfold1.txt to dsfold5.txt), grouped by the
  (subtype, slide) folder. They are not a partition, and in fold 1 the DC and LC copies of 14-13412 stand on two sides.

The first three are k-fold partitions, stratified on the binary label. One assignment serves all magnifications, so that
a patient is in the same fold everywhere. Loading needs csv and numpy only: every training job does it.
"""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from histobench.datasets.manifest import LABELS, Image
from histobench.io.errors import HistoBenchError
from histobench.io.files import atomic_path, read_csv, sha256_of, write_csv

POLICIES = ("patient", "accession", "image", "official")
COLUMNS = ("group", "images", "label")
SIDES = ("train", "test")
CENSUS_COLUMNS = (
    "fold",
    *(f"{side}_{counted}" for side in SIDES for counted in ("benign", "malignant", "groups")),
    "equal_pixels",
)


@dataclass(frozen=True)
class Folds:
    """One split of one dataset: a row per group, a column per fold."""

    policy: str
    """``patient``, ``accession``, ``image`` or ``official``."""
    groups: tuple[str, ...]
    """Names of the groups, sorted."""
    images: tuple[int, ...]
    """Images of each group, all magnifications together."""
    labels: tuple[str, ...]
    """``benign`` or ``malignant`` for each group, ``benign+malignant`` where a group holds both."""
    tested: tuple[tuple[bool, ...], ...]
    """For each group and fold, whether the group evaluates (else it trains)."""

    @property
    def count(self) -> int:
        """Number of folds."""
        return len(self.tested[0])

    def rows(self, images: Sequence[Image], fold: int, magnification: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the training and the evaluation rows of one fold at one magnification.

        Args:
            images: the whole manifest.
            fold: number of the fold, from 1.
            magnification: optical magnification.

        Returns:
            Two ascending int64 arrays of indices into `images`.

        Raises:
            HistoBenchError: there is no such fold, or no image of this magnification.
        """
        if not 1 <= fold <= self.count:
            raise HistoBenchError(f"fold {fold} does not exist: the split by {self.policy} has folds 1 to {self.count}")
        here = np.fromiter((image.magnification == magnification for image in images), bool, len(images))
        if not here.any():
            known = ", ".join(f"{value}x" for value in sorted({image.magnification for image in images}))
            raise HistoBenchError(f"the manifest has no image at {magnification}x: choose one of {known}")
        tested = self.sides(images)[:, fold - 1]
        return np.flatnonzero(here & ~tested).astype(np.int64), np.flatnonzero(here & tested).astype(np.int64)

    def sides(self, images: Sequence[Image]) -> np.ndarray:
        """Return for each image and fold whether the image evaluates: bool, shape (images, folds)."""
        number = {group: index for index, group in enumerate(self.groups)}
        return np.array(self.tested)[[number[group_of(image, self.policy)] for image in images]]


def group_of(image: Image, policy: str) -> str:
    """Return the name of the group of an image: what `policy` never divides."""
    match policy:
        case "patient":
            return image.patient
        case "accession":
            return image.accession
        case "image":
            return image.image_id
        case "official":
            # SOB_M_DC-14-13412-100-001 -> SOB_M_DC-14-13412: its folder, unlike the slide id, tells DC from LC.
            return image.image_id.rsplit("-", 2)[0]
    raise HistoBenchError(f"unknown split policy {policy!r}: expected one of {', '.join(POLICIES)}")


def make(images: Sequence[Image], by: str, folds: int, seed: int) -> Folds:
    """Divide a manifest into `folds` folds that are alike in their share of benign and malignant images.

    Grouped policies use scikit-learn's ``StratifiedGroupKFold``, ``image`` its ``StratifiedKFold``; both shuffled with
    `seed`. (Before scikit-learn 1.8 shuffling undid the stratification: its pull request 32540.)

    Raises:
        HistoBenchError: a class has fewer groups than there are folds, a fold lacks a class on one side at some
            magnification, or images with equal pixels are in different groups of a grouped split.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    where = f"split by {by} into {folds} folds with seed {seed}"
    if by not in POLICIES[:3]:
        raise HistoBenchError(
            f"{where}: a split is made by {', '.join(POLICIES[:3])}; `official` is read from its files"
        )
    if folds < 2:
        raise HistoBenchError(f"{where}: at least 2 folds are needed")
    groups = [group_of(image, by) for image in images]
    labels = [image.label for image in images]
    unit = {"patient": "patients", "accession": "accession numbers", "image": "images"}[by]
    for label in LABELS:
        found = len({group for group, other in zip(groups, labels, strict=True) if other == label})
        if found < folds:
            raise HistoBenchError(
                f"{where}: the manifest has only {found} {label} {unit}, fewer than folds; "
                "use fewer folds or a dataset with more of them"
            )
    rows = np.zeros(len(images))
    if by == "image":
        parts = StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows, labels)
    else:
        parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(rows, labels, groups)
    tested = np.zeros((len(images), folds), bool)
    for fold, (_, test) in enumerate(parts):
        tested[test, fold] = True
    made = _collect(images, by, {group: tuple(row) for group, row in zip(groups, tested.tolist(), strict=True)})
    check(made, images, where, "use fewer folds, another seed, or a dataset with more patients")
    return made


def official(images: Sequence[Image], files: Sequence[Path]) -> Folds:
    """Read the hold-outs of the dataset's authors, or your own in the same form, one file per fold.

    A row is ``name|magnification|fold|train`` or ``...|test``, for example ``SOB_B_A-14-22549AB-40-001.png|40|1|train``
    (BreakHis: dsfold1.txt to dsfold5.txt of its ``mkfold`` archive). Spaces around fields, blank lines and CR are
    ignored.

    Raises:
        HistoBenchError: a file cannot be read, a row is malformed, names an image that the manifest does not have,
            contradicts the manifest or another row of the same slide folder, an image has no row, or a fold lacks a
            class on one side at some magnification.
    """
    if not files:
        raise HistoBenchError("split by official: no fold file is given; name dsfold1.txt, dsfold2.txt, ... in `files`")
    known = {image.image_id: image for image in images}
    sides: dict[str, list[bool]] = {group_of(image, "official"): [] for image in images}
    for fold, file in enumerate(map(Path, files), start=1):
        tested: dict[str, bool] = {}
        seen: set[str] = set()
        for line, fields in _official_rows(file):
            name, magnification, number, side = fields
            image = known.get(name.removesuffix(".png"))
            if image is None:
                raise HistoBenchError(
                    f"{file}, line {line}: the manifest has no image {name!r}; "
                    "the official folds need the complete dataset and nothing else"
                )
            if magnification != str(image.magnification):
                raise HistoBenchError(
                    f"{file}, line {line}: {name} is given magnification {magnification}, "
                    f"but its name says {image.magnification}; correct the row"
                )
            if number != str(fold):
                raise HistoBenchError(
                    f"{file}, line {line}: the row is of fold {number}, but the file is listed as fold {fold}; "
                    "list the files in the order of their folds, from 1"
                )
            group = group_of(image, "official")
            if tested.setdefault(group, side == "test") != (side == "test"):
                raise HistoBenchError(
                    f"{file}, line {line}: {name} is in {side}, but an earlier row has another image of the slide "
                    f"folder {group} on the other side; a slide belongs to one side only"
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
    made = _collect(images, "official", {group: tuple(row) for group, row in sides.items()})
    check(made, images, "split by official", "correct the fold files")
    return made


def check(folds: Folds, images: Sequence[Image], where: str, remedy: str) -> None:
    """Assert what every experiment relies on; `where` and `remedy` begin and end the sentence of an error.

    - Every image of the manifest belongs to one group, and the counts and labels of the groups are the manifest's.
    - For ``patient``, ``accession`` and ``image`` each group evaluates in exactly one fold.
    - Both classes are on both sides of every fold at every magnification that occurs.
    - For ``patient`` and ``accession`` no two groups hold an image with equal pixels.

    Raises:
        HistoBenchError: one of these does not hold.
    """
    truth = _collect(images, folds.policy, dict(zip(folds.groups, folds.tested, strict=True)))
    for ours, theirs in (
        (dict(zip(folds.groups, folds.images, strict=True)), dict(zip(truth.groups, truth.images, strict=True))),
        (dict(zip(folds.groups, folds.labels, strict=True)), dict(zip(truth.groups, truth.labels, strict=True))),
    ):
        for group in sorted(ours.keys() | theirs.keys()):
            if ours.get(group) != theirs.get(group):
                raise HistoBenchError(
                    f"{where}: group {group} is {ours.get(group, 'absent')} here and "
                    f"{theirs.get(group, 'absent')} in the manifest (images or label); {remedy}"
                )
    if folds.policy != "official":
        for group, row in zip(folds.groups, folds.tested, strict=True):
            if sum(row) != 1:
                raise HistoBenchError(f"{where}: group {group} is test in {sum(row)} folds instead of 1; {remedy}")
    _check_classes(folds, images, where, remedy)
    pairs = twins(images, folds.policy) if folds.policy in ("patient", "accession") else []
    if pairs:
        raise HistoBenchError(
            f"{where}: {pairs[0][0]} and {pairs[0][1]} have equal pixels but belong to different groups (such pairs: "
            f"{len(pairs)}), so that what trains would evaluate; remove one image of each pair from the dataset"
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


def leaks(images: Sequence[Image], folds: Folds) -> list[int]:
    """Count for each fold the pairs of :func:`twins` of which one image trains and the other evaluates."""
    row = {image.image_id: index for index, image in enumerate(images)}
    pairs = np.array([(row[a], row[b]) for a, b in twins(images, folds.policy)], int).reshape(-1, 2)
    sides = folds.sides(images)
    return (sides[pairs[:, 0]] != sides[pairs[:, 1]]).sum(axis=0).tolist()


def census(images: Sequence[Image], folds: Folds) -> list[dict[str, int]]:
    """Count what is on the two sides of each fold.

    Returns:
        A row for each fold with :data:`CENSUS_COLUMNS`: benign images, malignant images and groups of each side, and
        the pairs of images with equal pixels that stand on both (:func:`leaks`).
    """
    tested, groups = folds.sides(images), np.array(folds.tested)
    malignant = np.array([image.label == "malignant" for image in images])
    rows = []
    for fold, equal in enumerate(leaks(images, folds)):
        row = {"fold": fold + 1}
        for test, side in enumerate(SIDES):
            here = tested[:, fold] == test
            row[f"{side}_benign"] = int(np.sum(here & ~malignant))
            row[f"{side}_malignant"] = int(np.sum(here & malignant))
            row[f"{side}_groups"] = int(np.sum(groups[:, fold] == test))
        rows.append(row | {"equal_pixels": equal})
    return rows


def sidecar(path: Path) -> Path:
    """Return the path of the digest beside a folds file: ``patient.csv.sha256``, in the format of ``sha256sum``."""
    return path.with_name(path.name + ".sha256")


def save(folds: Folds, path: Path) -> None:
    """Write a folds file and its digest.

    Columns: ``group,images,label,fold_1,...,fold_k``, the last k ``train`` or ``test``; a row per group.
    """
    path = Path(path)
    # Without its digest the table is refused: killed between the two writes, it does not look finished.
    sidecar(path).unlink(missing_ok=True)
    columns = (*COLUMNS, *(f"fold_{fold}" for fold in range(1, folds.count + 1)))
    rows = (
        (group, number, label, *(SIDES[test] for test in row))
        for group, number, label, row in zip(folds.groups, folds.images, folds.labels, folds.tested, strict=True)
    )
    write_csv(path, columns, (dict(zip(columns, row, strict=True)) for row in rows))
    with atomic_path(sidecar(path)) as temporary:
        temporary.write_text(f"{sha256_of(path)}  {path.name}\n", encoding="utf-8")


def load(path: Path, images: Sequence[Image], by: str) -> Folds:
    """Read a folds file and assert all of :func:`check` for the manifest `images` and the policy `by`.

    Raises:
        HistoBenchError: the file or its digest is missing, the file is not what was saved or is of another policy, or a
            check fails.
    """
    path = Path(path)
    rows = read_csv(path, (*COLUMNS, "fold_1"))
    check_unedited(path)
    again = _again(path)
    names = [name for name in rows[0] if name not in COLUMNS] if rows else []
    groups = tuple(row["group"] for row in rows)
    try:
        if names != [f"fold_{fold}" for fold in range(1, len(names) + 1)] or not rows:
            raise ValueError("its columns are not group, images, label, fold_1, fold_2, ...")
        if strange := {row[name] for row in rows for name in names} - set(SIDES):
            raise ValueError(f"{strange.pop()!r} is neither train nor test")
        if repeated := [group for group, times in Counter(groups).items() if times > 1]:
            raise ValueError(f"group {repeated[0]} has more than one row")
        _check_groups(set(groups), images, by)
        folds = Folds(
            policy=by,
            groups=groups,
            images=tuple(int(row["images"]) for row in rows),
            labels=tuple(row["label"] for row in rows),
            tested=tuple(tuple(row[name] == "test" for name in names) for row in rows),
        )
    except (TypeError, ValueError) as error:
        raise HistoBenchError(f"{path}: is not a folds file by {by} of this dataset ({error}); {again}") from error
    check(folds, images, str(path), again)
    return folds


def check_unedited(path: Path) -> None:
    """Assert that a folds file is what was saved.

    Raises:
        HistoBenchError: its digest is missing, or is that of another file.
    """
    try:
        digest = sidecar(path).read_text(encoding="utf-8").split()[0]
    except (OSError, IndexError, UnicodeDecodeError) as error:
        raise HistoBenchError(f"{sidecar(path)}: the digest of the folds cannot be read; {_again(path)}") from error
    if digest != sha256_of(path):
        raise HistoBenchError(
            f"{path}: was edited after it was made (its SHA-256 is not the one in {sidecar(path).name}); {_again(path)}, "
            "or put your own folds into files in the official form and configure a split of its own with `by: official`"
        )


def _again(path: Path) -> str:
    return f"delete {path} and {sidecar(path).name} to have both made again"


def _collect(images: Sequence[Image], policy: str, tested: dict[str, tuple[bool, ...]]) -> Folds:
    """Return the folds of a manifest; a group that `tested` does not know is left without folds."""
    counts: Counter[str] = Counter()
    labels: dict[str, set[str]] = {}
    for image in images:
        group = group_of(image, policy)
        counts[group] += 1
        labels.setdefault(group, set()).add(image.label)
    groups = tuple(sorted(counts))
    return Folds(
        policy=policy,
        groups=groups,
        images=tuple(counts[group] for group in groups),
        labels=tuple("+".join(sorted(labels[group])) for group in groups),
        tested=tuple(tested.get(group, ()) for group in groups),
    )


def _check_classes(folds: Folds, images: Sequence[Image], where: str, remedy: str) -> None:
    sides = folds.sides(images)
    labels = np.array([image.label for image in images])
    magnifications = np.array([image.magnification for image in images])
    for magnification in np.unique(magnifications):
        for label in LABELS:
            here = sides[(magnifications == magnification) & (labels == label)]
            tested = here.sum(axis=0)
            for side, empty in (("test", tested == 0), ("train", tested == len(here))):
                if empty.any():
                    fold = int(np.argmax(empty)) + 1
                    raise HistoBenchError(
                        f"{where}: fold {fold} has no {label} image on its {side} side at {magnification}x; {remedy}"
                    )


def _check_groups(groups: set[str], images: Sequence[Image], by: str) -> None:
    """Raise a ValueError unless these are the groups of the policy `by`."""
    wanted = {policy: {group_of(image, policy) for image in images} for policy in POLICIES}
    if wanted[by] == groups:
        return
    for policy in POLICIES:
        if wanted[policy] == groups:
            raise ValueError(f"its groups are those of a split by {policy}")
    if absent := wanted[by] - groups:
        raise ValueError(f"the manifest has {by} {min(absent)}, which has no row")
    raise ValueError(f"the manifest has no {by} {min(groups - wanted[by])}")


def _official_rows(file: Path) -> list[tuple[int, list[str]]]:
    """Return line number and the four fields of each row of a dsfold file."""
    rows = []
    try:
        with file.open(newline=None, encoding="utf-8-sig") as lines:
            for line, fields in enumerate(csv.reader(lines, delimiter="|", quoting=csv.QUOTE_NONE), start=1):
                fields = [field.strip() for field in fields]
                if not any(fields):
                    continue
                if len(fields) != 4 or fields[3] not in SIDES:
                    raise HistoBenchError(
                        f"{file}, line {line}: found {'|'.join(fields)!r}, expected "
                        "name|magnification|fold|train or test; correct the row"
                    )
                rows.append((line, fields))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise HistoBenchError(
            f"{file}: cannot be read as a fold file ({error}); unpack the dataset's mkfold archive there"
        ) from error
    return rows
