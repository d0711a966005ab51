"""How often the interval of a mean over folds covers the truth; `make bench ARGS=statistics` measures more."""

import numpy as np
import pytest

from benchmarks.statistics import coverage
from histobench.evaluation import bootstrap
from histobench.evaluation.groups import Groups
from tests.evaluation.grouped_studies import Design

STUDIES = 600
ERROR = 4 * (0.05 * 0.95 / STUDIES) ** 0.5  # four standard errors of a share of 0.95: 0.036


def drawn(sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, Groups]:
    """Return means over folds of standard normal benign groups in studies, (studies,), in each draw, and the groups."""
    fold = np.tile(np.repeat(np.arange(len(sizes)), sizes), 2)  # as many malignant groups as benign ones
    label = np.repeat([0, 1], len(fold) // 2)
    groups = Groups.of(np.array([f"g{n:03d}" for n in range(len(label))]), label, fold)
    weights = bootstrap.resample(groups, 500, 0)
    values = np.random.default_rng(1).standard_normal((STUDIES, len(fold)))
    strata = [(label == 0) & (fold == number) for number in range(len(sizes))]
    means = np.mean([values[:, own].mean(axis=1) for own in strata], axis=0)
    draws = np.mean([values[:, own] @ (weights[:, own] / own.sum()).T for own in strata], axis=0)
    return means, draws, groups


@pytest.mark.parametrize("sizes", [(4, 3, 3, 3, 3), (5, 5, 5, 5, 4), (2, 3, 5, 5, 5), (1, 3, 4, 4, 4)])
def test_few_groups_in_every_fold_keep_the_level(sizes: tuple[int, ...]) -> None:
    means, draws, groups = drawn(sizes)
    widened = means[:, None] + groups.widening * (draws - means[:, None])
    ends = np.array([bootstrap.interval(m, d, groups.freedom) for m, d in zip(means, widened, strict=True)])
    covered = np.mean((ends[:, 0] <= 0) & (ends[:, 1] >= 0))
    assert covered == pytest.approx(0.95, abs=ERROR)
    # A mean over k folds of n groups each has the variance sum of 1/n over k^2. Estimates of it have a relative variance of
    # 2 / freedom, and 500 draws estimate a variance with a relative deviation of sqrt(2 / 500), for all studies at once.
    expected = np.sum(1 / np.array(sizes)) / len(sizes) ** 2
    error = 4 * (2 / groups.freedom / STUDIES + 2 / 500) ** 0.5
    assert np.mean(widened.var(axis=1)) == pytest.approx(expected, rel=error)


@pytest.mark.slow
def test_accession_numbers_cover_where_images_do_not() -> None:
    accession = coverage(Design(), "accession", 200)[:, 0]
    image = coverage(Design(), "image", 60)[:, 0]
    assert accession.min() >= 0.95 - 4 * (0.05 * 0.95 / 200) ** 0.5
    assert image.max() < 0.85
