"""The configuration: what the default study is, and one sentence for each mistake."""

import copy
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from histobench.io.errors import HistoBenchError
from histobench.study import config as module
from histobench.study import spec
from histobench.study.config import load
from histobench.study.runs import Run
from histobench.study.synthetic_settings import SyntheticSettings

ROOT = Path(__file__).parents[2]
PAPER = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())


def with_change(key: str, value: object) -> dict:
    """Return the default configuration with one key set (a dotted path) or, where the value is `...`, removed."""
    config = copy.deepcopy(PAPER)
    *parents, last = key.split(".")
    place = config
    for part in parents:
        place = place[int(part)] if isinstance(place, list) else place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return config


def test_the_default_study_is_the_papers():
    study = load(PAPER)
    assert len(study.runs) == 280
    arms = Counter((run.model, run.mode) for run in study.runs)
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


def test_what_a_job_needs_of_a_gpu():
    study = load(PAPER)
    assert [study.gpu(model, mode) for model, mode in (("resnet34", "ft"), ("smolvlm", "ft"), ("smolvlm", "lp"))] == [
        "shared",
        "whole",
        "none",
    ]
    assert [study.gpu(model) for model in ("alexnet", "qwen2-vl-2b")] == ["shared", "whole"]
    study = load(with_change("modes.lp.gpu", "shared"))
    assert (study.gpu("smolvlm", "lp"), study.gpu("smolvlm"), study.gpu("smolvlm", "ft")) == (
        "shared",
        "whole",
        "whole",
    )
    study = load(with_change("models.vgg19.training", {"ft": {"gpu": "whole"}}))
    assert (study.gpu("vgg19", "ft"), study.gpu("vgg19"), study.gpu("alexnet", "ft")) == ("whole", "shared", "shared")


def test_hardware_settings_are_no_part_of_a_specification():
    before = load(PAPER).specification("smolvlm", "ft", 40, "none", 1).canonical()
    hardware = {"vision": "live", "micro_batch": 3, "gradient_checkpointing": True, "gpu": "shared"}
    after = load(with_change("models.smolvlm.training", {"ft": {"keep_weights": True} | hardware}))
    assert after.mode("smolvlm", "ft").micro_batch == 3
    assert after.specification("smolvlm", "ft", 40, "none", 1).canonical() == before


def test_runs_named_twice_are_run_once():
    config = copy.deepcopy(PAPER)
    config["grid"] *= 2
    assert len(load(config).runs) == 280


def test_a_run_and_its_path_are_the_same_thing():
    run = Run("breakhis", "resnet34", "ft", "patient", 200, "none", 3)
    assert run.folder == "results/breakhis/runs/resnet34/ft/patient/200x/none/fold3"
    assert Run.of("/elsewhere/" + run.predictions) == run


def test_a_models_own_learning_rate_changes_only_its_specification():
    before, after = load(PAPER), load(with_change("models.vgg19.training", {"ft": {"learning_rate": 3e-5}}))

    def specification(study, model):
        return study.specification(model, "ft", 40, "none", 1).canonical()

    assert specification(before, "vgg19") != specification(after, "vgg19")
    assert specification(before, "resnet34") == specification(after, "resnet34")


def test_labels_and_devices_are_no_part_of_a_specification():
    before = load(PAPER).specification("vgg19", "ft", 40, "none", 1).canonical()
    config = with_change("models.vgg19.label", "Another name")
    config["models"]["vgg19"] |= {"licence": "another", "citation": "another"}
    config["device"] = "cpu"
    assert load(config).specification("vgg19", "ft", 40, "none", 1).canonical() == before


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("sudy", "x", "sudy: unknown key"),
        ("study", ..., "study: this key is required"),
        (
            "models.resnet34.architecture",
            "torchvision/resnet43",
            "torchvision has no architecture 'resnet43'; did you mean 'resnet34'",
        ),
        ("models.resnet34.architecture", "resnet34", "models.resnet34.architecture"),
        ("models.resnet34.widht", 0.5, "models.resnet34.widht: unknown key"),
        ("models.resnet34.width", 0.5, "set `weights: random`"),
        ("grid.0.models", ["resnet43"], "grid.0.models: 'resnet43' is not among `models`; did you mean 'resnet34'?"),
        ("grid.0.models", [], "grid.0.models"),
        ("grid", [], "grid"),
        ("grid.0.magnifications", [40, 150], "grid.0.magnifications.1"),
        (
            "grid.0.dataset",
            "breakhiss",
            "grid.0.dataset: 'breakhiss' is not among `datasets`; did you mean 'breakhis'?",
        ),
        ("grid.0.splits", ["patients"], "did you mean 'patient'?"),
        ("grid.0.augmentations", ["papper"], "did you mean 'paper'?"),
        (
            "augmentations.paper",
            [{"HorizontalFlop": {}}],
            "no transform 'HorizontalFlop'; did you mean 'HorizontalFlip'?",
        ),
        (
            "augmentations.paper",
            [{"Rotate": {"limmit": 3}}],
            "Rotate takes no argument 'limmit'; did you mean 'limit'?",
        ),
        ("models.vgg19.training", {"ft": {"learning_rat": 1}}, "models.vgg19.training.ft.learning_rat: unknown key"),
        ("models.vgg19.training", {"fft": {}}, "'fft' is not among `modes`"),
        ("modes.ft.learning_rate", -1, "modes.ft.learning_rate"),
        ("splits.patient.by", "slide", "splits.patient.by"),
        ("splits.patient", {"by": "official"}, "one file per fold: 5 expected"),
        ("datasets.breakhis.source", ..., "either `source`"),
        ("datasets.breakhis.source", "/data/x.tar.gz", "resources/breakhis/FILE"),
        ("device", "gpu", "device"),
        (
            "models.smolvlm.family",
            "smol",
            "models.smolvlm.family: no such family 'smol'; known: cnn, qwen2-vl, smolvlm",
        ),
        (
            "models.smolvlm.weights.revision",
            "main",
            "models.smolvlm.weights.revision: expected a commit of 40 hex digits",
        ),
        (
            "datasets.breakhis.mirrors",
            ["ftp://a/b.zip"],
            "datasets.breakhis.mirrors.0: expected an address http://HOST/FILE",
        ),
        (
            "datasets.mine",
            {"source": "images", "mirrors": ["https://a/b.zip"]},
            "datasets.mine: `mirrors` are further addresses beside `url`, which is absent",
        ),
        ("models.smolvlm.weights", {"folder": "x"}, "models.smolvlm.weights.sha256: this key is required"),
        (
            "models.smolvlm.weights",
            {"folder": "x", "sha256": "0123"},
            "models.smolvlm.weights.sha256: expected 64 hex digits in lower case",
        ),
        (
            "models.smolvlm.weights",
            {"folder": "x", "sha256": "0" * 64, "revision": "0" * 40},
            "models.smolvlm.weights.revision: unknown key",
        ),
        ("models.smolvlm.weights", "imagenet", "models.smolvlm.weights: expected 'random', found 'imagenet'"),
        ("models.smolvlm.weights", 5, "models.smolvlm.weights: expected keys and values"),
        (
            "models.vgg19.weights",
            "imagnet",
            "models.vgg19.weights: expected 'imagenet' or 'random', or keys and values, found 'imagnet'",
        ),
        ("models.vgg19.weights", {"file": "x.pth"}, "models.vgg19.weights.sha256: this key is required"),
        ("models.smolvlm.weights", ..., "models.smolvlm.weights: this key is required"),
        ("models.smolvlm.width", 0.5, "models.smolvlm.width: unknown key"),
        ("models.smolvlm.readout", "last", "models.smolvlm.readout"),
        (
            "models.smolvlm.config.text_config.hidden_sise",
            8,
            "models.smolvlm.config.text_config.hidden_sise: smolvlm has no such key; did you mean 'hidden_size'?",
        ),
        (
            "models.smolvlm.config.text_config",
            8,
            "models.smolvlm.config.text_config: expected keys and values, found 8",
        ),
        ("modes.ft.lora", ..., "modes.ft.lora: this key is required to train 'qwen2-vl-2b'"),
        ("modes.ft.lora.projections", ["x"], "modes.ft.lora.projections.0"),
        ("modes.ft.trainable", "lora", "modes.ft.trainable: 'alexnet' is a CNN and has no `lora` adapters"),
        ("modes.ft.lora.vision", True, "add `vision: live` to the mode"),
        ("modes.ft.lora.connector", True, "add `vision: live` to the mode"),
    ],
)
def test_each_mistake_gets_a_sentence_that_names_its_key(key, value, sentence):
    with pytest.raises(HistoBenchError) as caught:
        load(with_change(key, value))
    message = str(caught.value)
    assert sentence in message
    assert "\n" not in message
    assert "pydantic" not in message.lower()


OWN = {"format": "csv", "source": "images", "table": "images.csv"}
FOLDERS = {"format": "folders", "source": "images", "patient": "(P[0-9]+)"}


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("external.0.on", "bachh", "external.0.on: 'bachh' is not among `datasets`; did you mean 'bach'?"),
        ("external.0.on", "breakhis", "external.0.on: 'breakhis' is the dataset that the models are trained on"),
        ("external.0.dataset", "x", "external.0.dataset: 'x' is not among `datasets`"),
        ("external.0.models", ["resnet43"], "external.0.models: 'resnet43' is not among `models`; did you mean 'resnet34'?"),
        ("external.0.models", ["vgg19"], "external.0: mode 'ft' does not keep the weights of 'vgg19'; set `keep_weights: true`"),
        ("external.0.splits", ["patient", "image"], "external.0: resnet34/ft/image/40x/none/fold1 is not in the grid"),
        ("external.0.augmentations", [], "external.0.augmentations"),
        ("external.0.headline", 300, "external.0.headline"),
        ("external.0.magnifications", [100, 200], "external.0.headline: 40 is not among its `magnifications` (100, 200)"),
        ("external.0.modus", 1, "external.0.modus: unknown key"),
        ("external.1.models", ..., "external.1.models: this key is required"),
        ("grid.0.dataset", "bach", "grid.0.dataset: 'bach' names no patients and no magnification"),
        ("grid.0.magnifications", [0], "grid.0.magnifications: 0, but images of format breakhis have a magnification of 40"),
        ("datasets.bach.format", "back", "datasets.bach.format"),
        ("datasets.mine", OWN | {"table": None}, "datasets.mine: format csv needs `table`"),
        ("datasets.mine", OWN | {"complete": True}, "datasets.mine: `complete` belongs to format bach or breakhis, not to csv"),
        ("datasets.mine", OWN | {"patient": "(x)"}, "datasets.mine: `patient` belongs to format folders, not to csv"),
        ("datasets.mine", OWN | {"classes": {"a": "benign"}}, "`classes` must name at least one benign and one malignant class"),
        ("datasets.mine", OWN | {"classes": {"a": "normal"}}, "datasets.mine.classes.a"),
        ("datasets.mine", FOLDERS | {"patient": None}, "datasets.mine: format folders needs `patient`"),
        ("datasets.mine", FOLDERS | {"patient": "(P"}, "datasets.mine.patient: is no regular expression"),
        ("datasets.mine", FOLDERS | {"patient": "P"}, "datasets.mine.patient: must have one group in parentheses, found 0"),
        ("datasets.breakhis.classes", {"a": "benign"}, "datasets.breakhis: `classes` belongs to format csv or folders"),
        ("datasets.bach.synthetic", {"kind": "bach"}, "either `source`"),
    ],
)  # fmt: skip
def test_mistakes_about_other_datasets(key, value, sentence):
    test_each_mistake_gets_a_sentence_that_names_its_key(key, value, sentence)


def test_the_external_test_of_the_paper():
    study = load(PAPER)
    pairs = study.external_runs
    assert len(pairs) == len(set(pairs)) == 2 * 4 * 5
    assert {(on, run.model, run.mode, run.augmentation) for on, run in pairs} == {
        ("bach", "resnet34", "ft", "none"),
        ("bach", "smolvlm", "ft", "none"),
    }
    assert study.used_datasets == ["breakhis", "bach"]
    keeping = {run.model for run in study.runs if study.recipe(run.model, run.mode).keep_weights}
    assert keeping == {"resnet34", "smolvlm"}


def test_an_external_block_without_any_run_in_the_grid_rests():
    config = copy.deepcopy(PAPER)
    config["grid"] = [config["grid"][0] | {"models": ["alexnet"]}]
    study = load(config)
    assert (study.tested, study.external_runs, study.used_datasets) == ((), (), ["breakhis"])


@pytest.mark.parametrize("name", ["ladder", "own-data"])
def test_the_example_studies(name):
    study = load(PAPER | yaml.safe_load((ROOT / f"config/studies/{name}.yaml").read_text()))
    if name == "ladder":
        assert Counter(run.split for run in study.runs) == {"accession": 20, "patient": 20, "image": 20}
        shared = set(load(PAPER).runs).intersection(study.runs)
        assert len(shared) == 20
        for run in shared:  # what decides whether they stand
            arm = run.model, run.mode, run.magnification, run.augmentation, run.fold
            assert study.specification(*arm) == load(PAPER).specification(*arm)
    else:
        assert [(on, run.dataset) for on, run in study.external_runs] == [("elsewhere", "mine")] * 5


def test_the_committed_schema_is_the_generated_one():
    assert (ROOT / "workflow/schemas/config.schema.json").read_text() == module.schema()


SECTIONS = {
    "Configuration": module.Config,
    "`datasets`": module.Dataset,
    "`synthetic`": SyntheticSettings,
    "`splits`": module.Split,
    "`models`": module.CnnEntry,
    "`weights`": spec.WeightsFile,
    "`models`: vision-language": module.VlmEntry,
    "`weights`: vision-language": spec.HubWeights,
    "`weights`: a folder": spec.FolderWeights,
    "`modes`": module.Mode,
    "`lora`": spec.Lora,
    "`grid`": module.Block,
    "`tables`": module.Tables,
    "`external`": module.External,
    "`comparisons`": module.Comparisons,
}


@pytest.mark.parametrize("section", SECTIONS)
def test_the_readme_explains_every_key_in_its_section_and_no_other(section):
    text = (ROOT / "config/README.md").read_text()
    (body,) = re.findall(rf"^#+ {section}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    table = re.findall(r"^\| (`.*?) \|", body, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(table))) == set(SECTIONS[section].model_fields)
