"""Whether evaluation images whose patient may have trained are called correctly more often than the others."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from histobench.audit.findings import Cell, Table
from histobench.audit.names import ImageName
from histobench.audit.score_tables import (
    CLASSES,
    FREEDOM,
    Units,
    counted_share,
    drawn_share,
    share_columns,
    share_formats,
)
from histobench.audit.scored_methods import Method
from histobench.audit.splits import Split
from histobench.evaluation.bootstrap import interval, resample, spread
from histobench.io.errors import HistoBenchError

TRAIN = "train"
"""Name of the set that trains."""
NONE, SIBLING, SAME_SLIDE, SAME_IMAGE = range(4)
"""What of an evaluation image's patient trains: nothing; another slide of the accession number; the slide; the image itself."""
NO_CAUSE = (
    "Do not read a cause into this: slides with a sibling in training are other slides, often of other classes and subtypes, and a "
    "difference, or none, does not say what the leak did."
)


@dataclass(frozen=True)
class Difference:
    """Share correct of images with a sibling in training less that of those without."""

    label: str
    """`benign`, `malignant` or `all`."""
    with_sibling: float
    without: float
    low: float | None
    high: float | None
    freedom: float


def training_sets(method: Method, splits: Sequence[Split]) -> tuple[list[Collection[ImageName]], list[str]]:
    """Return the images that train in each fold of a method, and what was assumed.

    The split of a fold is the one that evaluates the most of its images.

    Raises:
        HistoBenchError: no split evaluates more than half of the images of a fold.
    """
    evaluated = [
        {one.image for name, images in split.sets.items() if name != TRAIN for one in images} for split in splits
    ]
    found, told = [], []
    for fold, part in method.folds.items():
        images = {one.image.image for one in part}
        common = [len(images & one) for one in evaluated]
        best = max(range(len(splits)), key=common.__getitem__)
        title = splits[best].title or "the split"
        if common[best] * 2 <= len(images):
            raise HistoBenchError(
                f"{method.name}, {f'fold {fold}' if fold else 'all images'}: no fold of the split evaluates more than half of the {len(images)} images, at "
                f"most {common[best]} ({title}); give the split that these predictions were made with"
            )
        found.append(splits[best].sets.get(TRAIN, ()))
        told.append(
            f"predictions of {fold or method.name} are taken for those of {title}, which evaluates {common[best]:,} of their "
            f"{len(images):,} images"
        )
    return found, told


def relations(method: Method, training: Sequence[Collection[ImageName]]) -> np.ndarray:
    """Return (N,) what of the patient of each prediction trains.

    Args:
        method: whose predictions.
        training: the images that train in each fold, in the order of the folds.
    """
    found = np.zeros(len(method.rows), dtype=int)
    for number in range(1, len(method.folds) + 1):
        trains = training[number - 1]
        images = {one.image for one in trains}
        groups = {one.group for one in trains}
        accessions = {one.accession for one in trains if one.accession}
        for at in np.flatnonzero(method.fold == number):
            image = method.rows[at].image
            found[at] = (
                SAME_IMAGE if image.image in images
                else SAME_SLIDE if image.group in groups
                else SIBLING if image.accession and image.accession in accessions
                else NONE
            )  # fmt: skip
    return found


def sibling_table(method: Method, relation: np.ndarray, units: Units, draws: int, seed: int) -> Table:
    """Return the share of predictions that are correct by class and by what of the patient trains."""
    unit = units.accession or units.slide
    words = [f"nothing of the {unit}", f"another slide of the {unit}", f"the {units.slide}", "the image itself"]
    rows: list[list[Cell]] = []
    for name, of_class in _classes(method):
        for value, text in enumerate(words):
            own = of_class & (relation == value)
            if own.any():
                rows.append([name, text, *counted_share(method, own, units, draws, seed)])
    caption = (
        "Share of evaluation images that are called correctly, by what else of their patient trains, all folds together, with 95 % "
        f"intervals from resampled groups. The {units.slide} and the image are certain"
        + (f"; the {unit} is a strict reading: it may or may not be a patient" if units.accession else "")
        + f". {FREEDOM} {NO_CAUSE}"
    )
    return Table("siblings", caption, ["class", "in training", *share_columns(units)], rows, share_formats(units))


def differences(method: Method, relation: np.ndarray, units: Units, draws: int, seed: int) -> list[Difference]:
    """Return the difference of each class, and of all images, where images with and without a sibling are there.

    Images with a sibling are those of whose accession number another slide trains, and not their own; where there are only
    patients, those whose patient trains. Accession numbers are resampled within class, and within those with and without a
    sibling where none is both.
    """
    leaks = (relation > NONE).astype(int)
    counted = (relation == NONE) | (relation == SIBLING if units.accession else relation > NONE)
    found = []
    for name, of_class in _classes(method):
        of_class = of_class & counted
        if len(set(leaks[of_class].tolist())) < 2:
            continue
        group = method.accession[of_class]
        groups, _, _ = drawn_share(method, of_class, method.accession, leaks, draws, seed)
        weights = resample(groups, draws, seed)
        index = np.searchsorted(groups.names, group)
        estimates, drawn = {}, {}
        for value, key in ((1, "with"), (0, "without")):
            own = leaks[of_class] == value
            images = np.bincount(index[own], minlength=len(groups.names))
            right = np.bincount(index[own], method.correct[of_class][own], len(groups.names))
            estimates[key] = np.array([right.sum() / images.sum()])
            with np.errstate(invalid="ignore", divide="ignore"):  # a draw may have no group of one of the two
                drawn[key] = weights @ right / (weights @ images)
        widened = spread(estimates, drawn, groups)
        shares = [float(estimates[key][0]) for key in ("with", "without")]
        ends = interval(shares[0] - shares[1], widened["with"] - widened["without"], groups.freedom)
        low, high = (float(end) if np.isfinite(end) else None for end in ends)
        found.append(Difference(name, shares[0], shares[1], low, high, groups.freedom))
    return found


def difference_table(found: Sequence[Difference], units: Units) -> Table:
    """Return the differences as a table."""
    unit = units.accession or units.slide
    rows: list[list[Cell]] = [
        [one.label, one.with_sibling, one.without, one.with_sibling - one.without, one.low, one.high, one.freedom]
        for one in found
    ]
    caption = (
        f"Share correct of evaluation images with a sibling in training ({sibling(units)}), of those of whose {unit} nothing trains, "
        f"and the difference with its 95 % interval from resampled {unit}s. {FREEDOM} {NO_CAUSE}"
    )
    columns = ["class", "with a sibling", "without", "difference", "low", "high", "freedom"]
    return Table("sibling-differences", caption, columns, rows, dict.fromkeys(columns[1:6], ".4f") | {"freedom": "g"})


def sibling(units: Units) -> str:
    """Return what trains for images with a sibling, in words."""
    return f"another slide of the {units.accession} (not their own)" if units.accession else f"the {units.slide}"


def _classes(method: Method) -> list[tuple[str, np.ndarray]]:
    each = [(name, method.label == value) for value, name in enumerate(CLASSES)]
    return [*each, ("all", np.ones(len(method.label), dtype=bool))]
