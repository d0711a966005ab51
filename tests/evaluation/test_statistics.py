"""Against scipy where it has the test, brute force or a hand-worked value where it has not."""

import itertools

import numpy as np
import pytest
from scipy import stats

from histobench.evaluation import statistics


@pytest.mark.parametrize("seed", range(6))
def test_wilcoxon_without_ties_is_scipys_exact_one(seed: int) -> None:
    differences = np.random.default_rng(seed).normal(0.2, 1, size=5 + seed)
    assert statistics.wilcoxon(differences).p == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue)


def test_wilcoxon_of_five_folds_has_floor_one_sixteenth() -> None:
    assert statistics.wilcoxon([0.01, 0.02, 0.05, 0.04, 0.03]) == (0.0625, 0.0625)
    # One of five differences has the other sign, and is the smallest: rank sums 14 and 1, 2 * 2/32.
    assert statistics.wilcoxon([-0.01, 0.02, 0.05, 0.04, 0.03]) == (0.125, 0.0625)


@pytest.mark.parametrize(
    "differences", [[0.1, 0.1, -0.1, 0.2, 0.3], [0.2, 0.2, 0.2, 0.2, -0.2], [0.1, 0.0, 0.3, -0.2, 0.1]]
)
def test_wilcoxon_with_ties_and_zeros_counts_all_signs(differences: list[float]) -> None:
    values = np.array([value for value in differences if value])
    ranks = stats.rankdata(np.abs(values))
    sums = [sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign) for signs in
            itertools.product((0, 1), repeat=len(values))]  # fmt: skip
    observed = ranks[values > 0].sum()
    p = 2 * min(np.mean(np.array(sums) <= observed), np.mean(np.array(sums) >= observed))
    assert statistics.wilcoxon(differences) == pytest.approx((min(1, p), 2 / 2 ** len(values)))


def test_wilcoxon_takes_rounding_errors_for_ties() -> None:
    assert statistics.wilcoxon([0.3 - 0.1, 0.2, 0.2, 0.2, 0.2 + 1e-16]).p == 0.0625
    assert statistics.wilcoxon([0.1 + 0.2 - 0.3] * 5) == (1, 1)


def test_nadeau_bengio_worked_out_by_hand() -> None:
    # Mean 0.06; squared deviations 0.0016 + 0.0004 + 0 + 0.0004 + 0.0016 = 0.004, over 4: 0.001.
    # Variance 0.001 * (1/5 + 1/4) = 0.00045, t = 0.06 / sqrt(0.00045) = sqrt(8).
    # With 4 degrees of freedom P(T <= t) = 1/2 + 3/8 * a * (1 - a^2 / 12), a = t / sqrt(1 + t^2 / 4).
    a = 8**0.5 / 3**0.5
    statistic, p = statistics.nadeau_bengio([0.02, 0.04, 0.06, 0.08, 0.10], 0.25)
    assert statistic == pytest.approx(8**0.5)
    assert p == pytest.approx(2 * (0.5 - 3 / 8 * a * (1 - a**2 / 12)))


def test_nadeau_bengio_without_shared_training_images_is_the_paired_t() -> None:
    first, second = np.random.default_rng(1).random((2, 7))
    assert tuple(statistics.nadeau_bengio(first - second, 0)) == pytest.approx(tuple(stats.ttest_rel(first, second)))


def test_differences_that_do_not_vary_have_no_t_and_no_effect_size() -> None:
    assert statistics.nadeau_bengio([0.1, 0.1, 0.1], 0.25) == (None, None)
    assert statistics.effect_size([0.1, 0.1, 0.1]) is None
    assert statistics.effect_size([0.1]) is None


def test_effect_size_is_mean_over_deviation() -> None:
    assert statistics.effect_size([0.02, 0.04, 0.06, 0.08, 0.10]) == pytest.approx(0.06 / 0.001**0.5)


def test_holm_worked_out_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04 -> not below the one before: 0.06.
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    # In a declared family of six the same four are multiplied by 6, 5, 4, 3.
    assert statistics.holm([0.01, 0.04, 0.03, 0.005], 6) == pytest.approx([0.05, 0.12, 0.12, 0.03])
    assert statistics.holm([0.5, 0.9]) == [1, 1]
    assert statistics.holm([]) == []


def test_mcnemar_is_the_binomial_test_of_discordant_images() -> None:
    first = np.array([True] * 40 + [True] * 9 + [False] * 2 + [False] * 5)
    second = np.array([True] * 40 + [False] * 9 + [True] * 2 + [False] * 5)
    assert statistics.mcnemar(first, second) == pytest.approx(stats.binomtest(2, 11, 0.5).pvalue)
    assert statistics.mcnemar(second, first) == statistics.mcnemar(first, second)
    assert statistics.mcnemar(first, first) == 1


def test_delong_is_the_covariance_of_its_u_statistics() -> None:
    # The definition, image by image: V10 of each malignant and V01 of each benign image, their 2 x 2 covariances over
    # the two arms, and the variance of the difference under the contrast (1, -1). Rounding makes ties.
    rng = np.random.default_rng(2)
    label = np.array([1] * 14 + [0] * 9)
    logits = np.round(rng.normal(label, 1, (2, 23)), 1)

    def order(malignant: float, benign: float) -> float:
        return 1.0 if malignant > benign else 0.5 if malignant == benign else 0.0

    v10 = [[np.mean([order(x, y) for y in arm[label == 0]]) for x in arm[label == 1]] for arm in logits]
    v01 = [[np.mean([order(x, y) for x in arm[label == 1]]) for y in arm[label == 0]] for arm in logits]
    contrast = np.array([1, -1])
    variance = contrast @ (np.cov(v10) / 14 + np.cov(v01) / 9) @ contrast
    z = (np.mean(v10[0]) - np.mean(v10[1])) / variance**0.5
    assert tuple(statistics.delong(label, *logits)) == pytest.approx((z, 2 * stats.norm.sf(abs(z))))
    assert statistics.delong(label, logits[0], logits[0]) == (None, None)
    assert statistics.delong(label, logits[0], 3 * logits[0] - 1) == (None, None)


def test_placements_and_midranks() -> None:
    above, exceeded = statistics.placements(np.array([2.0, 0.5, -1]), np.array([1.0, -2, 0.5, 0.5]))
    assert above.tolist() == [4, 2, 1]  # 0.5 beats -2 and ties twice
    assert exceeded.tolist() == [1, 3, 1.5 + 0.0, 1.5]  # 1 < 2; -2 < all; 0.5 < 2 and ties 0.5
    assert statistics.midranks(np.array([3.0, 1, 3, 2])).tolist() == stats.rankdata([3, 1, 3, 2]).tolist()
