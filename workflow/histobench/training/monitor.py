"""Scores of an epoch for the training history, in plain numpy so that a training job starts quickly.

The tables' scores are computed from the predictions, by `histobench.evaluation.metrics`; a test holds the two together.
"""

import numpy as np


def scores(labels: np.ndarray, logits: np.ndarray, patients: np.ndarray) -> dict[str, float]:
    """Return the scores of one epoch on the evaluation images, the decision being malignant where the logit is >= 0.

    Args:
        labels: (N,) 0 benign, 1 malignant.
        logits: (N,) real numbers.
        patients: (N,) the patient of each image.

    Returns:
        `validation_loss` (mean binary cross-entropy in nats), `accuracy`, `precision`, `recall`, `f1` (the last three 0
        where undefined), `auc` (NaN when a class is absent) and `patient_rate`.
    """
    labels, logits = np.asarray(labels) > 0.5, np.asarray(logits, dtype=np.float64)
    called = logits >= 0
    hits, calls, positives = (int(np.count_nonzero(which)) for which in (called & labels, called, labels))
    return {
        "validation_loss": float(np.mean(np.logaddexp(0, logits) - logits * labels)),
        "accuracy": float(np.mean(called == labels)),
        "precision": hits / calls if calls else 0.0,
        "recall": hits / positives if positives else 0.0,
        "f1": 2 * hits / (calls + positives) if calls + positives else 0.0,
        "auc": auc(labels, logits),
        "patient_rate": patient_rate(called == labels, patients),
    }


def auc(labels: np.ndarray, logits: np.ndarray) -> float:
    """Return the area under the ROC curve from mid-ranks (Mann-Whitney U); NaN when a class is absent."""
    labels = np.asarray(labels, dtype=bool)
    positives = np.count_nonzero(labels)
    negatives = len(labels) - positives
    if not positives or not negatives:
        return float("nan")
    _, value, count = np.unique(logits, return_inverse=True, return_counts=True)
    mid_rank = np.cumsum(count) - (count - 1) / 2
    return float((mid_rank[value][labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def patient_rate(correct: np.ndarray, patients: np.ndarray) -> float:
    """Return the patient recognition rate: the mean over patients of the share of a patient's images called correctly.

    Spanhol, Oliveira, Petitjean and Heutte, "A dataset for breast cancer histopathological image classification", IEEE
    Transactions on Biomedical Engineering 63(7), 2016, equations 1 and 2.
    """
    _, patient, images = np.unique(patients, return_inverse=True, return_counts=True)
    return float(np.mean(np.bincount(patient, weights=correct) / images))
