"""Training on the images of a few groups of each class."""

from collections.abc import Sequence

import numpy as np

from histobench.datasets.folds import Folds
from histobench.datasets.manifest import LABELS, Image
from histobench.io.errors import HistoBenchError
from histobench.io.hashing import stable_hash
from histobench.study.run_files import resampled_with, unit_of


def draw(images: Sequence[Image], folds: Folds, fold: int, magnification: int, count: int, seed: int) -> np.ndarray:
    """Return the rows of `images` that train in a fold at one magnification, of `count` groups of each class alone.

    Groups are what statistics resample under the policy of the folds. Those of a class with training images here are ordered
    by a hash of seed, fold and name, and the first ones are taken, so that those of a lower count are among those of a higher.

    Returns:
        An ascending int64 array, a part of the training rows of :meth:`Folds.rows`.

    Raises:
        HistoBenchError: a class has fewer groups.
    """
    rows, _ = folds.rows(images, fold, magnification)
    groups = np.array([resampled_with(images[row], folds.policy) for row in rows])
    label = np.array([images[row].label for row in rows])
    own = {name: sorted(set(groups[label == name].tolist())) for name in LABELS}
    if min(map(len, own.values())) < count:
        numbers = " and ".join(f"{len(names)} {name}" for name, names in own.items())
        raise HistoBenchError(
            f"patients_per_class: {count} of each class shall train, but fold {fold} has {numbers} {unit_of(folds.policy)}s to "
            f"train on at {magnification}x; write a smaller number in the mode, or take the mode out of the grid"
        )
    chosen = np.zeros(len(rows), bool)
    for name, names in own.items():
        names.sort(key=lambda group: stable_hash(seed, "few-shot", fold, group))
        chosen |= (label == name) & np.isin(groups, names[:count])
    return rows[chosen]
