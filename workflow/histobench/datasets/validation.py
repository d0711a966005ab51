"""Which training groups of a fold are kept for choosing epoch, threshold and temperature, and do not train."""

from collections.abc import Sequence

import numpy as np

from histobench.datasets.folds import Folds
from histobench.datasets.manifest import LABELS, Image
from histobench.io.errors import HistoBenchError
from histobench.io.hashing import stable_hash
from histobench.study.run_files import resampled_with, unit_of


def divide(
    images: Sequence[Image], folds: Folds, fold: int, magnification: int, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of `images` that train in a fold at one magnification, and those that are kept for choosing.

    Groups, what statistics resample under the policy of the folds, are never divided. Of the training groups of each class
    `share` is kept, rounded, at least one; groups with both classes are a class of their own. They are drawn by a hash of
    seed, fold and name, from the groups of all magnifications: a group is kept at each of them, whatever the arm.

    Returns:
        Two ascending int64 arrays, together the training rows of :meth:`Folds.rows`.

    Raises:
        HistoBenchError: a class has too few groups for both.
    """
    group = np.array([resampled_with(image, folds.policy) for image in images])
    malignant = np.array([image.label == "malignant" for image in images])
    trains = folds.sides(images)[0][:, fold - 1]
    strata: dict[tuple[bool, bool], list[str]] = {}
    with_class = [set(group[trains & (malignant == label)].tolist()) for label in (False, True)]
    for name in sorted(set.union(*with_class)):
        strata.setdefault((name in with_class[0], name in with_class[1]), []).append(name)
    kept: list[str] = []
    for names in strata.values():
        names.sort(key=lambda name: stable_hash(seed, "validation", fold, name))
        kept += names[: max(round(share * len(names)), 1) if len(names) > 1 else 0]
    rows, _ = folds.rows(images, fold, magnification)
    chosen = np.isin(group[rows], kept)
    sides = rows[~chosen], rows[chosen]
    for label, name in enumerate(LABELS):
        own = rows[malignant[rows] == label]
        if not all(np.isin(own, side).any() for side in sides):
            chose = len(set(group[own]) & set(kept))
            raise HistoBenchError(
                f"validation: class {name} has {len(np.unique(group[own]))} {unit_of(folds.policy)}(s) to train on in fold {fold} "
                f"at {magnification}x; a share of {share:g} keeps {chose} of them for choosing, but at least one must be kept and "
                "one must train; give more images, change `validation` or the seed, or leave `validation` out of the mode"
            )
    return sides


def counts(images: Sequence[Image], policy: str) -> dict[str, dict[str, int]]:
    """Return how many `groups` and `images` of each class there are; a group with both classes counts in both."""
    own = {label: [image for image in images if image.label == label] for label in LABELS}
    return {
        "groups": {label: len({resampled_with(image, policy) for image in some}) for label, some in own.items()},
        "images": {label: len(some) for label, some in own.items()},
    }
