"""Batches of images that are altered when they are read."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from histobench.training.data import Batches, Plan


@dataclass(frozen=True)
class Altered:
    """Source of images that a function makes, in threads; labels are 0."""

    rows: np.ndarray
    """(N,) arguments of the function."""
    make: Callable[[int], np.ndarray]
    """Row -> image, uint8 (S, S, 3): a pure function that releases Python's global lock."""
    threads: int

    @property
    def labels(self) -> np.ndarray:
        return np.zeros(len(self.rows), np.float32)

    def batches(self, plan: Plan) -> Batches:
        """Yield one pair of host tensors for each batch of the plan, in its order."""
        with ThreadPoolExecutor(self.threads) as pool:
            for _, indices in plan:
                images = np.stack(list(pool.map(self.make, self.rows[indices])))
                yield torch.from_numpy(images), torch.from_numpy(self.labels[indices])
