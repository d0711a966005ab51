"""Bags of embeddings: the images of one group (a patient or an accession number) on one side of a fold."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from histobench.io.errors import HistoBenchError
from histobench.training.data import Batches, Plan


@dataclass(frozen=True)
class Bags:
    """Source of whole bags over stored embeddings, in the order of their names."""

    array: np.ndarray
    """(V, M, D): one view for all epochs, or one for each."""
    members: list[np.ndarray]
    """For each of B bags, which of the M rows it has."""
    labels: np.ndarray
    """(B,) float32, 0 benign, 1 malignant."""

    @property
    def rows(self) -> np.ndarray:
        """Return which of the M rows are in any bag."""
        return np.concatenate(self.members)

    def batches(self, plan: Plan) -> Batches:
        """Yield for each batch of the plan its bags (B, N, D), filled up with NaN to the largest, and their labels (B,)."""
        for epoch, indices in plan:
            view = self.array[epoch - 1 if len(self.array) > 1 else 0]
            bags = [torch.from_numpy(view[self.members[index]]) for index in indices]
            yield pad_sequence(bags, batch_first=True, padding_value=torch.nan), torch.from_numpy(self.labels[indices])


def bags_of(array: np.ndarray, rows: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> tuple[Bags, np.ndarray]:
    """Return the bags of images, and (N,) which bag each image is in.

    Args:
        array: (V, M, D) embeddings.
        rows: (N,) which of the M rows are the images.
        labels: (N,) float32.
        groups: (N,) the group of each image.

    Raises:
        HistoBenchError: a group has images of both classes.
    """
    names, first, index = np.unique(groups, return_index=True, return_inverse=True)
    if (mixed := labels != labels[first][index]).any():
        raise HistoBenchError(
            f"bag: {groups[mixed][0]} has images of both classes, but all images of a bag have one label; leave `bag` out of the mode"
        )
    members = [rows[index == place] for place in range(len(names))]
    return Bags(array, members, labels[first]), index
