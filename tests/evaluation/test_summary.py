import math

import pytest

from histobench.evaluation.summary import SUMMARY_COLUMNS, summarise
from histobench.metrics import METRICS


def row(value: float, fold: int, model: str = "alexnet", selection: str = "last") -> dict[str, object]:
    arm = {"dataset": "breakhis", "model": model, "mode": "ft", "split": "patient", "magnification": 40}
    rest = {"augmentation": "none", "fold": fold, "selection": selection, "images": 4, "patients": 2}
    return arm | rest | dict.fromkeys(METRICS, value)


def test_mean_and_sample_deviation_over_folds() -> None:
    # 0.7, 0.8, 0.9: mean 0.8, squared deviations 0.01 + 0 + 0.01; over n - 1 = 2 -> 0.01, root 0.1
    (found,) = summarise([row(0.7, 1), row(0.8, 2), row(0.9, 3)])
    assert tuple(found) == SUMMARY_COLUMNS
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
