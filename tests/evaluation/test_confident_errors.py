"""The most confident errors of arms, picked by hand from a few logits."""

from dataclasses import replace

import numpy as np

from histobench.evaluation.confident_errors import MOST, by_arm
from histobench.evaluation.predictions import Predictions
from histobench.report.tables.confident_errors_table import drawn_arms, errors_table
from histobench.study.runs import Run
from tests.report.studies import study

RUN = Run("breakhis", "alexnet", "ft", "patient", 200, "none", 0, 1)


def predicted(images: str, labels: list[int], logits: list[float]) -> Predictions:
    logit = {"last": np.array(logits), "best_epoch": np.zeros(len(logits))}
    return Predictions(tuple(images), np.array([f"p{name}" for name in images]), np.array(labels, np.int8), logit)


def test_errors_of_all_folds_are_ordered_by_the_size_of_the_mean_logit_over_seeds() -> None:
    runs = {
        replace(RUN, seed=1): predicted("abcd", [0, 1, 0, 1], [5.0, -1.0, -9.0, -2.0]),
        RUN: predicted("abcd", [0, 1, 0, 1], [1.0, -3.0, 8.0, 3.0]),
        replace(RUN, fold=2): predicted("ae", [0, 1], [2.5, 0.0]),  # official folds share images; 0 is malignant
        replace(RUN, mode="lp"): predicted("ab", [0, 1], [-1.0, 1.0]),
    }
    found = by_arm(runs)
    # Of fold 1 in the mean: a 3 (benign), b -2 (malignant), c -0.5 and d 0.5 are right.
    assert [(error.image_id, error.run.fold, error.logit) for error in found["alexnet", "ft"]] == [
        *(("a", 1, 3.0), ("a", 2, 2.5), ("b", 1, -2.0)),
    ]
    first = found["alexnet", "ft"][0]
    assert (first.run, first.group, first.label, first.key) == (RUN, "pa", 0, "alexnet/ft/1/a")
    assert np.isclose(first.probability, 0.952574)
    assert found["alexnet", "lp"] == []
    table = errors_table(found, study())
    assert [row["probability"] for row in table.rows] == ["0.9526", "0.9241", "0.1192"]
    assert [row["label"] for row in table.rows] == ["benign", "benign", "malignant"]
    assert "200×, split policy patient" in table.caption


def test_ten_errors_are_listed_and_the_best_four_arms_drawn() -> None:
    many = predicted("abcdefghijklm", [0] * 13, [float(n) for n in range(13)])
    assert [error.logit for error in by_arm({RUN: many})["alexnet", "ft"]] == [12.0 - n for n in range(MOST)]
    place = {
        "dataset": "breakhis",
        "split": "patient",
        "augmentation": "none",
        "magnification": "200",
        "selection": "last",
    }
    scores = {
        ("alexnet", "ft"): 0.7,
        ("resnet34", "ft"): 0.9,
        ("smolvlm", "lp"): 0.8,
        ("smolvlm", "ft"): 0.85,
        ("vgg19", "ft"): 0.1,
    }
    rows = [
        {**place, "model": model, "mode": mode, "accuracy_mean": str(value)} for (model, mode), value in scores.items()
    ]
    rows += [{**rows[-1], "magnification": "40", "accuracy_mean": "1"}]
    keys = [arm.key for arm in drawn_arms(rows, study())]
    assert keys == [("resnet34", "ft"), ("smolvlm", "ft"), ("smolvlm", "lp"), ("alexnet", "ft")]
