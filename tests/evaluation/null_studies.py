"""Small studies of two arms, to measure how often tests reject.

Both arms are ridge regressions, fitted on four folds of patients and evaluated on the fifth; or, if nothing is to be
trained, the sums of their features. Each sees features of its
own, sign(label) * separation + effect of the patient + noise, half of whose variance the two arms share. With equal
separation the arms are interchangeable, so that every rejection is a false one.
"""

from dataclasses import dataclass

import numpy as np

FOLDS = 5
FEATURES = 6


@dataclass(frozen=True)
class Design:
    """What is drawn."""

    malignant: int = 58
    benign: int = 24
    """Patients of each class."""
    images: int = 12
    """Mean number of images of a patient; each has between half and one and a half times as many."""
    patient_effect: float = 0.7
    """Standard deviation of the patients' effects on a feature, where that of the images is 1."""
    separation: float = 0.5
    advantage: float = 0.0
    """What is added to the separation of the first arm."""
    trained: bool = True
    """Whether the arms are trained, so that chance in the training images is in their difference too."""


@dataclass(frozen=True)
class Study:
    """Out-of-fold predictions of two arms."""

    patient: np.ndarray
    label: np.ndarray
    fold: np.ndarray
    logits: tuple[np.ndarray, np.ndarray]


def study(rng: np.random.Generator, design: Design) -> Study:
    """Draw patients, images and folds, train both arms on every fold, and predict what was left out."""
    classes = np.repeat([1, 0], [design.malignant, design.benign])
    fold_of = np.concatenate([rng.permutation(np.arange(count) % FOLDS) for count in (design.malignant, design.benign)])
    sizes = rng.integers(design.images // 2, design.images + design.images // 2 + 1, len(classes))
    patient = np.repeat(np.arange(len(classes)), sizes)
    label, fold = classes[patient], fold_of[patient]
    sign = 2.0 * label[:, None] - 1

    def normal(rows: int) -> np.ndarray:
        return rng.standard_normal((rows, FEATURES)) / 2**0.5

    shared = design.patient_effect * normal(len(classes))[patient] + normal(len(patient))
    logits = []
    for advantage in (design.advantage, 0.0):
        own = design.patient_effect * normal(len(classes))[patient] + normal(len(patient))
        x = np.column_stack([sign * (design.separation + advantage) + shared + own, np.ones(len(patient))])
        logit = x[:, :-1].sum(axis=1)
        for number in range(FOLDS if design.trained else 0):
            train, test = fold != number, fold == number
            gram = x[train].T @ x[train] + np.eye(FEATURES + 1)
            logit[test] = x[test] @ np.linalg.solve(gram, x[train].T @ sign[train, 0])
        logits.append(logit)
    return Study(patient, label, fold, (logits[0], logits[1]))
