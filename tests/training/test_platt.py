"""Platt's scaling, against scikit-learn's logistic regression of weighted labels, which has the same likelihood."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from histobench.training.platt import scaling


def drawn(count: int, scale: float, offset: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    label = (random.random(count) < 0.7).astype(np.float32)
    return label, (scale * (random.normal(size=count) + 1.2 * label) + offset).astype(np.float32)


@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (30, -50), (1e-3, 2)])
def test_it_has_the_highest_likelihood_of_the_smoothed_targets(scale: float, offset: float) -> None:
    label, logit = drawn(80, scale, offset, seed=1)
    found = scaling(label, logit)
    assert found is not None
    threshold, temperature = found
    p = label.sum()
    target = np.where(label == 1, (p + 1) / (p + 2), 1 / (80 - p + 2))
    x = (logit.astype(np.float64) - offset) / scale  # the solver wants numbers near 1
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(
        np.tile(x, 2)[:, None], np.repeat([1, 0], 80), np.concatenate([target, 1 - target])
    )
    slope, intercept = reference.coef_[0, 0], reference.intercept_[0]
    assert temperature == pytest.approx(scale / slope, rel=1e-4)
    assert threshold == pytest.approx(offset - scale * intercept / slope, abs=1e-4 * scale)


def test_separated_classes_give_a_threshold_between_them_and_a_finite_temperature() -> None:
    label = np.repeat([0.0, 1.0], 20)
    found = scaling(label, np.where(label == 1, 900.0, 700.0))
    assert found is not None
    assert found[0] == pytest.approx(800)
    # Both targets, 21/22 and 1/22, are met: log(21) = 100 / temperature.
    assert found[1] == pytest.approx(100 / np.log(21))


@pytest.mark.parametrize("logit", [np.zeros(40), -np.repeat([0.0, 1.0], 20), np.tile([-3.0, 3.0], 20)])
def test_where_the_probability_does_not_rise_nothing_is_found(logit: np.ndarray) -> None:
    assert scaling(np.repeat([0.0, 1.0], 20), logit) is None
