"""Embeddings of several magnifications joined, image by image."""

from collections.abc import Mapping, Sequence

import numpy as np

from histobench.datasets.folds import Folds
from histobench.datasets.manifest import Image
from histobench.io.errors import HistoBenchError
from histobench.study.run_files import resampled_with


def join(
    images: Sequence[Image], folds: Folds, fold: int, magnification: int, embeddings: Mapping[int, np.ndarray]
) -> np.ndarray:
    """Return (M, D times magnifications): the embedding of each image and the mean ones of its group at the others, ascending.

    BreakHis's images of one patient at several magnifications are not of one field of view, so that only groups, not images,
    correspond. An image that evaluates is joined with all of its own group at the other magnifications: this uses no label.

    Args:
        images: the whole manifest.
        folds: of a policy that keeps groups (:func:`resampled_with`) on one side of a fold.
        fold: number of the fold, from 1.
        magnification: that of the M images.
        embeddings: for each magnification (images there, D) in manifest order.

    Raises:
        HistoBenchError: a group has no image at another magnification.
    """
    train, test = (side[:, fold - 1] for side in folds.sides(images))
    group = np.array([resampled_with(image, folds.policy) for image in images])
    assert not set(group[train]) & set(group[test]), "a group is on both sides of the fold"
    scale = np.array([image.magnification for image in images])
    parts = [embeddings[magnification]]
    for other in sorted(embeddings.keys() - {magnification}):
        names, index = np.unique(group[scale == other], return_inverse=True)
        wanted = group[scale == magnification]
        if lacking := sorted(set(wanted) - set(names)):
            raise HistoBenchError(
                f"scales: {lacking[0]} has images at {magnification}x but none at {other}x ({len(lacking)} such groups); "
                f"take {other} out of the mode's `scales`, or give these images"
            )
        sums = np.zeros((len(names), embeddings[other].shape[1]))
        np.add.at(sums, index, embeddings[other])
        means = sums / np.bincount(index)[:, None]
        parts.append(means[np.searchsorted(names, wanted)])
    return np.concatenate(parts, axis=1).astype(np.float32)
