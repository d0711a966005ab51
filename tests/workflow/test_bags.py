"""Arms that classify patients, and joined scales, from images to the page."""

import csv
import json
from pathlib import Path

import pytest

from tests.report import page_numbers

pytestmark = pytest.mark.slow


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_patients_have_one_score_in_bags_and_votes_beside_them(project):
    project.edit("config/studies/bags.yaml", "magnifications: [40, 100, 200, 400]", "magnifications: [200]")
    project.study("bags", magnifications=(40, 100, 200, 400))
    for fold in (1, 2):
        runs = {
            mode: next(project.folder.glob(f"results/breakhis-*/runs/resnet34/{mode}/*/200x/*/seed0/fold{fold}"))
            for mode in ("lp", "lp-scales", "bag-mean", "bag-attention")
        }
        images = {mode: [row["image_id"] for row in rows(run / "predictions.csv")] for mode, run in runs.items()}
        assert all(own == images["lp"] for own in images.values())
        for mode, run in runs.items():
            logits: dict[str, set[str]] = {}
            for row in rows(run / "predictions.csv"):
                logits.setdefault(row["group"], set()).add(row["logit"])
            assert len(logits) == 4
            assert (max(map(len, logits.values())) == 1) == mode.startswith("bag")
            record = json.loads((run / "run.json").read_text())
            assert record["images"] == {"training": record["images"]["training"], "evaluation": len(images["lp"])}
            assert record["parameters"]["trainable"] == {
                # ResNet34 at a sixteenth of its width has 32 embedding dimensions.
                "lp": 32 + 1, "lp-scales": 4 * 32 + 1, "bag-mean": 32 + 1, "bag-attention": 32 + 1 + 2 * 32 * 128 + 128,
            }[mode]  # fmt: skip
    results = project.folder / "results/studies/bags"
    table = rows(results / "tables/patient-level.csv")
    assert [(row["mode"], row["rule"]) for row in table] == [
        ("lp", "mean probability"), ("lp", "vote"), ("lp-scales", "mean probability"), ("lp-scales", "vote"),
        ("bag-mean", "bag"), ("bag-attention", "bag"),
    ]  # fmt: skip
    assert all(0 <= float(row["accuracy_estimate"]) <= 1 and row["groups"] == "8" for row in table)
    caption = (results / "tables/patient-level.md").read_text()
    assert caption.startswith("**Decisions on patients.** One decision for each of the patients: means over 2 folds")
    assert "Arms that classify all images of a patient at once" in caption
    recipes = (results / "tables/recipes.md").read_text()
    assert "linear head on joined embeddings of 40×, 100×, 200×, 400×, frozen backbone (ResNet34 lp-scales)" in recipes
    sizes = {row["mode"]: row["trainable"] for row in rows(results / "parameters.csv")}
    assert sizes == {"lp": "33", "lp-scales": "129", "bag-mean": "33", "bag-attention": str(33 + 65 * 128)}
    page = results / "report.html"
    assert page_numbers.check(page) > 100
    assert '<article id="patient-level">' in page.read_text()
