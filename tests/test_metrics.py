import numpy as np
import pytest
from sklearn import metrics

from histobench.metrics import METRICS, SCORES, cross_entropy, decide, patient_rate, scores


def test_scores_of_six_images_worked_out_by_hand() -> None:
    # label  1    1    1    0    0    0
    # logit  2    0.5 -1    1   -2   -3
    # called 1    1    0    1    0    0      -> TP 2, FN 1, FP 1, TN 2
    # accuracy 4/6, precision 2/3, recall 2/3, F1 2/3
    # AUC: pairs (malignant above benign): 2 beats 1, -2, -3; 0.5 loses to 1, beats two; -1 loses to 1, beats two -> 7/9
    label = np.array([1, 1, 1, 0, 0, 0], np.int8)
    logit = np.array([2, 0.5, -1, 1, -2, -3])
    assert scores(label, logit) == pytest.approx(
        {"accuracy": 4 / 6, "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "auc": 7 / 9}, abs=1e-15
    )


def test_logit_zero_is_probability_one_half_and_called_malignant() -> None:
    assert decide(np.array([-1e-9, 0.0, -0.0, 1e-9])).tolist() == [False, True, True, True]


def test_precision_is_zero_where_nothing_is_called_malignant() -> None:
    found = scores(np.array([1, 0]), np.array([-1.0, -2]))
    assert (found["precision"], found["recall"], found["f1"]) == (0, 0, 0)
    assert (found["accuracy"], found["auc"]) == (0.5, 1)


def test_one_class_has_no_area() -> None:
    assert np.isnan(scores(np.array([1, 1]), np.array([1.0, -1]))["auc"])


def test_patient_rate_weighs_patients_not_images() -> None:
    # Patient b: 1 of 1 right; patient a: 1 of 4 right; patient c: 1 of 2 right.
    # Rate (1 + 1/4 + 1/2) / 3 = 7/12, accuracy 3/7.
    patient = np.array(["b", "a", "a", "a", "a", "c", "c"])
    label = np.array([1, 0, 0, 0, 0, 1, 1])
    logit = np.array([1, -1, 1, 1, 1, 0, -1.0])
    assert patient_rate(label, logit, patient) == pytest.approx(7 / 12, abs=1e-15)
    assert scores(label, logit)["accuracy"] == pytest.approx(3 / 7, abs=1e-15)


def test_values_are_plain_numbers_in_the_order_of_the_tables() -> None:
    found = scores(np.array([1, 0]), np.array([1.0, -1]))
    assert tuple(found) == SCORES == ("accuracy", "precision", "recall", "f1", "auc")
    assert (*SCORES, "patient_rate") == METRICS
    assert {type(value) for value in found.values()} == {float}


@pytest.mark.parametrize("seed", range(20))
def test_scores_are_those_of_scikit_learn(seed) -> None:
    random = np.random.default_rng(seed)
    count = int(random.integers(4, 200))
    label = random.permutation(np.arange(count) % 3 == 0).astype(np.float32)
    # Few distinct values: ties, and logits of exactly 0.
    logit = (random.integers(-4, 5, count) / 2 + label * (seed % 3)).astype(np.float32)
    called = 1 / (1 + np.exp(-logit)) >= 0.5
    found = scores(label, logit)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(label, called))
    assert found["precision"] == pytest.approx(metrics.precision_score(label, called, zero_division=0))
    assert found["recall"] == pytest.approx(metrics.recall_score(label, called))
    assert found["f1"] == pytest.approx(metrics.f1_score(label, called))
    assert found["auc"] == metrics.roc_auc_score(label, logit)  # bit for bit
    expected = metrics.log_loss(label, 1 / (1 + np.exp(-logit.astype(float))))
    assert cross_entropy(label, logit) == pytest.approx(expected)


def test_a_huge_logit_has_a_finite_loss() -> None:
    assert cross_entropy(np.array([1, 1]), np.array([-1e4, 2.0])) == pytest.approx((1e4 + np.log1p(np.exp(-2))) / 2)
