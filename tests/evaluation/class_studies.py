"""Simulated studies of several classes whose true scores are known: how often do the intervals cover them?

Eight classes have the numbers of slides of BreakHis's types, 4 to 12 images each, and five folds that are dealt within class. A logit
of a class is its separation for images of the class (0.9 to 2.6), plus an effect of the slide and noise of the image, both normal
with a variance of a half. All folds have one model. The true value of a fold's mean is that of the classes that it has.

    PYTHONPATH=workflow:. python tests/evaluation/class_studies.py STUDIES
"""

import sys

import numpy as np

from histobench.evaluation.class_predictions import ClassPredictions
from histobench.evaluation.class_scores import score
from histobench.metrics import class_rates, confusion
from histobench.study.runs import Run

SLIDES = (4, 10, 3, 7, 37, 5, 9, 6)
FOLDS = 5
SEPARATION = np.linspace(0.9, 2.6, 8)[[3, 6, 1, 4, 7, 0, 5, 2]]
CLASSES = list("ABCDEFGH")


def images(rng: np.random.Generator, slides: np.ndarray, each: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels (N,), logits (N, 8) and slides (N,) of `slides` (S,), which are of these classes, with `each` (S,) images."""
    index = np.repeat(np.arange(len(slides)), each)
    label = slides[index]
    effect = rng.normal(size=(len(slides), 8)) * 0.5**0.5
    logits = effect[index] + rng.normal(size=(len(index), 8)) * 0.5**0.5
    logits[np.arange(len(index)), label] += SEPARATION[label]
    return label, logits, index


def study(rng: np.random.Generator) -> tuple[dict[Run, ClassPredictions], list[np.ndarray]]:
    """Return the predictions of a study's folds, and the classes of each fold."""
    slides = np.repeat(np.arange(8), SLIDES)
    fold = np.concatenate([rng.permutation(np.arange(count) + rng.integers(FOLDS)) % FOLDS for count in SLIDES])
    label, logits, index = images(rng, slides, rng.integers(4, 13, len(slides)))
    runs, present = {}, []
    for number in range(FOLDS):
        own = fold[index] == number
        names, group = tuple(map(str, np.flatnonzero(own))), index[own].astype(str)
        part = ClassPredictions(names, group, label[own], {"last": logits[own], "best_epoch": logits[own]})
        runs[Run("d", "m", "lp", "patient", 40, "none", 0, number + 1)] = part
        present.append(np.unique(label[own]))
    return runs, present


def coverage(studies: int, draws: int = 400, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Return the share of studies whose interval covers the true score, and its mean width."""
    rng = np.random.default_rng(seed)
    label, logits, _ = images(rng, np.repeat(np.arange(8), 20_000), np.ones(160_000, int))
    recall = class_rates(confusion(label, logits))["recall"]
    found: dict[str, list[tuple[bool, float]]] = {}
    for number in range(studies):
        runs, present = study(rng)
        rows = score(runs, CLASSES, {"patient": "patient"}, draws, number)
        of = {(row["class"], row["metric"]): row for row in rows if row["selection"] == "last"}
        truths = {
            "balanced accuracy, mean over folds": np.mean([recall[own].mean() for own in present]),
            "balanced accuracy, pooled": recall.mean(),
            **{f"recall, {slides} slides": recall[SLIDES.index(slides)] for slides in (3, 5, 10, 37)},
        }
        for name, truth in truths.items():
            row = of[
                ("all", "balanced_accuracy")
                if "balanced" in name
                else (CLASSES[SLIDES.index(int(name.split()[1]))], "recall")
            ]
            low, high = (row[f"fold_mean_{end}" if "folds" in name else end] for end in ("low", "high"))
            found.setdefault(name, []).append((low is not None and low <= truth <= high, (high or 0) - (low or 0)))
    return {name: tuple(np.mean(several, axis=0)) for name, several in found.items()}  # type: ignore[misc]


if __name__ == "__main__":
    for name, (share, width) in coverage(int(sys.argv[1])).items():
        print(f"{name}: {share:.3f} ({width:.3f})")
