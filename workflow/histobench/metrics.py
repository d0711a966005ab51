"""Scores of labels and logits, in plain numpy. Training and evaluation both use them.

Malignant is the positive class. An image is called malignant where its logit is at least 0, which is a probability of at
least 0.5. Scores of several classes are at the end. Arguments are `label`, (N,) 0 benign, 1 malignant; `logit`, (N,) finite real numbers; and `patient`, (N,), the
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


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Return the logarithms of the softmax of logits (N, K), (N, K) float64."""
    logits = np.asarray(logits, dtype=np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def confusion(label: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return (K, K) the images of each class (rows) that are given each class (columns), that of the largest logit."""
    classes = logits.shape[1]
    return np.bincount(classes * label + logits.argmax(axis=1), minlength=classes**2).reshape(classes, classes)


def class_rates(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Return recall, precision and F1 of each class, (..., K), from confusion matrices (..., K, K) of counts or weights.

    All are NaN of a class without images; precision is 0 of a class with images that is never given.
    """
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    images, calls = counts.sum(axis=-1), counts.sum(axis=-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(calls > 0, hits / calls, 0.0)
        rates = {"recall": hits / images, "precision": precision, "f1": 2 * hits / (images + calls)}
    return {name: np.where(images > 0, rate, np.nan) for name, rate in rates.items()}


def class_scores(label: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """Return accuracy, balanced accuracy (mean recall), macro F1 and macro AUC, one class against the others, of several classes.

    `label`, (N,), is the place of each image's class, `logits` are (N, K). Means are over the classes that have images. The AUC
    ranks images by the probability of the class; it is NaN where all images are of one class.
    """
    label, known = np.asarray(label).astype(int), log_probabilities(logits)
    counts = confusion(label, np.asarray(logits))
    rates = class_rates(counts)
    present = np.flatnonzero(counts.sum(axis=1))
    return {
        "accuracy": float(np.trace(counts) / len(label)),
        "balanced_accuracy": float(np.nanmean(rates["recall"])),
        "macro_f1": float(np.nanmean(rates["f1"])),
        "macro_auc": float(np.mean([auc(label == one, known[:, one]) for one in present])),
    }


def class_epoch_scores(label: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """Return `validation_loss`, the mean cross-entropy in nats, and every score of :func:`class_scores`."""
    own = np.take_along_axis(log_probabilities(logits), np.asarray(label).astype(int)[:, None], axis=1)
    return {"validation_loss": float(-own.mean())} | class_scores(label, logits)
