import math

import pytest

from histobench.evaluation.summary import GROUPS, SUMMARY_COLUMNS, few_groups, summarise
from histobench.metrics import METRICS


def row(value: float, fold: int, model: str = "alexnet", selection: str = "last") -> dict[str, object]:
    arm = {"dataset": "breakhis", "model": model, "mode": "ft", "split": "patient", "magnification": 40}
    rest = {"augmentation": "none", "fold": fold, "selection": selection, "images": 4}
    return arm | rest | dict.fromkeys(METRICS, value)


def test_mean_and_sample_deviation_over_folds() -> None:
    # 0.7, 0.8, 0.9: mean 0.8, squared deviations 0.01 + 0 + 0.01; over n - 1 = 2 -> 0.01, root 0.1
    (found,) = summarise([row(0.7, 1), row(0.8, 2), row(0.9, 3)])
    assert set(found) == set(SUMMARY_COLUMNS) - {*GROUPS, "few_groups"}
    assert found["folds"] == 3
    for metric in METRICS:
        assert found[f"{metric}_mean"] == pytest.approx(0.8, abs=1e-12)
        assert found[f"{metric}_std"] == pytest.approx(0.1, abs=1e-12)
    (found,) = summarise([row(0.7, 1)])
    assert found["accuracy_mean"] == 0.7
    assert found["accuracy_std"] is None


def test_arms_and_selections_are_kept_apart_and_in_order() -> None:
    rows = [row(0.5, 1, "vgg19"), row(1.0, 1, "vgg19", "best_epoch"), row(0.2, 1), row(0.4, 2), row(0.7, 2, "vgg19")]
    found = summarise(rows)
    assert [(item["model"], item["selection"], item["folds"]) for item in found] == [
        ("vgg19", "last", 2),
        ("vgg19", "best_epoch", 1),
        ("alexnet", "last", 2),
    ]
    # two values x, y: the sample deviation is |x - y| / sqrt(2)
    assert found[0]["auc_std"] == pytest.approx(0.2 / math.sqrt(2), abs=1e-12)
    assert found[2]["auc_std"] == pytest.approx(0.2 / math.sqrt(2), abs=1e-12)


def test_folds_with_few_groups_of_a_class_are_named() -> None:
    # Fold 1 has five benign groups and four malignant ones, fold 2 has six of each, fold 3 four benign ones, of which one twice.
    numbers = {(1, 0): "abcde", (1, 1): "fghi", (2, 0): "jklmno", (2, 1): "pqrstu", (3, 0): "vwxyy", (3, 1): "12345"}
    images = [(fold, group, label) for (fold, label), groups in numbers.items() for group in groups]
    assert few_groups(images) == "benign: 4 in fold 3; malignant: 4 in fold 1"
    assert few_groups(images[9:21]) == ""
