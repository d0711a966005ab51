"""How well the probabilities of malignant agree with how often images are malignant."""

import numpy as np

BINS = 10
"""Equal bins of probability."""


def probability(logit: np.ndarray) -> np.ndarray:
    """Return the probabilities of malignant that logits stand for."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(logit, dtype=float)))


def bins(probability: np.ndarray) -> np.ndarray:
    """Return the number of each probability's bin, from 0; a bin holds its lower edge, the last one also 1."""
    return np.minimum((np.asarray(probability) * BINS).astype(int), BINS - 1)


def reliability(label: np.ndarray, logit: np.ndarray) -> list[dict[str, float | int | None]]:
    """Return the reliability curve: a row per bin, with bin (from 1), its edges, images, and two shares.

    `mean_probability` and `malignant_share` of an empty bin are None. The expected calibration error (Naeini, Cooper and
    Hauskrecht, AAAI 2015) is the mean over images of the distance between the two in the image's bin.

    Args:
        label: (N,) 0 benign, 1 malignant.
        logit: (N,) finite.
    """
    estimate = probability(logit)
    index = bins(estimate)
    images = np.bincount(index, minlength=BINS)
    sums = [np.bincount(index, weights=values, minlength=BINS) for values in (estimate, np.asarray(label, dtype=float))]
    return [
        {
            "bin": number + 1,
            "low": number / BINS,
            "high": (number + 1) / BINS,
            "images": int(images[number]),
            "mean_probability": float(sums[0][number] / images[number]) if images[number] else None,
            "malignant_share": float(sums[1][number] / images[number]) if images[number] else None,
        }
        for number in range(BINS)
    ]
