"""Decisions on patients: votes of images and scores of bags, worked out by hand."""

import numpy as np
import pytest

from histobench.evaluation.patient_level import by_patient, patient_level
from histobench.evaluation.pooling import Arm
from histobench.evaluation.predictions import Predictions
from histobench.study.runs import Run

SPLITS = {"patient": {"by": "patient", "folds": 2, "unit": "patient"}}
LOGITS = {  # fold -> patient -> label and logits
    1: {"a": (0, [-3.0, 0.5, 0.5]), "b": (1, [2.0, -1.0]), "c": (0, [-1.0]), "d": (1, [0.25, 0.25])},
    2: {"e": (0, [1.0, -4.0]), "f": (1, [-0.5, -0.5, 3.0]), "g": (0, [-2.0, -2.0]), "h": (1, [1.0])},
}


def run(mode: str, fold: int, bag: bool) -> tuple[Run, Predictions]:
    rows = [
        (f"{name}{number}", name, label, sum(logits) if bag else logit)
        for name, (label, logits) in LOGITS[fold].items()
        for number, logit in enumerate(logits)
    ]
    images, groups, labels, logits = zip(*rows, strict=True)
    found = Predictions(
        images, np.array(groups), np.array(labels, np.int8), {"last": np.array(logits)}, np.array(groups)
    )
    return Run("d", "m", mode, "patient", 200, "none", 0, fold), found


def test_votes_mean_probabilities_and_bags_are_counted_by_patient():
    runs = dict(run(mode, fold, mode == "bag") for mode in ("lp", "bag") for fold in (1, 2))
    rows = patient_level(list(runs), runs, SPLITS, {("m", "bag")}, 200, 0)
    found = {(row["mode"], row["rule"]): (row["accuracy_estimate"], row["auc_estimate"]) for row in rows}
    # Vote: a 2/3 (wrong), b 1/2 (right), c 0, d 1; e 1/2 (wrong), f 1/3 (wrong), g 0, h 1.
    # Mean probability: a (0.047 + 2 * 0.622) / 3 = 0.431, b (0.881 + 0.269) / 2 = 0.575, c 0.269, d 0.562;
    # e (0.731 + 0.018) / 2 = 0.375, f (2 * 0.378 + 0.953) / 3 = 0.569, g 0.119, h 0.731.
    # Bag: a -2, b 1, c -1, d 0.5; e -3, f 2, g -4, h 1.
    assert found == {
        ("lp", "mean probability"): (1.0, 1.0),
        ("lp", "vote"): pytest.approx(((3 / 4 + 2 / 4) / 2, (3 / 4 + 3 / 4) / 2)),
        ("bag", "bag"): (1.0, 1.0),
    }
    assert {(row["unit"], row["groups"], row["benign_groups"], row["folds"], row["seeds"]) for row in rows} == {
        ("patient", 8, 4, 2, 1)
    }
    (vote,) = (row for row in rows if row["rule"] == "vote")
    assert 0 <= vote["accuracy_low"] < vote["accuracy_estimate"] < vote["accuracy_high"] <= 1


def test_a_patient_is_one_row_whatever_its_number_of_images():
    images = ((1, "x1", "x", 1, "x"), (1, "x2", "x", 1, "x"), (1, "y1", "y", 0, "y"))
    arm = Arm(Run("d", "m", "lp", "patient", 200, "none", 0, 1), images, {"last": np.array([[3.0, -3.0, -1.0]])}, True)
    voted = by_patient(arm, "vote")
    assert [row[2] for row in voted.images] == ["x", "y"]
    assert voted.logit["last"].tolist() == [[0.0, -0.5]]
