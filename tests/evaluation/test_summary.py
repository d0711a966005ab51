import math

import numpy as np
import pytest

from histobench.evaluation.predictions import Predictions
from histobench.evaluation.summary import METRICS_COLUMNS, SUMMARY_COLUMNS, gaps, score_run, summarise
from histobench.metrics import METRICS
from histobench.study.runs import Run


def run(model: str = "alexnet", fold: int = 1, split: str = "patient") -> Run:
    return Run("breakhis", model, "ft", split, 40, "none", fold)


def row(value: float, fold: int, model: str = "alexnet", selection: str = "last") -> dict[str, object]:
    arm = {"dataset": "breakhis", "model": model, "mode": "ft", "split": "patient", "magnification": 40}
    rest = {"augmentation": "none", "fold": fold, "selection": selection, "images": 4, "patients": 2}
    return arm | rest | dict.fromkeys(METRICS, value)


def test_a_run_is_scored_under_both_selections() -> None:
    # last: 3 of 4 right, patient p 2/2 and q 1/2 -> rate 3/4; best epoch: all right.
    predictions = Predictions(
        image_id=("1", "2", "3", "4"),
        patient=np.array(["p", "p", "q", "q"]),
        label=np.array([1, 1, 0, 0], np.int8),
        logit={"last": np.array([1.0, 2, -1, 0]), "best_epoch": np.array([1.0, 2, -1, -2])},
        fold=3,
    )
    last, best = score_run(run(fold=3), predictions)
    assert tuple(last) == tuple(best) == METRICS_COLUMNS
    assert (last["selection"], last["fold"], last["images"], last["patients"]) == ("last", 3, 4, 2)
    assert (last["accuracy"], last["patient_rate"]) == (0.75, 0.75)
    assert last["precision"] == pytest.approx(2 / 3)
    assert (best["selection"], best["accuracy"], best["patient_rate"]) == ("best_epoch", 1, 1)


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


def test_a_missing_fold_is_told() -> None:
    runs = [run(fold=fold) for fold in (1, 2, 3)] + [run("vgg19", fold=2), run(split="official", fold=1)]
    assert list(gaps(runs)) == [
        "breakhis/vgg19/ft/patient/40/none: fold 1, 3 is missing, its mean is over 1 instead of 3"
    ]
    assert list(gaps([run(model, fold) for model in ("alexnet", "vgg19") for fold in (1, 2)])) == []
