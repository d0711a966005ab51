"""Studies about several classes: which they are, what identifies their runs, and what they refuse."""

import copy
from collections import Counter
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from histobench.datasets import bach, breakhis
from histobench.io.errors import HistoBenchError
from histobench.io.files import read_csv
from histobench.study import outputs, resolved, tasks
from histobench.study.config import Config, load

ROOT = Path(__file__).parents[2]
PAPER = yaml.safe_load((ROOT / "config/config.yaml").read_text())
BLOCK = {
    **{"dataset": "breakhis", "models": ["resnet34"], "modes": ["ft"], "splits": ["patient"]},
    **{"magnifications": [40], "augmentations": ["none"]},
}


THEIRS = {"source": "they", "file": "theirs.csv", "column": "score", "metric": "accuracy"}


def laid(block: dict | None = None, **keys) -> Config:
    config = copy.deepcopy(PAPER)
    update_config(config, {"study": "mine", "external": [], "grid": [BLOCK | (block or {})]} | keys)
    return load(config)


def test_the_subtypes_are_those_of_the_manifests():
    assert {
        "breakhis": list(breakhis.SUBTYPES),
        "bach": [subtype for _, subtype in bach.CLASSES.values()],
    } == tasks.SUBTYPES


def test_a_run_is_identified_by_its_classes():
    runs = {
        name: (
            study.key("run_key", "resnet34", "ft", "patient", "none", "breakhis", 40),
            study.specification(study.runs[0]),
        )
        for name, study in {
            "default": laid(),
            "binary": laid(task="binary"),
            "subtype": laid(task="subtype"),
            "two": laid(task={"classes": ["F", "DC"]}),
        }.items()
    }
    assert runs["default"] == runs["binary"]
    assert "classes" not in runs["binary"][1].canonical()
    assert len({key for key, _ in runs.values()}) == len({spec.canonical() for _, spec in runs.values()}) == 3
    assert runs["two"][1].classes == ["F", "DC"]
    assert (runs["subtype"][1].outputs, runs["two"][1].outputs, runs["binary"][1].outputs) == (8, 2, 1)
    features = [laid(task=task).key("feature_key", "resnet34", "none", None) for task in ("binary", "subtype")]
    assert features[0] == features[1]  # embeddings are shared by all tasks


def test_a_study_of_classes_has_its_own_outputs():
    study = resolved.resolve(laid(task="subtype"))
    assert (study.paper, list(study.classes)) == (False, tasks.SUBTYPES["breakhis"])
    assert outputs.tables(study) == ["folds", "images", "models", "recall", "recipes", "results", "results-pooled"]
    assert outputs.figures(study) == ["samples", "confusion"]


@pytest.mark.parametrize(
    ("block", "keys", "sentence"),
    [
        ({}, {"task": "subtypes"}, "task: expected 'binary' or 'subtype', found 'subtypes'"),
        ({}, {"task": {"classes": ["F"]}}, "task.classes: expected at least 2 items, found ['F']"),
        ({}, {"task": {"classes": ["F", "F"]}}, "task.classes: 'F' is named twice; name it once"),
        (
            {},
            {"task": {"classes": ["F", "a,b"]}},
            "task.classes.1: expected the name of a class, without comma and quotation mark, found 'a,b'",
        ),
        ({}, {"task": {"classes": ["F", "DCC"]}}, "task.classes: 'breakhis' has no class 'DCC'; did you mean 'DC'?"),
        (
            {"modes": ["ft-validated"]},
            {"task": "subtype"},
            "modes.ft-validated.validation: choosing epoch and threshold is about benign or malignant, not about the classes of `task`; "
            "use a mode without it",
        ),
        (
            {"magnifications": [40, 100, 200, 400]},
            {"task": "subtype", "external": PAPER["external"][:1]},
            "external: the test on another dataset is about benign or malignant, not about the classes of `task`; write `external: []`",
        ),
        (
            {},
            {"task": "subtype", "paper": True},
            "paper: the paper is about benign or malignant, not about the classes of `task`; remove this key",
        ),
        (
            {"models": ["resnet34", "vgg19"]},
            {"task": "subtype", "comparisons": {"pairs": [["resnet34/ft", "vgg19/ft"]]}},
            "comparisons.pairs: the comparison of arms is about benign or malignant, not about the classes of `task`; remove this key",
        ),
        (
            {"dataset": "mine", "magnifications": [0]},
            {"task": "subtype", "datasets": {"mine": {"format": "csv", "source": "x", "table": "x.csv"}}},
            "task: `subtype` has the classes of one format, breakhis or bach, but the grid has 'mine' of format csv; "
            "name the classes, `task: {classes: [...]}`",
        ),
        (
            {"dataset": "bach", "magnifications": [0]},
            {"task": "subtype"},
            "grid.0.dataset: most patients of 'bach' are not known; evaluate on it (`external`) instead, or give its folds "
            "(a split `by: file`)",
        ),
        (
            {},
            {"published": [THEIRS]},
            "published: stands beside scores of several classes; name them in `task`, or remove this key",
        ),
        (
            {"augmentations": ["paper"]},
            {"task": "subtype", "published": [THEIRS]},
            "published: the grid has no run on the dataset, split and augmentation of the study's own scores beside these, breakhis, "
            "patient, none; correct `dataset`, `split` or `without_augmentation` of `tables`",
        ),
        (
            {},
            {"task": "subtype", "published": [THEIRS | {"column": " "}]},
            "published.0.column: expected a single line of text, found ' '",
        ),
        (
            {},
            {"task": "subtype", "published": [THEIRS | {"source": "This study"}]},
            "published.0.source: 'This study' stands for the study's own scores; write where these are from",
        ),
        (
            {},
            {"task": "subtype", "published": [THEIRS, THEIRS | {"metric": "macro_f1"}, THEIRS | {"file": "other.csv"}]},
            "published.2.source: published.0 has 'they' with the same `metric` and `selection`; give one of them another source",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(block, keys, sentence):
    with pytest.raises(HistoBenchError) as error:
        laid(block, **keys)
    assert str(error.value) == sentence


def test_bach_trains_with_folds_that_are_given():
    given = {"theirs": {"by": "file", "file": "resources/theirs.csv", "folds": 1}}
    study = laid({"dataset": "bach", "magnifications": [0], "splits": ["theirs"]}, task="subtype", splits=given)
    assert study.classes == ["normal", "benign", "insitu", "invasive"]


def test_evas_split_has_as_many_images_as_eva_says():
    config = copy.deepcopy(PAPER)
    update_config(config, yaml.safe_load((ROOT / "config/studies/eva-4.yaml").read_text()))
    study = load(config)
    rows = read_csv(ROOT / str(study.splits["eva"].file), ["group", "set"])
    side = {row["group"]: row["set"] for row in rows}
    counts = Counter(
        side[image.patient]
        for image in breakhis.official()
        if image.magnification == 40 and image.subtype in (study.classes or [])
    )
    assert counts == {"train": 1132, "val": 339}  # docs/datasets/breakhis.md of kaiko-ai/eva


def test_evas_split_of_bach_divides_no_known_patient():
    rows = read_csv(ROOT / "resources/leaderboards/eva-bach-split.csv", ["image", "set"])
    side = {row["image"]: row["set"] for row in rows}
    counts = {
        name: Counter(image.rstrip("0123456789") for image in side if side[image] == name) for name in ("train", "val")
    }
    assert {name: sum(own.values()) for name, own in counts.items()} == {
        "train": 268,
        "val": 132,
    }  # as the docs/datasets/bach.md of eva says
    assert counts["train"] + counts["val"] == {"n": 100, "b": 100, "is": 100, "iv": 100}
    sides: dict[str, set[str]] = {}
    for image, patient in bach.known_patients().items():
        sides.setdefault(patient, set()).add(side[image])
    assert sorted(map(len, sides.values())) == [1] * 29
    assert all(image in bach.known_patients() for image in side if side[image] == "val")
