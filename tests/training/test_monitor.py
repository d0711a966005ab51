import numpy as np
import pytest
from sklearn import metrics

from histobench.evaluation import metrics as of_tables
from histobench.training.monitor import auc, patient_rate, scores


@pytest.mark.parametrize("seed", range(20))
def test_scores_are_those_of_scikit_learn(seed):
    random = np.random.default_rng(seed)
    count = int(random.integers(4, 200))
    labels = random.permutation(np.arange(count) % 3 == 0).astype(np.float32)
    # Few distinct values: ties, and logits of exactly 0.
    logits = (random.integers(-4, 5, count) / 2 + labels * (seed % 3)).astype(np.float32)
    called = 1 / (1 + np.exp(-logits)) >= 0.5
    found = scores(labels, logits, np.arange(count) % 4)
    assert found["validation_loss"] == pytest.approx(metrics.log_loss(labels, 1 / (1 + np.exp(-logits.astype(float)))))
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(labels, called))
    assert found["precision"] == pytest.approx(metrics.precision_score(labels, called, zero_division=0))
    assert found["recall"] == pytest.approx(metrics.recall_score(labels, called))
    assert found["f1"] == pytest.approx(metrics.f1_score(labels, called))
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(labels, logits))


def test_the_history_and_the_tables_agree():
    random = np.random.default_rng(5)
    labels, logits = random.integers(0, 2, 60), random.integers(-3, 4, 60).astype(np.float32)
    patients = random.integers(0, 7, 60).astype(str)
    tables = of_tables.scores(labels, logits) | {"patient_rate": of_tables.patient_rate(labels, logits, patients)}
    history = scores(labels, logits, patients)
    assert {name: history[name] for name in tables} == pytest.approx(tables)


def test_nothing_called_malignant_gives_zeros_and_no_warning():
    found = scores(np.array([0, 1, 1, 0]), np.array([-1.0, -2, -3, -4]), np.array(["a", "a", "b", "b"]))
    assert (found["precision"], found["recall"], found["f1"], found["accuracy"]) == (0, 0, 0, 0.5)


def test_a_missing_class_has_no_auc_and_a_huge_logit_a_finite_loss():
    found = scores(np.array([1, 1]), np.array([-1e4, 2.0]), np.array(["a", "b"]))
    assert np.isnan(found["auc"])
    assert np.isnan(auc(np.array([0, 0]), np.array([1.0, 2.0])))
    assert found["validation_loss"] == pytest.approx((1e4 + np.log1p(np.exp(-2))) / 2)


def test_patient_rate_weighs_patients_not_images():
    correct = np.array([True, True, True, False, False, True])
    assert patient_rate(correct, np.array(["x", "x", "x", "x", "y", "z"])) == pytest.approx((3 / 4 + 0 + 1) / 3)
