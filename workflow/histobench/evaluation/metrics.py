"""Scores of one run on one fold."""

import numpy as np

SCORES = ("accuracy", "precision", "recall", "f1", "auc")
"""The scores of Tables 4 and 5, in their order."""
PATIENT_RATE = "patient_rate"
METRICS = (*SCORES, PATIENT_RATE)


def decide(logit: np.ndarray) -> np.ndarray:
    """Return (N,) bool: called malignant, which is a probability of at least 0.5, which is a logit of at least 0."""
    return logit >= 0


def scores(label: np.ndarray, logit: np.ndarray) -> dict[str, float]:
    """Return accuracy, precision, recall and F1 at probability threshold 0.5, and the area under the ROC curve.

    All five are scikit-learn's; malignant is the positive class. Precision is 0 where nothing is called malignant.

    Args:
        label: (N,) 0 benign, 1 malignant; both must occur, since the area is undefined otherwise.
        logit: (N,) finite; equal logits of a benign and a malignant image count as half a correct order in the area.

    Raises:
        ValueError: one class does not occur.
    """
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support, roc_auc_score

    if len(np.unique(label)) != 2:
        raise ValueError("both classes must occur")
    called = decide(logit).astype(label.dtype)
    precision, recall, f1, _ = precision_recall_fscore_support(
        label,
        called,
        average="binary",
        zero_division=0,  # type: ignore[arg-type]
    )
    values = accuracy_score(label, called), precision, recall, f1, roc_auc_score(label, logit)
    return dict(zip(SCORES, map(float, values), strict=True))


def patient_rate(label: np.ndarray, logit: np.ndarray, patient: np.ndarray) -> float:
    """Return the patient-level recognition rate of Spanhol et al. 2016 (IEEE Trans. Biomed. Eng. 63(7), 1455-1462).

    Each patient's score is the share of that patient's images that are classified correctly; the rate is the mean of
    the scores over patients, so that a patient with many images weighs no more than one with few.

    Args:
        label: (N,) 0 benign, 1 malignant.
        logit: (N,), thresholded at 0.
        patient: (N,) ids.
    """
    _, index, images = np.unique(patient, return_inverse=True, return_counts=True)
    correct = np.bincount(index, weights=decide(logit) == label.astype(bool))
    return float(np.mean(correct / images))
