"""Which images of a manifest a run trains on, keeps for choosing, and is evaluated on, and their labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from histobench.datasets import few_shot, validation
from histobench.datasets.folds import Folds
from histobench.datasets.manifest import Image
from histobench.io.errors import HistoBenchError
from histobench.study.spec import RunSpec


@dataclass(frozen=True)
class RunImages:
    """Rows of a manifest, each an ascending int64 array."""

    fold: np.ndarray
    """The training images of the fold, those that are kept among them."""
    training: np.ndarray
    """Those that train."""
    kept: np.ndarray
    """Those that are kept for choosing; none where the recipe has no `validation`."""
    evaluation: np.ndarray


def of_run(spec: RunSpec, images: Sequence[Image], split: Folds) -> RunImages:
    """Return the images of a run; `images` is the whole manifest.

    Raises:
        HistoBenchError: a class has too few images or groups to train on, or there is no image to evaluate.
    """
    place = images, split, spec.fold, spec.magnification
    train, test = split.rows(images, spec.fold, spec.magnification)
    if count := spec.recipe.patients_per_class:
        train = few_shot.draw(*place, count, spec.seed)
    if spec.classes:
        train, test = _of_classes(spec, images, train, test)
    trains, kept = train, train[:0]
    if share := spec.recipe.validation:
        trains, kept = validation.divide(*place, share, spec.seed)
    return RunImages(train, trains, kept, test)


def labels_of(images: Sequence[Image], classes: Sequence[str] | None) -> np.ndarray:
    """Return (N,) int64: the place of each image's class, 0 for others; without `classes`, 1 for malignant."""
    if classes is None:
        return np.array([int(image.label == "malignant") for image in images])
    place = {name: number for number, name in enumerate(classes)}
    return np.array([place.get(image.subtype, 0) for image in images])


def _of_classes(
    spec: RunSpec, images: Sequence[Image], train: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return those rows whose images are of the classes of a run."""
    classes = spec.classes or []
    chosen = np.array([image.subtype in classes for image in images])
    trains, tests = train[chosen[train]], test[chosen[test]]
    count = len({images[row].subtype for row in trains})
    if count < 2 or not len(tests):
        found = ", ".join(sorted({images[row].subtype for row in (*train, *test)}))
        raise HistoBenchError(
            f"fold {spec.fold} at {spec.magnification}x has {count} of the classes {', '.join(classes)} to train on "
            f"and {len(tests)} images of them to evaluate, expected at least two classes to train on and one image to evaluate "
            f"(the images of this fold are of {found}); correct `task` or the split"
        )
    return trains, tests
