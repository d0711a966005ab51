"""A study of several classes with the true workflow, to its page."""

import csv
import re

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from histobench.study import tasks
from tests.report import page_numbers

pytestmark = pytest.mark.slow
TYPES = tasks.SUBTYPES["breakhis"]


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_eight_types_are_trained_scored_and_reported(project):
    project.study("subtype", magnifications=(40, 100, 200, 400))
    study = project.folder / "results/studies/subtype"
    names = {path.stem for path in (study / "tables").glob("*.csv")}
    assert names == {"folds", "images", "models", "recall", "recipes", "results", "results-pooled"}
    assert {path.stem for path in (study / "figures").glob("*.svg")} == {"samples", "confusion"}

    # One slide for each type: in each fold four types evaluate that no image trains, and nothing can be resampled.
    scores = rows(study / "tables/results.csv")
    assert len(scores) == 8  # two arms, four magnifications
    folders = project.folder.glob("results/breakhis-*/runs/smolvlm/lp/patient/200x/*/seed0/fold*/predictions.csv")
    folds = [rows(path) for path in sorted(folders)]
    assert len(folds) == 2
    assert not {row["label"] for row in folds[0]} & {row["label"] for row in folds[1]}
    assert {row["label"] for fold in folds for row in fold} == set(TYPES)
    expected = {"balanced_accuracy": [], "macro_f1": []}
    for fold in folds:
        called = [TYPES[int(np.argmax([float(row[f"logit_{name}"]) for name in TYPES]))] for row in fold]
        true = [row["label"] for row in fold]
        present = {"labels": sorted(set(true)), "average": "macro", "zero_division": 0}
        expected["balanced_accuracy"].append(recall_score(true, called, **present))
        expected["macro_f1"].append(f1_score(true, called, **present))
    (own,) = (row for row in scores if (row["model"], row["magnification"]) == ("SmolVLM", "200"))
    for metric, values in expected.items():
        assert float(own[f"{metric}_estimate"]) == pytest.approx(np.mean(values), abs=5e-5)
        assert own[f"{metric}_low"] == own[f"{metric}_high"] == ""
    of_type = rows(study / "tables/recall.csv")
    assert {(row["class"], row["groups"], row["folds"]) for row in of_type} == {(name, "1", "1") for name in TYPES}
    (head,) = {row["parameters"] for row in rows(study / "parameters.csv") if row["model"] == "smolvlm"}
    assert head.isdecimal()
    assert list(rows(study / "tables/images.csv")[0])[1:9] == TYPES

    page = study / "report.html"
    assert page_numbers.check(page) > 100
    found = page_numbers.read(page)
    assert not {"comparisons", "external", "claims"} & set(found.sections)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))
    assert "Classifiers of breast histopathology images of 8 classes: A, F, PT, TA, DC, LC, MC, PC." in text
    assert "has the highest balanced accuracy, 0." in text
    assert "benign or malignant" not in text
