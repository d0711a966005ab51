"""Known shares of variance are found again, and draws with training variance keep the level of their interval."""

import numpy as np
import pytest

from histobench.evaluation.bootstrap import interval, resample
from histobench.evaluation.groups import Groups
from histobench.evaluation.predictions import Predictions
from histobench.evaluation.variance import COLUMNS, components, left_out, variances, with_training_variance
from histobench.study.runs import Run
from tests.evaluation.seeded_studies import Design, study

SPLITS = {"patient": {"by": "patient", "folds": 2, "unit": "patient"}}


def estimated(values: np.ndarray, design: Design) -> tuple[float, float, float]:
    """Return what is estimated from the contributions of a study's groups."""
    weights, factors = left_out(design.classes)
    replicates = values @ (weights * design.weights).T
    return components(values @ design.weights, list(replicates), [factors] * design.folds)


@pytest.mark.parametrize(
    "design",
    [
        Design(),
        Design(seed=0.0, chance=0.0, seeds=2),
        Design(fold=0.0, groups=(3, 2)),
        Design(seed=0.05, group=0.0, folds=2),
    ],
    ids=["all", "no seed", "no fold, few groups", "no group, two folds"],
)
def test_the_mean_of_the_estimates_is_the_truth(design: Design) -> None:
    rng, count = np.random.default_rng(0), 1200
    found = np.array([estimated(study(rng, design), design) for _ in range(count)])
    error = found.std(axis=0, ddof=1) / count**0.5
    # One of twelve normal deviates is beyond 4 with a probability of 0.0008.
    assert np.all(np.abs(found.mean(axis=0) - design.truth) <= 4 * error + 1e-12)


@pytest.mark.parametrize("common", [0.0, 0.5], ids=["independent folds", "half of it in all folds"])
def test_an_interval_with_training_variance_keeps_its_level(common: float) -> None:
    design = Design(seed=0.03, chance=0.0, fold=0.0, common=common, groups=(12, 12))
    rng, count, draws = np.random.default_rng(1), 120, 300
    where, label = np.repeat(range(design.folds), sum(design.groups)), np.tile(design.classes == 1, design.folds)
    groups = Groups.of(np.array([f"{number:03}" for number in range(len(where))]), label, where)
    weights = resample(groups, draws, 0)
    missed = {"with": 0, "without": 0}
    for number in range(count):
        values = study(rng, design)
        scores = values @ design.weights
        drawn = weights @ (values.mean(axis=1) * design.weights).ravel() / design.folds
        several = {"without": drawn, "with": with_training_variance(drawn, scores, str(number))}
        for name, one in several.items():
            low, high = interval(float(scores.mean()), one, groups.freedom)
            missed[name] += not low <= design.mean <= high
    # Of 120 intervals that each miss with a probability of 0.05, 6 +- 2.4 do; 4 of these deviations above are 15.5.
    assert missed["with"] <= 15
    assert missed["without"] > missed["with"]


def test_of_equal_seeds_and_one_seed_the_draws_stay() -> None:
    drawn = np.linspace(0.5, 0.6, 100)
    assert with_training_variance(drawn, np.array([[0.5], [0.6]]), "arm") is drawn
    np.testing.assert_allclose(with_training_variance(drawn, np.full((2, 3), 0.5), "arm"), drawn)
    scores = np.array([[0.4, 0.6], [0.5, 0.7]])
    first, again, other = (with_training_variance(drawn, scores, name) for name in ("arm", "arm", "another"))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.min() >= 0
    assert first.max() <= 1


def test_an_only_group_of_its_class_is_never_left_out() -> None:
    weights, factors = left_out(np.array([1, 1, 1, 2]))
    assert weights.tolist() == [[0, 1.5, 1.5, 1], [1.5, 0, 1.5, 1], [1.5, 1.5, 0, 1]]
    assert factors == pytest.approx([2 / 3] * 3)


def run(seed: int, fold: int, model: str = "vgg19") -> Run:
    return Run("small", model, "ft", "patient", 40, "none", seed, fold)


def predictions(wrong: int) -> Predictions:
    """Return 2 benign and 2 malignant patients of 5 images, of which the first `wrong` are called the other class."""
    label = np.repeat([0, 0, 1, 1], 5).astype(np.int8)
    logit = np.where(label == 1, 1.0, -1.0) * np.where(np.arange(20) < wrong, -1, 1)
    return Predictions(
        tuple(map(str, range(20))), np.repeat(["a", "b", "c", "d"], 5), label, {"last": logit, "best_epoch": logit}
    )


def test_rows_are_of_arms_with_several_seeds_and_all_their_runs() -> None:
    # Accuracies 1 and 0.9 of fold 1, 0.9 and 0.8 of fold 2.
    runs = {run(seed, fold): predictions(2 * (seed + fold - 1)) for seed in (0, 1) for fold in (1, 2)}
    runs |= {run(0, fold, "alexnet"): predictions(0) for fold in (1, 2)}
    found = variances(list(runs), runs, SPLITS)
    assert {row["model"] for row in found} == {"vgg19"}
    assert {row["selection"] for row in found} == {"last", "best_epoch"}
    row = next(row for row in found if row["metric"] == "accuracy")
    assert tuple(row) == COLUMNS
    assert (row["seeds"], row["folds"], row["unit"]) == (2, 2, "patient")
    assert row["seed_variance"] == pytest.approx(0.005)  # of 1 and 0.9, and of 0.9 and 0.8
    # Benign patients a and b: the accuracy without a is 10 + 10 correct of 20, less 2 for each of b's wrong images.
    # (fold 1, seeds 0 and 1): a 0 and 2 wrong, b none; (fold 2): a 2 and 4 wrong, b none. The estimate is 1 - a / 20,
    # without a it is 1 and without b 1 - 2 a / 20: deviations of a / 20 each, times the factor 1 / 2.
    single = np.mean([(wrong / 20) ** 2 for wrong in (0, 2, 2, 4)])
    averaged = np.mean([(1 / 20) ** 2, (3 / 20) ** 2])
    assert row["group_variance"] == pytest.approx(2 * averaged - single)
    between = np.var([0.95, 0.85], ddof=1)
    assert row["fold_variance"] == pytest.approx(between - (2 * averaged - single) - 0.005 / 2)
    assert sum(float(str(row[f"{source}_share"])) for source in ("seed", "fold", "group")) == pytest.approx(1)
    missing = {one: part for one, part in runs.items() if one != run(1, 2)}
    assert variances(list(runs), missing, SPLITS) == []


def test_scores_without_variance_have_no_shares() -> None:
    runs = {run(seed, fold): predictions(0) for seed in (0, 1) for fold in (1, 2)}
    for row in variances(list(runs), runs, SPLITS):
        assert [row[f"{source}_share"] for source in ("seed", "fold", "group")] == [None] * 3


def test_few_runs_do_not_make_the_skewness_random() -> None:
    """A t of 2 degrees of freedom has no third moment: ends of intervals must not depend on its few largest values."""
    drawn = np.random.default_rng(0).normal(0.6, 0.03, 10_000)
    scores = np.array([[0.55, 0.62], [0.58, 0.65]])
    lows = [interval(0.6, with_training_variance(drawn, scores, "an arm", seed), 20)[0] for seed in range(12)]
    assert max(lows) - min(lows) < 0.06
