"""The groups that the bootstrap resamples (patients or accession numbers): their strata, counts and degrees of freedom."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

CLASSES = {"benign": 2, "malignant": 1}
"""Class -> its bit in :attr:`Groups.classes`."""


@dataclass(frozen=True)
class Groups:
    """The groups of a dataset that are resampled, and what is held fixed: the numbers of groups of each stratum."""

    names: tuple[str, ...]
    """Sorted."""
    classes: tuple[int, ...]
    """Which classes each has, as :attr:`histobench.evaluation.bootstrap.Clustered.classes`."""
    folds: tuple[int, ...]
    """The fold in which each is evaluated; 0 for all if one is evaluated in several, so that folds are no strata."""

    @classmethod
    def of(cls, group: np.ndarray, label: np.ndarray, fold: np.ndarray) -> "Groups":
        """Return the groups of images: (N,) their ids, 0 benign and 1 malignant, and the folds that evaluate them."""
        names, index = np.unique(group, return_inverse=True)
        classes = np.zeros(len(names), dtype=int)
        for value in (0, 1):
            classes[index[np.asarray(label) == value]] += 2 - value
        folds = np.zeros(len(names), dtype=int)
        folds[index] = fold
        strata = folds if np.array_equal(folds[index], fold) else np.zeros_like(folds)
        return cls(*(tuple(values.tolist()) for values in (names, classes, strata)))

    @property
    def described(self) -> list[str]:
        """Return each group with its classes and its fold, as text."""
        return [str(group) for group in zip(self.names, self.classes, self.folds, strict=True)]

    def per_fold(self, name: str) -> np.ndarray:
        """Return (folds,) how many groups have images of a class; a group with both classes counts in both."""
        folds = np.unique(self.folds, return_inverse=True)[1]
        return np.bincount(folds, np.array(self.classes) & CLASSES[name], folds.max() + 1).astype(int) // CLASSES[name]

    def _strata(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return for each stratum of :func:`histobench.evaluation.bootstrap.resample` that has groups of a class two counts, each (strata,).

        The first is of its groups, the second of all groups of the class in the same fold.
        """
        folds, classes = np.unique(self.folds, return_inverse=True)[1], np.array(self.classes)
        kinds = [np.bincount(folds[classes == kind], minlength=folds.max() + 1) for kind in (CLASSES[name], 3)]
        own = np.concatenate(kinds)
        return own[own > 0], np.tile(sum(kinds), 2)[own > 0]

    @cached_property
    def freedom(self) -> float:
        """Return the degrees of freedom of the variance of a mean over folds, of the class with fewer, to one decimal.

        A class that does not occur has none: of images of one class they are those of that class.

        Where groups vary alike, a stratum of m of a fold's n groups adds v = m / n^2 to the variance. The degrees are those
        of Satterthwaite (Biometrics Bulletin 2, 1946, 110-114): (sum of v)^2 over the sum of v^2 / (m - 1), over strata of
        m > 1 groups. With k equal folds they are the number of groups less k; if folds are no strata, less 1; and 0 if
        every stratum is a single group.
        """
        found = []
        for m, n in filter(lambda counts: len(counts[0]), map(self._strata, CLASSES)):
            v, m = (m / n**2)[m > 1], m[m > 1]
            found.append(np.sum(v) ** 2 / np.sum(v**2 / (m - 1)) if len(m) else 0.0)
        return round(float(min(found)), 1)

    @property
    def counts(self) -> dict[str, float]:
        """Return the columns of tables that say how many groups there are, of each class too, and the freedom."""
        of_class = {f"{name}_groups": int(self.per_fold(name).sum()) for name in CLASSES}
        return {"groups": len(self.names), **of_class, "freedom": self.freedom}

    @cached_property
    def widening(self) -> float:
        """Return by how much deviations are too small, because nothing varies where a stratum is a single group.

        The draws have only the part of the variance, as :attr:`freedom` adds it up, of strata of two groups or more. The
        factor is the root of the larger ratio of the two classes, at least 1.
        """
        ratios = [1.0]
        for m, n in map(self._strata, CLASSES):
            if len(m) and m.max() > 1:
                ratios.append(float(np.sum(m / n**2) / np.sum((m / n**2)[m > 1])))
        return max(ratios) ** 0.5
