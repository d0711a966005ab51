"""Studies of two arms on the groups of BreakHis, whose true scores are known, to measure how often intervals cover them.

The accession numbers of BreakHis are drawn anew for each study, with replacement within their class, each with its slides and
their numbers of images at 200x; so there are 16 benign and 54 malignant ones. A logit is
*sign(label) x separation + shift of the model + effect of the accession number + effect of the slide + noise of the image*,
with variances that sum to 1; half of the effects and of the noise is shared by the arms. Each fold has a model of its own, with
another separation and shift. The models are fixed: true is the mean over folds of what each model scores on new groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import ndtr

from histobench.claims.published import official_census

FOLDS = 5
MAGNIFICATION = 2
"""200x: its place in the census."""


@dataclass(frozen=True)
class Design:
    """What is drawn."""

    split: str = "accession"
    """What a fold keeps together: `accession` or `slide`."""
    accession: float = 0.3
    """Variance of the effects of accession numbers."""
    slide: float = 0.2
    """Variance of the effects of slides."""
    benign: tuple[int, ...] = ()
    """Benign groups of each fold; as equal as can be by default."""


@dataclass(frozen=True)
class Study:
    """Out-of-fold predictions of two arms, and the truth."""

    groups: dict[str, np.ndarray]
    """Kind of group (`accession`, `slide` or `image`) -> (N,) ids."""
    label: np.ndarray
    fold: np.ndarray
    logits: list[np.ndarray]
    truth: list[dict[str, float]]
    """For each arm, accuracy and AUC."""


@cache
def structure() -> dict[int, list[list[int]]]:
    """Return for each label the accession numbers of BreakHis, each with the numbers of images of its slides."""
    found: dict[int, dict[str, dict[str, int]]] = {0: {}, 1: {}}
    for one in official_census():
        slides = found[int(one.malignant)].setdefault(one.accession, {})
        slides[one.slide] = slides.get(one.slide, 0) + one.images[MAGNIFICATION]
    return {label: [list(slides.values()) for slides in numbers.values()] for label, numbers in found.items()}


def study(rng: np.random.Generator, design: Design) -> Study:
    """Draw accession numbers, folds, models and logits."""
    rows: list[tuple[int, int, int]] = []  # accession number, slide and label of each image
    numbers = slides = 0
    for label, known in structure().items():
        for index in rng.integers(0, len(known), len(known)):
            for images in known[index]:
                rows += [(numbers, slides, label)] * images
                slides += 1
            numbers += 1
    accession, slide, label = np.array(rows).T
    group = accession if design.split == "accession" else slide
    fold = np.empty(len(group), dtype=int)
    for value in (0, 1):
        own = np.unique(group[label == value])
        dealt = _dealt(rng, len(own), design.benign if value == 0 else ())
        fold[label == value] = dealt[np.searchsorted(own, group[label == value])]

    def effects() -> np.ndarray:
        noise = (1 - design.accession - design.slide) ** 0.5 * rng.standard_normal(len(label))
        found = design.accession**0.5 * rng.standard_normal(numbers)[accession] + noise
        return found + design.slide**0.5 * rng.standard_normal(slides)[slide]

    shared, logits, truth = effects(), [], []
    for _ in range(2):
        separation, shift = 1.08 + 0.15 * rng.standard_normal(FOLDS), 0.2 * rng.standard_normal(FOLDS)
        logits.append((2 * label - 1) * separation[fold] + shift[fold] + (shared + effects()) / 2**0.5)
        rates = ndtr(separation - shift), ndtr(separation + shift)  # of benign and of malignant images
        images = [_groups(group, label, fold, value) * _size(design.split, value) for value in (0, 1)]
        accuracy = (images[0] * rates[0] + images[1] * rates[1]) / (images[0] + images[1])
        truth.append({"accuracy": float(accuracy.mean()), "auc": float(ndtr(2 * separation / 2**0.5).mean())})
    return Study({"accession": accession, "slide": slide, "image": np.arange(len(label))}, label, fold, logits, truth)


def _dealt(rng: np.random.Generator, groups: int, sizes: Sequence[int]) -> np.ndarray:
    """Return the fold of each group of a class."""
    folds = np.repeat(np.arange(FOLDS), sizes) if sizes else (np.arange(groups) + rng.integers(FOLDS)) % FOLDS
    return rng.permutation(folds)


def _groups(group: np.ndarray, label: np.ndarray, fold: np.ndarray, value: int) -> np.ndarray:
    """Return how many groups of a class each fold has."""
    return np.array([len(np.unique(group[(label == value) & (fold == one)])) for one in range(FOLDS)])


def _size(split: str, value: int) -> float:
    """Return the mean number of images of a group of a class."""
    known = structure()[value]
    return sum(map(sum, known)) / (len(known) if split == "accession" else sum(map(len, known)))
