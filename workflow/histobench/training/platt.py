"""Threshold and temperature of logits, from images that did not train: Platt's scaling."""

import numpy as np

MAX_STEPS, MIN_STEP, TOLERANCE = 100, 1e-10, 1e-10


def scaling(label: np.ndarray, logit: np.ndarray) -> tuple[float, float] | None:
    """Return threshold and temperature with which sigmoid((logit - threshold) / temperature) fits the labels best.

    The fit has the highest likelihood of the targets (P + 1) / (P + 2) of P malignant images and 1 / (B + 2) of B benign ones,
    which keep it finite where the logits separate the classes (Platt, "Probabilistic outputs for support vector machines",
    1999). It is found by Newton's method with backtracking (Lin, Lin and Weng, "A note on Platt's probabilistic outputs for
    support vector machines", Machine Learning 68, 2007).

    Args:
        label: (N,) 0 benign, 1 malignant; both occur.
        logit: (N,) finite.

    Returns:
        None where the fit does not rise with the logit, so that no temperature is positive.
    """
    positive, x = np.asarray(label) > 0.5, np.asarray(logit, dtype=np.float64)
    center, spread = x.mean(), x.std() or 1.0
    x = (x - center) / spread  # so that the tolerances do not depend on the scale of the logits
    p, b = int(positive.sum()), int((~positive).sum())
    target = np.where(positive, (p + 1) / (p + 2), 1 / (b + 2))

    def loss(line: np.ndarray) -> float:
        return float(np.mean(np.logaddexp(0, line) - target * line))

    design = np.stack([x, np.ones_like(x)])
    found = np.array([0.0, np.log((p + 1) / (b + 1))])
    for _ in range(MAX_STEPS):
        line = found @ design
        probability = (1 + np.tanh(line / 2)) / 2
        gradient = design @ (probability - target) / len(x)
        if np.abs(gradient).max() < TOLERANCE:
            break
        hessian = design * (probability * (1 - probability)) @ design.T / len(x) + 1e-12 * np.eye(2)
        step, size = np.linalg.solve(hessian, gradient), 1.0
        before, slope = loss(line), gradient @ step
        while size >= MIN_STEP and loss((found - size * step) @ design) > before - 1e-4 * size * slope:
            size /= 2
        if size < MIN_STEP:
            break  # as near as the precision of the loss allows
        found = found - size * step
    if found[0] <= TOLERANCE:
        return None
    return float(center - spread * found[1] / found[0]), float(spread / found[0])
