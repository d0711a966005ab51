"""Every resample against the score of the images that it stands for, drawn and scored one by one."""

import itertools

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, roc_auc_score, roc_curve

from histobench.evaluation import bootstrap, calibration
from histobench.evaluation.groups import Groups
from histobench.metrics import METRICS, patient_rate, scores

MANY = 10**7
"""Degrees of freedom enough for the quantiles to be those of the normal distribution."""


def drawn(seed: int = 0, mixed: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return label, logit and patient of some images in random order: 5 malignant, 4 benign, perhaps 2 mixed patients."""
    rng = np.random.default_rng(seed)
    patient = np.repeat([f"p{number}" for number in range(11 if mixed else 9)], rng.integers(2, 7, 11 if mixed else 9))
    number = np.array([int(name[1:]) for name in patient])
    label = np.where(number < 5, 1, np.where(number < 9, 0, np.arange(len(patient)) % 2))
    logit = np.round(rng.normal(1.5 * label - 0.6, 1.2), 1)  # rounding makes ties
    order = rng.permutation(len(patient))
    return label[order], logit[order], patient[order]


def groups_of(label: np.ndarray, patient: np.ndarray, fold: np.ndarray | int = 0) -> Groups:
    return Groups.of(patient, label, np.broadcast_to(fold, len(label)))


def scored(label: np.ndarray, logit: np.ndarray, patient: np.ndarray) -> dict[str, float]:
    """Return every pooled score by scikit-learn, or by its definition."""
    estimate = 1 / (1 + np.exp(-logit))
    error = 0.0
    for low in np.arange(10) / 10:
        here = (estimate >= low) & (estimate < low + 0.1)
        if here.any():
            error += here.mean() * abs(estimate[here].mean() - label[here].mean())
    alarms, hits, _ = roc_curve(label, logit, drop_intermediate=False)
    return scores(label, logit) | {
        "patient_rate": patient_rate(label, logit, patient),
        "balanced_accuracy": balanced_accuracy_score(label, logit >= 0),
        "ece": error,
        "sensitivity_at_95_specificity": hits[alarms <= 0.05 + 1e-12].max(),
    }


@pytest.mark.parametrize("seed", range(4))
def test_without_weights_the_scores_are_those_of_the_images(seed: int) -> None:
    label, logit, patient = drawn(seed)
    found = bootstrap.Clustered(label, logit, patient).values()
    assert tuple(found) == bootstrap.POOLED
    assert {name: float(value[0]) for name, value in found.items()} == pytest.approx(scored(label, logit, patient))


@pytest.mark.parametrize("seed", range(3))
def test_a_draw_is_the_score_of_the_patients_drawn(seed: int) -> None:
    label, logit, patient = drawn(seed)
    arm = bootstrap.Clustered(label, logit, patient)
    classes = np.array(groups_of(label, patient).classes)
    assert np.array_equal(classes, arm.classes)
    # Whole weights, so that images can be repeated: each patient as often as a draw with replacement within its class has it.
    rng = np.random.default_rng(seed)
    parts = [np.flatnonzero(classes == value) for value in np.unique(classes)]
    weights = np.zeros((25, len(classes)))
    for part in parts:
        weights[:, part] = rng.multinomial(len(part), np.full(len(part), 1 / len(part)), size=25)
    found = arm.values(weights)
    for draw, weight in enumerate(weights.astype(int)):
        # Each time that a patient is drawn, it is another patient with the same images.
        rows = [(row, copy) for row in range(len(label)) for copy in range(weight[list(arm.names).index(patient[row])])]
        index = [row for row, _ in rows]
        names = np.array([f"{patient[row]} {copy}" for row, copy in rows])
        expected = scored(label[index], logit[index], names)
        assert {name: float(value[draw]) for name, value in found.items()} == pytest.approx(expected), draw


def test_many_benign_images_leave_room_for_false_alarms() -> None:
    rng = np.random.default_rng(5)
    label, patient = np.repeat([0, 1], 200), np.repeat(np.arange(40), 10)
    logit = np.round(rng.normal(label, 1), 1)
    alarms, hits, _ = roc_curve(label, logit, drop_intermediate=False)
    found = bootstrap.Clustered(label, logit, patient).values()["sensitivity_at_95_specificity"][0]
    assert found == hits[alarms <= 0.05].max() > 0


def test_many_draws_are_scored_in_parts_with_the_same_result() -> None:
    rng = np.random.default_rng(6)
    label, patient = np.repeat([0, 1], 300), np.repeat(np.arange(60), 10)
    arm = bootstrap.Clustered(label, rng.normal(label, 1), patient)
    weights = bootstrap.resample(groups_of(label, patient), 30_000, 0)  # 300 thresholds: more than 2**23 pairs
    whole = arm.values(weights)["sensitivity_at_95_specificity"]
    halves = [arm.values(half)["sensitivity_at_95_specificity"] for half in np.array_split(weights, 2)]
    assert np.array_equal(whole, np.concatenate(halves))


def test_nothing_called_malignant_has_precision_zero() -> None:
    found = bootstrap.Clustered(np.array([0, 1]), np.array([-2.0, -1]), np.array(["a", "b"])).values()
    assert (found["precision"][0], found["f1"][0], found["recall"][0], found["auc"][0]) == (0, 0, 0, 1)


def test_groups_are_drawn_within_class_and_fold_with_an_unbiased_variance() -> None:
    # Fold 1: three malignant, two benign; fold 2: two malignant, one benign, one with both classes.
    group = np.array(list("aabbcdefghjj"))
    label = np.array([1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 1])
    fold = np.array([1] * 7 + [2] * 5)
    groups = Groups.of(group, label, fold)
    assert groups == Groups(tuple("abcdefghj"), (1, 1, 1, 2, 2, 1, 1, 2, 3), (1, 1, 1, 1, 1, 2, 2, 2, 2))
    weights = bootstrap.resample(groups, 4000, 7)
    for stratum in ([0, 1, 2], [3, 4], [5, 6], [7], [8]):
        assert weights[:, stratum].sum(axis=1) == pytest.approx(len(stratum))
    # The mean of n values has variance s^2 / n if the weights have variance 1, as those of n - 1 draws have, times
    # n / (n - 1): (n / (n - 1))^2 (n - 1) 1/n (1 - 1/n). Fourth central moment below 5; four standard errors of 4,000.
    assert weights.mean(axis=0) == pytest.approx(1, abs=4 / 4000**0.5)
    assert weights[:, :7].var(axis=0) == pytest.approx(1, abs=4 * (4 / 4000) ** 0.5)
    assert np.array_equal(weights, bootstrap.resample(groups, 4000, 7))
    assert not np.array_equal(weights, bootstrap.resample(groups, 4000, 8))
    # A group in two folds makes folds no strata.
    assert set(Groups.of(group, label, np.array([1] * 7 + [2] * 4 + [1])).folds) == {0}


@pytest.mark.parametrize(
    ("benign", "malignant", "freedom", "widening"),
    [
        # (1/4 + 4/3)^2 / (1/48 + 4/18) = 10.31
        ([4, 3, 3, 3, 3], [11, 11, 11, 11, 10], 10.3, 1.0),
        ([3, 3, 3, 3, 3], [11, 11, 11, 11, 10], 10, 1.0),
        ([16], [54], 15, 1.0),
        # A class that does not occur has no variance.
        ([], [5], 4, 1.0),
        # (1/4 + 1/3)^2 / (1/48 + 1/18) = 4.45
        ([4, 3], [], 4.5, 1.0),
        ([2, 2], [1, 1], 0, 1.0),
        # The fold with three groups has 1/3 of the variance 1 + 1/3.
        ([1, 3], [5, 5], 2, 2.0),
    ],
)
def test_freedom_is_that_of_the_smaller_class(benign, malignant, freedom, widening) -> None:
    counts = [(0, fold, count) for fold, count in enumerate(benign)]
    counts += [(1, fold, count) for fold, count in enumerate(malignant)]
    label, fold = (np.concatenate([np.full(row[2], row[at]) for row in counts]) for at in (0, 1))
    groups = Groups.of(np.array([f"g{n:02d}" for n in range(len(label))]), label, fold)
    assert groups.freedom == freedom
    assert groups.widening == pytest.approx(widening)
    assert (groups.counts["benign_groups"], groups.counts["malignant_groups"]) == (sum(benign), sum(malignant))
    ends = bootstrap.interval(0.5, np.linspace(0.4, 0.6, 99), freedom)
    assert np.isnan(ends).all() if freedom < 1 else np.isfinite(ends).all()
    assert (bootstrap.bootstrap_p(np.linspace(-1, 1, 99), freedom) is None) == (freedom < 1)


def test_a_single_group_of_a_class_widens_the_draws() -> None:
    groups = Groups(tuple("abcdef"), (2, 2, 2, 2, 1, 1), (1, 2, 2, 2, 1, 2))
    drawn = {"accuracy": np.array([0.5, 0.7, 0.85])}
    found = bootstrap.spread({"accuracy": np.array([0.7])}, drawn, groups)["accuracy"]
    assert found == pytest.approx([0.3, 0.7, 1.0])  # deviations twice as large, within 0 to 1


def test_the_seed_of_draws_is_a_fixed_hash() -> None:
    # Written down once: the same on every machine and in every version of Python.
    groups = Groups(("a", "b", "c", "d"), (1, 1, 2, 2), (1, 2, 1, 2))
    assert bootstrap.flips(groups, 2, 0).tolist() == [[-1.0, -1.0, -1.0, 1.0], [-1.0, -1.0, -1.0, -1.0]]


def swapped_by_hand(label, patient, logits, names, signs):
    """Return the difference of every score after exchanging what the arms say of some patients, one by one."""
    ranks = [stats.rankdata(logit) for logit in logits]
    turn = np.array([signs[list(names).index(name)] < 0 for name in patient])
    arms = [np.where(turn, logits[1], logits[0]), np.where(turn, logits[0], logits[1])]
    ranked = [np.where(turn, ranks[1], ranks[0]), np.where(turn, ranks[0], ranks[1])]
    values = [scores(label, arm) | {"patient_rate": patient_rate(label, arm, patient)} for arm in arms]
    aucs = [roc_auc_score(label, rank) for rank in ranked]
    return {metric: values[0][metric] - values[1][metric] for metric in METRICS} | {"auc": aucs[0] - aucs[1]}


@pytest.mark.parametrize("seed", range(3))
def test_swapping_patients_is_exchanging_their_logits(seed: int) -> None:
    label, logit, patient = drawn(seed)
    other = np.round(np.random.default_rng(seed + 50).normal(5 * label - 2, 6), 0)  # another scale
    first, second = (bootstrap.Clustered(label, values, patient) for values in (logit, other))
    signs = bootstrap.flips(groups_of(label, patient), 30, seed)
    found = first.swapped(second, signs)
    for draw, row in enumerate(signs):
        expected = swapped_by_hand(label, patient, (logit, other), first.names, row)
        assert {name: float(value[draw]) for name, value in found.items()} == pytest.approx(expected, abs=1e-12)


def test_sign_flip_p_is_near_that_of_all_swaps() -> None:
    label, logit, patient = drawn(1, mixed=False)
    other = logit + np.round(np.random.default_rng(8).normal(0.3 - 0.9 * label, 0.7), 1)
    first, second = (bootstrap.Clustered(label, values, patient) for values in (logit, other))
    every = np.array(list(itertools.product((1.0, -1.0), repeat=len(first.names))))
    all_swaps = first.swapped(second, every)
    found = bootstrap.sign_flip_p([(first, second)], bootstrap.flips(groups_of(label, patient), 20_000, 0))
    for metric in METRICS:
        exact = np.mean(np.abs(all_swaps[metric]) >= abs(all_swaps[metric][0]) - 1e-12)
        error = (exact * (1 - exact) / 20_000) ** 0.5
        assert found[metric] == pytest.approx(exact, abs=4 * error + 1 / 20_000), metric  # four standard errors
    assert 0.01 < found["auc"] < 0.9

    # Equal arms have p = 1.
    label, logit, patient = drawn()
    arm = bootstrap.Clustered(label, logit, patient)
    assert set(bootstrap.sign_flip_p([(arm, arm)], bootstrap.flips(groups_of(label, patient), 99, 0)).values()) == {1}
    assert bootstrap.bootstrap_p(np.zeros(999), 24) == 1


def test_p_of_the_bootstrap_counts_the_observed_difference_once_more() -> None:
    assert bootstrap.bootstrap_p(np.arange(1, 1000), MANY) == pytest.approx(2 / 1000, rel=1e-3)
    # Nine below 0, 0 itself, and the observed difference.
    assert bootstrap.bootstrap_p(np.arange(-9, 990), MANY) == pytest.approx(2 * 11 / 1000, rel=1e-3)
    assert bootstrap.bootstrap_p(-np.arange(1, 1000), MANY) == pytest.approx(2 / 1000, rel=1e-3)


def test_intervals_are_quantiles_and_of_the_ece_reversed() -> None:
    values = np.arange(1001) / 1000
    assert bootstrap.interval(0.4, values, MANY) == pytest.approx((0.025, 0.975), abs=1e-5)
    assert bootstrap.interval(0.6, values, MANY, "ece") == pytest.approx((0.225, 1.175), abs=1e-5)
    assert bootstrap.interval(0.4, values, MANY, "ece") == pytest.approx((0, 0.775), abs=1e-5)
    assert bootstrap.interval(0.4, values + 0.4, MANY, "ece") == pytest.approx((0, 0.4), abs=1e-5)


def test_of_few_groups_the_interval_of_a_mean_is_students() -> None:
    # Normal draws with the standard error s / sqrt(n) must give mean -+ t s / sqrt(n).
    n, s = 8, 3.0
    draws = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000) * s / n**0.5
    expected = stats.t.ppf(0.975, n - 1) * s / n**0.5
    assert bootstrap.interval(0, draws, n - 1) == pytest.approx((-expected, expected), rel=1e-3)
    # Four intervals that cover together have the tails of 0.025 / 4.
    together = stats.t.ppf(1 - 0.025 / 4, n - 1) * s / n**0.5
    assert bootstrap.interval(0, draws, n - 1, cases=4) == pytest.approx((-together, together), rel=1e-3)
    # Moved so that 0 is at its end, its p is 0.05.
    assert bootstrap.bootstrap_p(draws + expected, n - 1) == pytest.approx(0.05, rel=0.01)


def test_skewed_draws_have_other_percentiles() -> None:
    # Draws exp(0.2 w) of normal w have quantiles exp(0.2 u) where w has u = z / (1 - a z).
    w = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    drawn = np.exp(0.2 * w)
    a = stats.skew(drawn) / 6
    z = stats.t.ppf(0.975, 12)
    low, high = bootstrap.interval(1.0, drawn, 12)
    assert (np.log(low) / 0.2, np.log(high) / 0.2) == pytest.approx((-z / (1 + a * z), z / (1 - a * z)), rel=1e-3)
    for end in (low, high):  # moved so that 0 is at its end, its p is 0.05
        assert bootstrap.bootstrap_p(drawn - end, 12) == pytest.approx(0.05, rel=0.01)


def test_reliability_curve_of_six_images() -> None:
    # Probabilities 0.05, 0.05, 0.52, 0.58, 0.95, 1: bins 1, 1, 6, 6, 10, 10.
    probability = np.array([0.05, 0.05, 0.52, 0.58, 0.95])
    logit = np.append(np.log(probability / (1 - probability)), 50.0)
    label = np.array([0, 1, 0, 1, 1, 1])
    rows = calibration.reliability(label, logit)
    assert [row["images"] for row in rows] == [2, 0, 0, 0, 0, 2, 0, 0, 0, 2]
    assert (rows[5]["bin"], rows[5]["low"], rows[5]["high"]) == (6, 0.5, 0.6)
    assert [rows[index]["malignant_share"] for index in (0, 1, 5, 9)] == [0.5, None, 0.5, 1]
    assert rows[5]["mean_probability"] == pytest.approx(0.55)
    # ECE: 2/6 * 0.45 + 2/6 * 0.05 + 2/6 * 0.025
    found = bootstrap.Clustered(label, logit, np.arange(6)).values()["ece"][0]
    assert found == pytest.approx((0.45 + 0.05 + 0.025) / 3)


def test_probabilities_of_extreme_logits() -> None:
    assert calibration.probability(np.array([-800.0, 0, 800])).tolist() == [0, 0.5, 1]
    assert calibration.bins(np.array([0.0, 0.1, 0.999, 1])).tolist() == [0, 1, 9, 9]


@pytest.mark.parametrize(
    ("fold", "freedom", "widening"),
    [("bxm", 0.0, 1.0), ("bxxm", 3.0, 1.5**0.5), ("bbmm", 3.0, 1.0), ("xxx", 6.0, 1.0), ("bbxmm", 3.0, 1.5**0.5)],
)
def test_groups_with_both_classes_are_a_stratum_of_their_own(fold: str, freedom: float, widening: float) -> None:
    """A fold has groups with benign (b), malignant (m) or both (x) images; a stratum of one group does not vary."""
    names = tuple(f"{number}{place}{kind}" for number in (1, 2, 3) for place, kind in enumerate(fold))
    classes = tuple({"b": 2, "m": 1, "x": 3}[name[-1]] for name in names)
    groups = Groups(names, classes, tuple(int(name[0]) for name in names))
    assert groups.freedom == freedom
    assert groups.widening == pytest.approx(widening)


def test_a_draw_without_a_score_is_left_out_of_the_p_value() -> None:
    drawn = np.linspace(-0.2, 0.6, 400)
    assert bootstrap.bootstrap_p(np.append(drawn, np.full(400, np.nan)), 10) == bootstrap.bootstrap_p(drawn, 10)
