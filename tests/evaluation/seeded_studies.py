"""Studies of one arm with several seeds, whose variances of seed, fold and group are known, because a score is a mean over groups.

The score of fold f and seed s is mean + fold[f] + seed[f, s] + the mean over classes of the mean over groups of
group[f, g] + chance[f, g, s]. `common` is the part of the seed's variance that a seed has in every fold.
"""

from dataclasses import dataclass

import numpy as np

from histobench.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Design:
    """What is drawn: standard deviations, of groups for one group."""

    seed: float = 0.02
    fold: float = 0.02
    group: float = 0.1
    chance: float = 0.05
    """Of what differs between seeds, for one group."""
    common: float = 0.0
    folds: int = 5
    seeds: int = 3
    groups: tuple[int, int] = (12, 5)
    """Benign and malignant ones of a fold."""
    mean: float = 0.8

    @property
    def classes(self) -> np.ndarray:
        return np.repeat([1, 2], self.groups)

    @property
    def weights(self) -> np.ndarray:
        """(groups,) the part of each in the score: each class has a half."""
        return 0.5 / np.repeat(self.groups, self.groups)

    @property
    def truth(self) -> tuple[float, float, float]:
        """Variance of seed, fold and group: the variance of a weighted sum of independent terms."""
        squares = float(np.sum(self.weights**2))
        return self.seed**2 + self.chance**2 * squares, self.fold**2, self.group**2 * squares


def study(rng: np.random.Generator, design: Design) -> np.ndarray:
    """Return (folds, seeds, groups): what each group contributes to the score; the score is the sum with `weights`."""
    folds, seeds, groups = design.folds, design.seeds, sum(design.groups)
    own = (1 - design.common) ** 0.5 * rng.standard_normal((folds, seeds, 1))
    every = design.common**0.5 * rng.standard_normal((1, seeds, 1))
    return (
        design.mean
        + design.fold * rng.standard_normal((folds, 1, 1))
        + design.seed * (own + every)
        + design.group * rng.standard_normal((folds, 1, groups))
        + design.chance * rng.standard_normal((folds, seeds, groups))
    )


@dataclass(frozen=True)
class Images:
    """Studies whose scores are those of images: a logit is sign * (separation + fold + seed) + group + image + chance."""

    seed: float = 0.15
    fold: float = 0.15
    group: float = 0.7
    chance: float = 0.7
    """Of what differs between seeds, for one image; that of images is 1."""
    separation: float = 0.9
    folds: int = 5
    seeds: int = 3
    groups: tuple[int, int] = (5, 12)


def predictions(rng: np.random.Generator, design: Images, folds: int | None = None) -> list[list[Predictions]]:
    """Return what each fold's model predicts, with each seed, for 6 to 18 images of each group."""
    found = []
    for fold in range(folds or design.folds):
        sizes = rng.integers(6, 19, sum(design.groups))
        label = np.repeat(np.repeat([0, 1], design.groups), sizes).astype(np.int8)
        group = np.repeat(np.arange(len(sizes)), sizes)
        shared = (design.group * rng.standard_normal(len(sizes)))[group] + rng.standard_normal(len(label))
        quality = design.separation + design.fold * rng.standard_normal()
        names = tuple(f"{fold}-{number}" for number in range(len(label)))
        logits = [
            (2 * label - 1.0) * (quality + design.seed * rng.standard_normal())
            + shared
            + design.chance * rng.standard_normal(len(label))
            for _ in range(design.seeds)
        ]
        groups = np.array([f"{fold}-{number}" for number in group])
        found.append([Predictions(names, groups, label, {"last": logit}, groups) for logit in logits])
    return found
