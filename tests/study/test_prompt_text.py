"""Prompts in the configuration: what is resolved and refused, and what their keys change."""

import shutil
from pathlib import Path

import pytest
import yaml

from histobench.datasets.given import check_given
from histobench.io.errors import HistoBenchError
from histobench.study import paths
from histobench.study.config import load
from histobench.tools import pack
from tests.study.test_config import PAPER

STUDY = Path(__file__).parents[2] / "config/studies/prompts.yaml"
ANSWERS = {"malignant": [" malignant"], "benign": [" benign"]}
ZERO = {"trainable": "none", "prompts": ["At {magnification}x it is", "It is"], "answers": ANSWERS}
ENTRY = yaml.safe_load(STUDY.read_text())["models"]["plip"] | {"training": {}}
PLIP = {"models": PAPER["models"] | {"plip": ENTRY}}
STRESS = {"dataset": "breakhis", "models": ["smolvlm"], "modes": ["own"], "splits": ["patient"]}
STRESS |= {"magnifications": [40], "augmentations": ["none"]}
ELSEWHERE = STRESS | {"on": "bach", "headline": 40}
OWN_TEXT = PAPER["models"] | {"plip": ENTRY | {"training": {"own": ZERO | {"prompts": ["{microns}"]}}}}
QUESTION = "{stain}, {magnification}x, {microns} µm: {{benign}} or malignant?"


def study(mode, model="smolvlm", changes=None, **block):
    own = {"dataset": "breakhis", "models": [model], "modes": ["own", "lp"], "splits": ["patient"]}
    own |= {"magnifications": [40, 400], "augmentations": ["none"]} | block
    modes = PAPER["modes"] | {"own": mode}
    return load({**PAPER, "modes": modes, "grid": [own], "external": [], **(changes or {})})


def test_a_specification_holds_the_text_for_its_magnification():
    config = study({"trainable": "head", "prompt": QUESTION})
    own = {run.magnification: config.specification(run) for run in config.runs if run.mode == "own"}
    assert own[40].recipe.prompt == "haematoxylin and eosin, 40x, 0.49 µm: {benign} or malignant?"
    assert own[400].recipe.prompt == "haematoxylin and eosin, 400x, 0.05 µm: {benign} or malignant?"
    zero = study(ZERO)
    (first, *_) = (zero.specification(run).recipe for run in zero.runs if run.mode == "own")
    assert (first.prompts, first.epochs, first.answers.model_dump()) == (["At 40x it is", "It is"], 1, ANSWERS)


def test_embeddings_of_each_text_and_no_text_have_paths_of_their_own_and_tokens_share_theirs():
    config = study({"trainable": "head", "prompt": QUESTION})
    place = {
        "dataset": "breakhis",
        "model": "smolvlm",
        "augmentation": "none",
        "magnification": 40,
        "seed": 0,
        "views": 1,
    }
    texts = {config.prompt(run) for run in config.runs}
    assert len(texts) == 3
    stores = {text: config.path(paths.FEATURES, **place, prompt=text) for text in texts}
    assert len(set(stores.values())) == 3
    assert stores[None] == study(PAPER["modes"]["lp"]).path(paths.FEATURES, **place)
    keys = {text: store.split("/")[-3].removeprefix("none-") for text, store in stores.items()}
    assert {config.embedding_prompts.get(key) for key in keys.values()} == texts
    assert all(config.embedding_prompts.get(key) == text for text, key in keys.items())


def test_runs_whose_pixel_size_differs_have_paths_of_their_own_where_the_text_names_it():
    datasets = PAPER["datasets"]["breakhis"]
    other = {"datasets": PAPER["datasets"] | {"breakhis": datasets | {"microns_per_pixel": 0.3}}}
    for prompt, differ in ((QUESTION, True), ("benign?", False)):
        one, two = (study({"trainable": "head", "prompt": prompt}, changes=changes) for changes in ({}, other))
        path = [config.path(paths.RUN, **vars(config.runs[0])) for config in (one, two)]
        assert (path[0] != path[1]) == differ


def test_published_weights_need_files_for_text_and_random_ones_do_not():
    config = study(ZERO)
    assert list(config.text_files("smolvlm")) == ["tokenizer", "text_weights"]
    assert list(config.text_files("smolvlm", "lp")) == []
    files = study({"trainable": "head", "prompt": "benign?"}).text_files("smolvlm", "own")
    assert list(files) == ["tokenizer"]
    assert files["tokenizer"] == config.text_files("smolvlm")["tokenizer"]
    assert list(study(ZERO, "plip", PLIP).text_files("plip", "own")) == ["tokenizer", "text_weights"]


def test_a_folder_without_the_tokenizer_that_text_needs_is_missed_before_any_job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "clip" / name).touch()
    own = ENTRY | {"weights": {"folder": "clip", "sha256": "f" * 64}}
    models = {"models": PAPER["models"] | {"plip": own}}
    check_given(study({"trainable": "head"}, "plip", models, modes=["own"]))
    config = study(ZERO, "plip", models, modes=["own"])
    with pytest.raises(HistoBenchError) as caught:
        check_given(config)
    assert str(caught.value) == (
        "models.plip.weights: clip/tokenizer.json: there is no such file, which prompts need; put it there"
    )
    (tmp_path / "clip/tokenizer.json").touch()
    check_given(config)
    shutil.rmtree(tmp_path / "clip")
    for name in pack.weights(config):  # as where a report is made again from an archive
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    check_given(config)


def test_captions_are_compared_with_the_embeddings_that_linear_probes_share():
    """On the processor alone, with the text for its magnification, and in one epoch."""
    config = study(ZERO, "plip", PLIP)
    for model, embedded, gpu in (("plip", True, "none"), ("smolvlm", False, "whole")):
        config = study(ZERO, model, PLIP)
        found = config.from_embeddings(model, "own"), config.tokens(model, "own"), config.gpu(model, "own")
        assert found == (embedded, not embedded, gpu)
        recipe = config.specification(config.runs[0]).recipe
        assert (recipe.epochs, recipe.prompts[0]) == (1, "At 40x it is")
    assert config.from_embeddings("plip", "lp")


@pytest.mark.parametrize(
    ("mode", "more", "said"),
    [
        ({"prompt": "{size}"}, {}, "modes.own.prompt: there is no placeholder {size} in this form; known: {magnification}, "),
        ({"prompt": "{stain!r}"}, {}, "modes.own.prompt: there is no placeholder {stain} in this form"),
        ({"prompt": "{stain"}, {}, "modes.own.prompt: has a brace without its other one; write {{ or }}"),
        ({"prompt": ""}, {}, "modes.own.prompt: expected a string that is not empty, found ''"),
        ({"prompt": "a", "trainable": "all"}, {"model": "resnet34"}, "modes.own.prompt: 'resnet34' is a CNN, which reads no text"),
        (ZERO, {"model": "alexnet"}, "modes.own.prompts: 'alexnet' is a CNN, which reads no text"),
        ({"prompt": "a"}, {"model": "plip", "changes": PLIP}, "modes.own.prompt: 'plip' is an encoder, which reads no text after "),
        (ZERO, {"model": "plip", "changes": PLIP, "augmentations": ["paper"]}, "grid: nothing is trained in mode 'own', so that "),
        (
            ZERO, {"model": "plip", "changes": {"models": PLIP["models"] | {"plip": ENTRY | {"pooling": "mean"}}}},
            "models.plip.pooling: the texts of modes.own.prompts are compared with the embedding `model` alone, not 'mean'; ",
        ),
        (ZERO, {"augmentations": ["paper"]}, "grid: nothing is trained in mode 'own', so that augmentation 'paper' would"),
        (ZERO | {"keep_weights": True}, {}, "modes.own: `keep_weights` is of no use with `trainable: none`: nothing is"),
        (ZERO | {"prompt": "a"}, {}, "modes.own: `prompt` is of no use with `trainable: none`"),
        (ZERO | {"trainable": "head"}, {}, "modes.own: `prompts` is of no use with `trainable: head`: it belongs to"),
        ({"trainable": "none"}, {}, "modes.own: `prompts` is required with `trainable: none`"),
        (ZERO | {"answers": {"malignant": ["a"], "benign": ["b", "a"]}}, {}, "modes.own.answers: 'a' answers for both classes"),
        (ZERO | {"prompts": ["a", "a"]}, {}, "modes.own.prompts: 'a' is named twice"),
        (ZERO | {"prompts": ["{magnification}x", "40x"]}, {}, "modes.own.prompts: '40x' is named twice; name it once"),
        (ZERO | {"answers": {"malignant": ["{stain}"], "benign": ["b"]}}, {}, "modes.own.answers.malignant.0: {stain} is filled in only in "),
        (ZERO | {"prompts": ["a" * 4001]}, {}, "modes.own.prompts.0: expected at most 4000 characters, found 'aaa"),
        (ZERO | {"patients_per_class": 4}, {}, "modes.own: `patients_per_class` is of no use with `trainable: none`: nothing is"),
        (ZERO, {"changes": {"external": [ELSEWHERE]}}, "external.0: mode 'own' of 'smolvlm' keeps no weights (`keep_weights` goes "),
        ({"classifier": "knn"}, {"changes": {"stress": [STRESS]}}, "stress.0: mode 'own' of 'smolvlm' keeps no weights (`keep_weights` goes "),
        ({}, {"model": "plip", "changes": {"models": OWN_TEXT, "task": "subtype"}}, "models.plip.training.own.prompts: it is about benign or "),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_sentence(mode, more, said):
    with pytest.raises(HistoBenchError) as caught:
        study({"trainable": "head", **mode}, **{"modes": ["own"], **more})
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_a_pixel_size_or_readout_that_text_needs_is_asked_for():
    unknown = {key: value for key, value in PAPER["datasets"]["breakhis"].items() if key != "microns_per_pixel"}
    with pytest.raises(HistoBenchError) as caught:
        study(
            {"trainable": "head", "prompt": QUESTION}, changes={"datasets": PAPER["datasets"] | {"breakhis": unknown}}
        )
    assert str(caught.value) == (
        "modes.own.prompt: {microns} needs microns_per_pixel of the dataset at 40x, which is not known; give it, or leave "
        "{microns} out"
    )
    models = PAPER["models"] | {"smolvlm": PAPER["models"]["smolvlm"] | {"readout": "mean"}}
    with pytest.raises(
        HistoBenchError, match=r"^models\.smolvlm\.readout: 'mean' comes before the text of modes\.own\.prompt"
    ):
        study({"trainable": "head", "prompt": "a"}, changes={"models": models})


def test_the_study_of_prompts_shares_its_runs_without_text_with_the_paper():
    own = yaml.safe_load(STUDY.read_text())
    config = load(PAPER | own | {name: PAPER[name] | own[name] for name in ("models", "modes")})
    paper = load(PAPER)
    shared = [run for run in config.runs if run.mode in ("lp", "ft")]
    assert (len(config.runs), len(shared)) == (110, 30)
    for run in shared:
        assert config.path(paths.RUN, **vars(run)) == paper.path(paths.RUN, **vars(run))
        assert config.specification(run) == paper.specification(run)
