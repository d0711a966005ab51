"""Scores of labels and logits, in plain numpy. Training and evaluation both use them.

Malignant is the positive class. An image is called malignant where its logit is at least 0, which is a probability of at
least 0.5. Arguments are `label`, (N,) 0 benign, 1 malignant; `logit`, (N,) finite real numbers; and `patient`, (N,), the
patient of each image. Tests compare every score with scikit-learn's.
"""

import numpy as np

SCORES = ("accuracy", "precision", "recall", "f1", "auc")
"""The scores of Tables 4 and 5, in their order."""
PATIENT_RATE = "patient_rate"
METRICS = (*SCORES, PATIENT_RATE)


def decide(logit: np.ndarray) -> np.ndarray:
    """Return (N,) bool: whether each image is called malignant."""
    return logit >= 0


def scores(label: np.ndarray, logit: np.ndarray) -> dict[str, float]:
    """Return accuracy, precision, recall, F1 and the area under the ROC curve.

    Precision, recall and F1 are 0 where they are undefined; the area is NaN where a class does not occur.
    """
    positive, called = np.asarray(label) > 0.5, decide(np.asarray(logit))
    hits, calls, positives = (int(np.count_nonzero(which)) for which in (called & positive, called, positive))
    return {
        "accuracy": float(np.mean(called == positive)),
        "precision": hits / calls if calls else 0.0,
        "recall": hits / positives if positives else 0.0,
        "f1": 2 * hits / (calls + positives) if calls + positives else 0.0,
        "auc": auc(positive, logit),
    }


def auc(label: np.ndarray, logit: np.ndarray) -> float:
    """Return the area under the ROC curve, to the last digit that of scikit-learn; NaN where a class does not occur.

    Trapezoids are summed between the corners of the curve, so equal logits of a benign and a malignant image count half.
    """
    positive = np.asarray(label) > 0.5
    if positive.all() or not positive.any():
        return float("nan")
    order = np.argsort(-np.asarray(logit), kind="stable")
    threshold = np.append(np.flatnonzero(np.diff(np.asarray(logit)[order])), len(order) - 1)
    hits = np.cumsum(positive[order])[threshold]
    alarms = threshold + 1 - hits
    corner = np.concatenate([[True], (np.diff(hits, 2) != 0) | (np.diff(alarms, 2) != 0), [True]])[: len(hits)]
    true_rate, false_rate = (np.append(0, count[corner]) / count[-1] for count in (hits, alarms))
    return float(np.trapezoid(true_rate, false_rate))


def patient_rate(label: np.ndarray, logit: np.ndarray, patient: np.ndarray) -> float:
    """Return the patient recognition rate: the mean over patients of the share of a patient's images called correctly.

    Spanhol, Oliveira, Petitjean and Heutte, "A dataset for breast cancer histopathological image classification", IEEE
    Transactions on Biomedical Engineering 63(7), 2016, equations 1 and 2.
    """
    _, index, images = np.unique(patient, return_inverse=True, return_counts=True)
    correct = np.bincount(index, weights=decide(np.asarray(logit)) == (np.asarray(label) > 0.5))
    return float(np.mean(correct / images))


def cross_entropy(label: np.ndarray, logit: np.ndarray) -> float:
    """Return the mean binary cross-entropy in nats, finite for any finite logit."""
    positive, logit = np.asarray(label) > 0.5, np.asarray(logit, dtype=np.float64)
    return float(np.mean(np.logaddexp(0, logit) - logit * positive))


def all_scores(label: np.ndarray, logit: np.ndarray, patient: np.ndarray) -> dict[str, float]:
    """Return every score of :data:`METRICS`."""
    return scores(label, logit) | {PATIENT_RATE: patient_rate(label, logit, patient)}


def epoch_scores(label: np.ndarray, logit: np.ndarray, patient: np.ndarray) -> dict[str, float]:
    """Return `validation_loss` and every score of one epoch."""
    return {"validation_loss": cross_entropy(label, logit)} | all_scores(label, logit, patient)
