"""Which studies are about the paper, and what the report of the others has and has not."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from histobench.study import outputs, paper, resolved
from histobench.study.config import load
from histobench.study.recipes import Recipe
from histobench.tools import pack
from tests.study.test_config import with_change
from tests.study.test_malformed import PAPER, merged

OWN = merged("config/studies/own-data.yaml")
RESNET34 = [{**PAPER["grid"][0], "models": ["resnet34"]}]
DENSENET = {"label": "DenseNet121", "architecture": "torchvision/densenet121"}


def changed(*changes: tuple[str, Any], config: dict = PAPER) -> resolved.Study:
    for key, value in changes:
        config = with_change(key, value, config)
    return resolved.resolve(load(config))


def scales(*names: str) -> list[tuple[str, Any]]:
    return [(f"external.{block}.scales", list(names)) for block in (0, 1)]


def test_every_arm_of_the_papers_study_is_the_papers() -> None:
    study = changed()
    assert study.paper
    assert paper.arms(study) == study.arms
    assert paper.is_augmentation(study, 4)
    assert paper.is_augmentation(study, 5)


@pytest.mark.parametrize(
    ("name", "about"),
    [("demo", True), ("sample", True), ("studies/ladder", True), ("studies/own-data", False)],
)
def test_trials_of_the_paper_say_so_and_own_data_are_no_footnote(name: str, about: bool) -> None:
    study = resolved.resolve(load(merged(f"config/{name}.yaml")))
    assert study.paper == about
    assert bool(paper.arms(study)) == (name == "studies/ladder")


@pytest.mark.parametrize(
    "changes",
    [
        [("modes.ft.epochs", 5)],
        [("modes.ft.validation", 0.15)],
        [("models.resnet34.training", {"ft": {"learning_rate": 3e-4}})],
        [("models.resnet34.image_size", 224)],
        [("models.resnet34.weights", "random")],
        [("models.resnet34.architecture", "torchvision/resnet50")],
        [("models.resnet34.label", "Ours")],
        [("splits.patient.folds", 10)],
        [("splits.patient.by", "image")],
        [("datasets.breakhis.complete", False)],
        [("datasets.breakhis", {"synthetic": {"magnifications": [40, 100, 200, 400]}})],
        [("tables", {**PAPER["tables"], "split": "image"})],
        [("models.densenet", DENSENET), ("grid.0.models", ["densenet"])],
    ],
    ids=str,
)
def test_one_thing_that_is_not_the_papers_and_no_number_of_the_paper_is_shown(changes: list[tuple[str, Any]]) -> None:
    study = changed(("grid", copy.deepcopy(RESNET34)), ("external", []), *changes)
    assert not study.paper
    rows = [{"model": "ResNet34", "mode": "ft", "magnification": "40"}]
    for table in (4, 5):
        assert paper.published(rows, table, study) == []


def test_published_values_stand_beside_the_papers_arms_alone() -> None:
    study = changed(("models.alexnet.training", {"ft": {"epochs": 3}}), ("models.vgg19.label", "VGG"))
    assert study.paper
    rows = [
        {"model": name, "mode": mode} for name in ("AlexNet", "VGG19", "ResNet34", "SmolVLM") for mode in ("ft", "lp")
    ]
    assert [(row["model"], row["mode"]) for row in paper.published(rows, 4, study)] == [
        *(("ResNet34", "ft"), ("SmolVLM", "ft"), ("SmolVLM", "lp"))
    ]
    assert [row["model"] for row in paper.published(rows[::2], 2, study)] == ["ResNet34", "SmolVLM"]
    pairs = [{"first": "SmolVLM", "second": other} for other in ("ResNet34", "AlexNet")]
    assert paper.published(pairs, 7, study) == pairs[:1]
    # Another list of augmentations than the paper's has no published table, and neither has another external dataset.
    assert paper.published(rows, 5, changed(("augmentations.paper", [{"HorizontalFlip": {"p": 0.5}}]))) == []
    assert paper.published(rows, 6, changed(("datasets.bach", OWN["datasets"]["elsewhere"]), *scales("squashed"))) == []
    assert paper.published(rows, 6, changed()) != []
    assert paper.published(rows, 6, changed(*scales("matched"))) == []


def test_a_study_of_own_data_has_names_by_content() -> None:
    augmented = {**OWN["grid"][0], "augmentations": ["none", "paper"], "models": ["resnet34", "alexnet"]}
    study = changed(("grid", [augmented]), config=OWN)
    tables = outputs.tables(study)
    assert {"models", "recipes", "images", "results", "results-augmented-best-epoch-intervals", "pairs"} < set(tables)
    assert {"external", "external-results", "external-results-intervals", "scores"} < set(tables)
    names = [*tables, *outputs.figures(study)]
    assert not [name for name in names if any(character.isdigit() for character in name) or "published" in name]
    assert "claims" not in outputs.results(study)
    assert outputs.title(study, "table4") == "Scores, augmentation none"
    assert outputs.title(study, "figure5") == "Accuracy of every arm"
    # Each file is of the same kind as the paper's: nothing of it is left out but what compares with the paper.
    kinds = {outputs.papers(name) for name in tables}
    about = changed(("grid", [augmented]), ("paper", True), config=OWN)
    assert kinds == {name for name in outputs.tables(about) if "published" not in name and name != "table7-honest"}
    assert [outputs.papers(name) for name in outputs.figures(study)] == outputs.figures(about)
    # Figures that show images are not packed, whatever they are called.
    assert {*outputs.pictured(study), *outputs.pictured(about)} == set(pack.SAMPLES)
    # Images of BACH must not be passed on.
    theirs = replace(study, datasets={**study.datasets, study.dataset: {"format": "bach", "synthetic": None}})
    assert outputs.is_private(theirs, "error-pictures")
    assert not outputs.is_private(study, "error-pictures")
    assert outputs.numbered("results-augmented-best-epoch-intervals") == (5, "best_epoch")
    assert outputs.numbered("table4") == (4, "last")
    assert outputs.numbered("external-results-intervals") == (6, "last")


def test_tables_of_kept_groups_and_of_a_stricter_split_are_there_where_the_study_has_them() -> None:
    paper_study = changed()
    assert paper_study.stricter == ["accession"]
    assert "table4-strict" in outputs.tables(paper_study)
    assert not [name for name in outputs.tables(paper_study) if "validation" in name]
    assert "ladder" in outputs.figures(paper_study)
    ladder = resolved.resolve(load(merged("config/studies/ladder.yaml")))
    names = [name for name in outputs.tables(ladder) if "validation" in name]
    assert names == ["table4-validation", "table4-validation-beside-published", "table4-validation-intervals"]
    assert outputs.numbered("table4-validation-intervals") == (4, "validation")
    own = resolved.resolve(load(merged("tests/workflow/tiny.yaml") | {"paper": None}))
    assert {"results-strict", "results-validation", "results-validation-intervals"} <= {*outputs.tables(own)}
    assert [outputs.papers(name) for name in ("results-strict", "results-validation")] == [
        "table4-strict",
        "table4-validation",
    ]
    alone = changed(("grid", PAPER["grid"][:2]))
    assert (alone.stricter, "ladder" in outputs.figures(alone)) == ([], False)


def test_the_papers_runs_are_counted_apart_from_those_under_a_stricter_split() -> None:
    assert paper.counted(changed()) == "340 training runs (280 as in the paper, 60 under split accession)"
    assert paper.counted(changed(("grid", PAPER["grid"][:2]))) == "280 training runs"
    ladder = resolved.resolve(load(merged("config/studies/ladder.yaml")))
    assert paper.counted(ladder) == (
        "120 training runs (20 as in the paper, 40 under split accession, 40 under split image, 20 others)"
    )


def test_the_specification_of_a_run_without_kept_groups_does_not_mention_them() -> None:
    before = Recipe(epochs=3).model_dump(mode="json")
    assert "validation" not in before
    assert Recipe(epochs=3, validation=0.2).model_dump(mode="json") == before | {"validation": 0.2}
