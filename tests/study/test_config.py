"""The configuration: what the default study is, and one sentence for each mistake."""

import copy
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from histobench.io.errors import HistoBenchError
from histobench.study import dataset_settings, grid_settings, model_settings, paths, recipes, spec, stress_settings
from histobench.study.config import Config, load
from histobench.study.resolved import resolve
from histobench.study.runs import Run
from histobench.study.schema import schema
from histobench.study.synthetic_settings import SyntheticSettings

ROOT = Path(__file__).parents[2]
PAPER = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())


GONE = ...
"""Value of a key that is to be removed."""


def with_change(key: str, value: Any, config: dict = PAPER) -> dict:
    """Return a configuration with one key, a dotted path, set or removed."""
    config = copy.deepcopy(config)
    *parents, last = key.split(".")
    place: Any = config
    for part in parents:
        place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
    if isinstance(value, dict):
        value = {key: item for key, item in value.items() if item is not GONE}
    if value is not GONE:
        place[int(last) if isinstance(place, list) else last] = value
    else:
        place.pop(True if last == "on" else last)  # YAML reads the key `on` as true
    return config


def test_a_part_of_a_configuration_says_where_to_stand(tmp_path, monkeypatch):
    own = {key: PAPER[key] for key in ("study", "grid", "datasets")}
    monkeypatch.chdir(ROOT)
    with pytest.raises(HistoBenchError, match=r"(?m)^augmentations: this key is required \(config/README\.md"):
        load(own)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HistoBenchError) as error:
        load(own)
    assert str(error.value) == (
        "splits: this key is required, and config/config.yaml, over which a study is laid, is not in this folder, "
        f"{tmp_path}; start in the folder of the project, where it is"
    )
    assert load(PAPER).study == "paper"  # a whole one can be used from anywhere


def test_the_default_study_is_the_papers():
    study = load(PAPER)
    of = Counter(run.split for run in study.runs)
    assert of == {"patient": 280, "accession": 60}
    arms = Counter((run.model, run.mode) for run in study.runs if run.split == "patient")
    assert len(arms) == 7
    assert set(arms.values()) == {40}
    recipe = study.recipe("resnet34", "ft")
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate, recipe.weight_decay) == (20, 64, 1e-4, 0.01)
    assert {model.image_size for model in study.models.values()} == {336}


def test_fine_tuning_means_to_a_model_what_its_family_has():
    study = load(PAPER)
    assert (study.recipe("resnet34", "ft").trainable, study.recipe("resnet34", "ft").lora) == ("all", None)
    tuned, probe = study.recipe("smolvlm", "ft"), study.recipe("smolvlm", "lp")
    assert (tuned.trainable, probe.trainable, probe.lora) == ("lora", "head", None)
    assert (tuned.lora.rank, tuned.lora.alpha, tuned.lora.dropout) == (16, 32, 0.05)
    assert tuned.lora.projections == ["q", "k", "v", "o"]


@pytest.mark.parametrize(
    ("key", "value", "arms", "needs"),
    [
        ("study", "paper", ["resnet34/ft", "smolvlm/ft", "smolvlm/lp", "alexnet", "qwen2-vl-2b"], "shared whole none shared whole"),
        ("modes.lp.gpu", "shared", ["smolvlm/lp", "smolvlm", "smolvlm/ft"], "shared whole whole"),
        ("models.vgg19.training", {"ft": {"gpu": "whole"}}, ["vgg19/ft", "vgg19", "alexnet/ft"], "whole shared shared"),
    ],
)  # fmt: skip
def test_what_a_job_needs_of_a_gpu(key, value, arms, needs):
    study = load(with_change(key, value))
    assert [study.gpu(*arm.split("/")) for arm in arms] == needs.split()


def test_hardware_labels_and_devices_are_no_part_of_a_specification():
    run = Run("breakhis", "smolvlm", "ft", "patient", 40, "none", 0, 1)
    before = load(PAPER).specification(run).canonical()
    hardware = {"vision": "live", "micro_batch": 3, "gradient_checkpointing": True, "compile": True, "gpu": "shared"}
    config = with_change("models.smolvlm.training", {"ft": {"keep_weights": True} | hardware}) | {"device": "cpu"}
    config["models"]["smolvlm"] |= {"label": "Another name", "licence": "another", "citation": "another"}
    after = load(config)
    assert after.mode("smolvlm", "ft").micro_batch == 3
    assert after.specification(run).canonical() == before


def test_runs_named_twice_are_run_once():
    config = copy.deepcopy(PAPER)
    config["grid"] *= 2
    assert len(load(config).runs) == 340


def test_a_run_and_its_path_are_the_same_thing():
    run = Run("breakhis", "resnet34", "ft", "patient", 200, "none", 0, 3)
    path = load(PAPER).path(paths.PREDICTIONS, **vars(run))
    key = "-[0-9a-f]{8}"
    assert re.fullmatch(
        f"results/breakhis{key}/runs/resnet34/ft/patient/200x/none{key}/seed0/fold3/predictions.csv", path
    )
    assert Run.of("/elsewhere/" + path) == run


def test_a_block_is_trained_with_each_of_its_seeds_and_shares_the_runs_of_one():
    one, several = load(PAPER), load(with_change("grid.0.seeds", [0, 1, 2]))
    assert len(several.runs) == 340 + 2 * 3 * 4 * 2 * 5  # models, magnifications, augmentations and folds of the block
    assert set(one.runs) < set(several.runs)
    for seed in (0, 2):
        run = Run("breakhis", "resnet34", "ft", "patient", 40, "none", seed, 1)
        assert several.specification(run).seed == seed
        assert f"/seed{seed}/fold1/" in several.path(paths.PREDICTIONS, **vars(run))
        assert several.path(paths.PREDICTIONS, **vars(run)) == one.path(paths.PREDICTIONS, **vars(run))
    study = resolve(several)
    assert study.notes == ["A fold's score is the mean over up to 3 seeds (AlexNet FT, VGG19 FT, ResNet34 FT)."]
    assert set(study.seeds.values()) == {1, 3}
    assert resolve(one).notes == []


@pytest.mark.parametrize(
    ("weights", "augmentation", "shared"),
    [("imagenet", "none", True), ("imagenet", "paper", False), ("random", "none", False)],
)
def test_seeds_share_the_features_that_no_seed_decides(weights, augmentation, shared):
    study = load(PAPER if weights == "imagenet" else with_change("models.vgg19.weights", weights))
    assert (study.feature_seed("vgg19", augmentation, 2) == study.feature_seed("vgg19", augmentation, 1)) == shared


NAMES = {
    "dataset": "breakhis",
    "on": "bach",
    "scale": "matched",
    "model": "vgg19",
    "mode": "ft",
    "split": "patient",
    "augmentation": "paper",
}
NUMBERS = {"magnification": 40, "seed": 0, "fold": 1, "views": 20, "size": 336}
KINDS = ("MANIFEST", "PIXELS", "FOLDS", "WEIGHTS", "FEATURES", "PREDICTIONS", "EXTERNAL", "TILES")


@pytest.mark.parametrize(
    ("key", "value", "moved"),
    [
        (
            "datasets.breakhis.source",
            "resources/breakhis/other.tar.gz",
            "MANIFEST PIXELS FOLDS FEATURES PREDICTIONS EXTERNAL TILES",
        ),
        ("datasets.breakhis.complete", False, "MANIFEST PIXELS FOLDS FEATURES PREDICTIONS EXTERNAL TILES"),
        ("datasets.bach.source", "resources/bach/other.zip", "EXTERNAL TILES"),
        ("datasets.bach.microns_per_pixel", 0.5, "EXTERNAL TILES"),
        ("datasets.breakhis.microns_per_pixel", 0.25, "EXTERNAL TILES"),
        ("datasets.breakhis.licence", "none", ""),
        ("splits.patient.seed", 1, "FOLDS PREDICTIONS EXTERNAL"),
        ("models.vgg19.weights", "random", "WEIGHTS FEATURES PREDICTIONS EXTERNAL"),
        ("models.vgg19.image_size", 224, "FEATURES PREDICTIONS EXTERNAL"),
        ("models.vgg19.training", {"ft": {"learning_rate": 3e-5}}, "PREDICTIONS EXTERNAL"),
        ("models.resnet34.image_size", 224, ""),
        ("modes.ft.epochs", 3, "PREDICTIONS EXTERNAL"),
        ("modes.ft.micro_batch", 2, ""),
        ("augmentations.paper", [{"HorizontalFlip": {"p": 1.0}}], "FEATURES PREDICTIONS EXTERNAL"),
        ("seed", 1, ""),  # it is a part of the path of its own
        ("study", "other", ""),
        ("gpu_slots", 2, ""),
        ("checkpoint_seconds", 0, ""),
    ],
)
def test_studies_share_the_paths_of_what_they_make_from_the_same_settings(key, value, moved):
    before, after = load(PAPER), load(with_change(key, value))
    found = [
        kind
        for kind in KINDS
        if before.path(getattr(paths, kind), **NAMES, **NUMBERS) != after.path(getattr(paths, kind), **NAMES, **NUMBERS)
    ]
    assert found == moved.split()
    if "microns" in key:  # a squashed image is the same at any scale
        squashed = NAMES | NUMBERS | {"scale": "squashed"}
        assert before.path(paths.EXTERNAL, **squashed) == after.path(paths.EXTERNAL, **squashed)


def test_studies_with_other_names_for_no_augmentation_are_evaluated_on_the_same_views():
    """The user's names come first; a run that two studies share must not wait for views of another name."""
    for names in (["plain", "none", "paper"], ["paper", "none", "plain"]):
        named = {name: PAPER["augmentations"].get(name, []) for name in names}
        assert load(PAPER | {"augmentations": named}).unaugmented == "none"
    changed = {"none": [{"HorizontalFlip": {"p": 1.0}}], "paper": [], "plain": []}
    assert load(PAPER | {"augmentations": changed}).unaugmented == "paper"


def test_a_models_own_learning_rate_changes_only_its_specification():
    before, after = load(PAPER), load(with_change("models.vgg19.training", {"ft": {"learning_rate": 3e-5}}))
    for model, same in (("vgg19", False), ("resnet34", True)):
        run = Run("breakhis", model, "ft", "patient", 40, "none", 0, 1)
        one, other = (study.specification(run) for study in (before, after))
        assert (one.canonical() == other.canonical()) is same


OWN = {"format": "csv", "source": "images", "table": "images.csv"}
FOLDERS = {"format": "folders", "source": "images", "patient": "(P[0-9]+)"}


def test_the_external_test_of_the_paper():
    study = load(PAPER)
    runs = study.external_runs
    assert len(runs) == len(set(runs)) == 2 * 2 * 4 * 5
    assert {(on, scale, run.model, run.mode, run.augmentation) for on, scale, run in runs} == {
        ("bach", scale, model, "ft", "none") for scale in ("squashed", "matched") for model in ("resnet34", "smolvlm")
    }
    assert study.used_datasets == ["breakhis", "bach"]
    keeping = {run.model for run in study.runs if study.recipe(run.model, run.mode).keep_weights}
    assert keeping == {"resnet34", "smolvlm"}


def test_an_external_block_without_any_run_in_the_grid_is_ignored():
    config = copy.deepcopy(PAPER)
    config["grid"] = [config["grid"][0] | {"models": ["alexnet"]}]
    study = load(config)
    assert (study.tested, study.external_runs, study.used_datasets) == ((), (), ["breakhis"])


@pytest.mark.parametrize("name", ["ladder", "seeds", "own-data"])
def test_the_example_studies(name):
    study = load(PAPER | yaml.safe_load((ROOT / f"config/studies/{name}.yaml").read_text()))
    if name == "ladder":
        assert Counter(run.split for run in study.runs) == {"accession": 40, "patient": 40, "image": 40}
        shared = set(load(PAPER).runs).intersection(study.runs)
        assert len(shared) == 40
        for run in shared:  # they are up to date for both
            assert study.specification(run) == load(PAPER).specification(run)
    elif name == "seeds":
        assert Counter(run.seed for run in study.runs) == {0: 80, 1: 80, 2: 80}
        assert {run for run in study.runs if run.seed == 0} <= set(load(PAPER).runs)
    else:
        assert [(on, scale, run.dataset) for on, scale, run in study.external_runs] == [
            ("elsewhere", "squashed", "mine")
        ] * 5


def test_the_committed_schema_is_the_generated_one():
    assert (ROOT / "workflow/schemas/config.schema.json").read_text() == schema()


SECTIONS = {
    "Configuration": Config,
    "`datasets`": dataset_settings.Dataset,
    "`synthetic`": SyntheticSettings,
    "`splits`": dataset_settings.Split,
    "`models`": model_settings.CnnEntry,
    "`weights`: CNNs": spec.WeightsFile,
    "`models`: vision-language": model_settings.VlmEntry,
    "`weights`: from the Hub": spec.HubWeights,
    "`weights`: a folder": spec.FolderWeights,
    "`modes`": model_settings.Mode,
    "`lora`": recipes.Lora,
    "`grid`": grid_settings.Block,
    "`tables`": grid_settings.Tables,
    "`external`": grid_settings.External,
    "`stress`": stress_settings.Stress,
    "`comparisons`": grid_settings.Comparisons,
}


@pytest.mark.parametrize("section", SECTIONS)
def test_the_readme_explains_every_key_in_its_section_and_no_other(section):
    text = (ROOT / "config/README.md").read_text()
    (body,) = re.findall(rf"^#+ {section}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    table = re.findall(r"^\| (`.*?) \|", body, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(table))) == set(SECTIONS[section].model_fields)


def test_notes_name_the_models_that_they_are_about():
    config = with_change("models.vgg19.weights", "random")
    assert load(config).notes == ["Models that start from RANDOM weights: VGG19."]
    config["grid"] = [config["grid"][0] | {"models": ["vgg19"]}]
    assert load(config | {"external": []}).notes == ["Models start from RANDOM weights."]


def test_pairs_are_compared_at_the_highest_magnification_of_a_grid_that_lacks_the_default():
    block = PAPER["grid"][0] | {"magnifications": [40, 100]}
    config = with_change("grid", [block]) | {"external": []}
    assert resolve(load(config)).comparisons["magnification"] == 100
    assert resolve(load(PAPER)).comparisons["magnification"] == 200
