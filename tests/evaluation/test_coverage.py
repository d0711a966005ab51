"""How often the interval of a mean over folds covers the truth; `make bench ARGS=statistics` measures more."""

import numpy as np
import pytest

from benchmarks.statistics import coverage
from histobench.evaluation import bootstrap
from tests.evaluation.grouped_studies import Design

STUDIES = 600
ERROR = 4 * (0.05 * 0.95 / STUDIES) ** 0.5  # four standard errors of a share of 0.95: 0.036


def drawn(sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, bootstrap.Groups]:
    """Return the means over folds of standard normal groups in many studies, (studies,), in each draw, and the groups."""
    fold = np.repeat(np.arange(len(sizes)), sizes)
    # As many malignant groups as benign ones; the score is that of the benign ones.
    label = np.repeat([0, 1], len(fold))
    groups = bootstrap.Groups.of(np.array([f"g{n:03d}" for n in range(len(label))]), label, np.tile(fold, 2))
    weights = bootstrap.resample(groups, 500, 0)[:, : len(fold)]
    values = np.random.default_rng(1).standard_normal((STUDIES, len(fold)))
    per_fold = [(values[:, fold == f], weights[:, fold == f]) for f in range(len(sizes))]
    means = np.mean([part.mean(axis=1) for part, _ in per_fold], axis=0)
    draws = np.mean([part @ (own / own.sum(axis=1, keepdims=True)).T for part, own in per_fold], axis=0)
    return means, draws, groups


@pytest.mark.parametrize("sizes", [(4, 3, 3, 3, 3), (5, 5, 5, 5, 4), (2, 3, 5, 5, 5), (1, 3, 4, 4, 4)])
def test_few_groups_in_every_fold_keep_the_level(sizes: tuple[int, ...]) -> None:
    means, draws, groups = drawn(sizes)
    widened = means[:, None] + groups.widening * (draws - means[:, None])
    ends = np.array([bootstrap.interval(m, d, groups.freedom) for m, d in zip(means, widened, strict=True)])
    covered = np.mean((ends[:, 0] <= 0) & (ends[:, 1] >= 0))
    assert covered == pytest.approx(0.95, abs=ERROR)
    # The variance of a mean over folds of n groups each is the mean of 1/n over k. Estimates of it deviate by sqrt(2 / freedom).
    assert np.mean(widened.var(axis=1)) == pytest.approx(
        np.mean(1 / np.array(sizes)) / len(sizes), rel=4 * (2 / groups.freedom / STUDIES) ** 0.5
    )


@pytest.mark.slow
def test_accession_numbers_cover_where_images_do_not() -> None:
    accession = coverage(Design(), "accession", 200)[:, 0]
    image = coverage(Design(), "image", 60)[:, 0]
    assert accession.min() >= 0.95 - 4 * (0.05 * 0.95 / 200) ** 0.5
    assert image.max() < 0.85
