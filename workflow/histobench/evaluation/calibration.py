"""Calibration: how well predicted probabilities agree with the share of malignant images."""

import numpy as np

BINS = 10
"""Equal bins of probability."""


def probability(logit: np.ndarray) -> np.ndarray:
    """Return the probability of malignant for each logit."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(logit, dtype=float)))


def bins(probability: np.ndarray) -> np.ndarray:
    """Return the number of each probability's bin, from 0; a bin includes its lower edge, the last one also 1."""
    return np.minimum((np.asarray(probability) * BINS).astype(int), BINS - 1)


def reliability(label: np.ndarray, logit: np.ndarray) -> list[dict[str, float | int | None]]:
    """Return the reliability curve, a row per bin: its number from 1, edges, images, mean probability and malignant share.

    The last two of an empty bin are None. The expected calibration error (Naeini, Cooper and Hauskrecht, AAAI 2015) is the
    mean over images of the distance between the two in the image's bin.
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
