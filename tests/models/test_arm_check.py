"""The first job of a study: models and augmentations that a library cannot build, each reported in one sentence."""

import copy
import math
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from histobench.models import arm_check
from histobench.study import resolved
from histobench.study.config import load
from tests.study.test_malformed import STUDIES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def resolved_study(name: str) -> dict[str, Any]:
    """Return the resolved form of a study as plain data."""
    return asdict(resolved.resolve(load(STUDIES[name])))


def check(study: dict[str, Any], configs: dict[str, Any]):
    return arm_check.check(resolved.Study(**TRIALS | study), configs)


TRIALS = resolved_study("demo")


class Case(NamedTuple):
    """One mistake: a setting of a good model, what it is instead, and what the sentence must contain."""

    model: str
    key: str
    value: Any
    word: str


SMOL, QWEN = "smolvlm-tiny", "qwen2-vl-tiny"
TEXT, VISION = "config.text_config", "config.vision_config"
MODELS = [
    Case(SMOL, "config.image_token", 5, "did you mean 'image_token_id'"),
    Case(SMOL, "config.image_token_id", 8, "vocabulary"),
    Case(SMOL, "config.image_token_id", 0, "markers -1"),
    Case(SMOL, "config.image_token_id", "1", "expected int"),
    Case(SMOL, "config.scale_factor", 0, "zero"),
    Case(SMOL, "config.scale_factor", 3, "24 px"),
    Case(SMOL, TEXT, 8, "text_config"),
    Case(SMOL, f"{TEXT}.hidden_sise", 8, "did you mean 'hidden_size'"),
    Case(SMOL, f"{TEXT}.hidden_size", 65, "not a multiple"),
    Case(SMOL, f"{TEXT}.hidden_size", -64, "negative"),
    Case(SMOL, f"{TEXT}.hidden_size", 64.0, "expected int"),
    Case(SMOL, f"{TEXT}.num_hidden_layers", "2", "expected int"),
    Case(SMOL, f"{TEXT}.num_attention_heads", 3, "not a multiple"),
    Case(SMOL, f"{TEXT}.num_key_value_heads", 3, "must match"),
    Case(SMOL, f"{TEXT}.head_dim", 63, "even"),
    Case(SMOL, f"{TEXT}.vocab_size", 1, "vocabulary"),
    Case(SMOL, f"{TEXT}.pad_token_id", 8, "Padding_idx"),
    Case(SMOL, f"{TEXT}.rms_norm_eps", "small", "expected float"),
    Case(SMOL, f"{TEXT}.hidden_act", "relux", "relux"),
    Case(SMOL, f"{TEXT}.tie_word_embeddings", "no", "expected bool"),
    Case(SMOL, f"{VISION}.num_attention_heads", 3, "divisible"),
    Case(SMOL, f"{VISION}.patch_size", 0, "zero"),
    Case(SMOL, f"{VISION}.patch_size", [8, 8], "list"),
    Case(SMOL, f"{VISION}.patch_size", 400, "800 px"),
    Case(SMOL, f"{VISION}.image_size", 4, "zero"),
    Case(SMOL, f"{VISION}.depth", 3, "no such key"),
    Case(SMOL, f"{VISION}.num_channels", 1, "3 channels"),
    Case(SMOL, "image_size", 65, "16 px"),
    Case(SMOL, "image_size", 24, "16 px"),
    Case(SMOL, "recipe.lora.layers", [0, 99], "no decoder layer 99, the last is 1"),
    Case(SMOL, "recipe.lora.vision_blocks", 3, "the vision tower has 2 blocks, not 3"),
    Case(QWEN, f"{TEXT}.rope_scaling", {"type": "mrope", "mrope_section": [2, 3, 2]}, "exactly to 8"),
    Case(QWEN, f"{TEXT}.rope_scaling", {"type": "mrope", "mrope_section": "16"}, "tuple of ints"),
    Case(QWEN, f"{TEXT}.rope_scaling", [2, 3, 3], "rope_parameters"),
    Case(QWEN, f"{TEXT}.num_attention_heads", 5, "divisible"),
    Case(QWEN, f"{TEXT}.num_key_value_heads", 0, "zero"),
    Case(QWEN, f"{TEXT}.num_key_value_heads", 3, "must match"),
    Case(QWEN, f"{VISION}.num_heads", 3, "shape"),
    Case(QWEN, f"{VISION}.hidden_size", 32, "Expected size 64"),
    Case(QWEN, f"{VISION}.spatial_merge_size", 5, "40 px"),
    Case(QWEN, f"{VISION}.in_channels", 1, "must match"),
    Case(QWEN, "config.vision_end_token_id", 8, "vocabulary"),
    Case(QWEN, "config.vision_start_token_id", -1, "markers -1"),
    Case(QWEN, "config.image_token_id", 0, "markers 0, 0"),
    Case(QWEN, "image_size", 72, "16 px"),
    Case("alexnet-narrow", "architecture", "torchvision/alexnett", "no such classifier"),
    Case("alexnet-narrow", "architecture", "torchvision/fcn_resnet50", "no such classifier"),
    Case("alexnet-narrow", "architecture", "timm/nothing_like_it", "no such model"),
    Case("alexnet-narrow", "architecture", "timm/resnet18.none", "pretrained tag"),
    Case("alexnet-narrow", "architecture", "torchvision/vit_b_16", "cannot be narrowed"),
    Case("alexnet-narrow", "image_size", 32, "does not take images of 32 px"),
    Case("vgg19-narrow", "image_size", 31, "does not take images of 31 px"),
]

AUGMENTATIONS: list[tuple[dict[str, dict[str, Any]], str]] = [
    ({"HorizontalFlop": {}}, "no transform 'HorizontalFlop'"),
    ({"horizontalflip": {}}, "no transform"),
    ({"Compose": {"transforms": []}}, "no transform"),
    ({"Rotate": {"limmit": 3}}, "limmit"),
    ({"Rotate": {"always_apply": True}}, "always_apply"),
    ({"HorizontalFlip": {"p": 2}}, "less than or equal to 1"),
    ({"HorizontalFlip": {"p": -0.1}}, "greater than or equal to 0"),
    ({"HorizontalFlip": {"p": "often"}}, "number"),
    ({"HorizontalFlip": {"p": None}}, "number"),
    ({"HorizontalFlip": {"p": math.nan}}, "less than or equal to 1"),
    ({"Blur": {"blur_limit": "x"}}, "blur_limit"),
    ({"Blur": {"blur_limit": [3, 5, 7]}}, "at most 2 items"),
    ({"Blur": {"blur_limit": {"a": 3}}}, "blur_limit"),
    ({"Rotate": {"border_mode": "BORDER_MIROR"}}, "BORDER_MIROR"),
    ({"RandomResizedCrop": {"scale": [0.9, 1.1]}}, "<= 1"),
    ({"RandomResizedCrop": {"scale": [1.0, 0.9]}}, "less than the second"),
    ({"RandomResizedCrop": {"scale": 0.9}}, "scale"),
    ({"RandomResizedCrop": {"ratio": [-1, 1]}}, ">= 0"),
    ({"CLAHE": {"tile_grid_size": [8.5, 8]}}, "valid integer"),
    ({"Equalize": {"mode": "best"}}, "'cv' or 'pil'"),
    ({"RandomCrop": {"height": 0, "width": 5}}, "greater than or equal to 1"),
    ({"RandomCrop": {"width": 5}}, "height"),
    ({"RandomCrop": {"height": 5, "width": 5, "p": 1}}, "shape (5, 5, 3)"),
    ({"RandomCrop": {"height": 90, "width": 90, "p": 1}}, "RandomCrop failed"),
    ({"Normalize": {"p": 1}}, "float32"),
    ({"ToTensorV2": {"p": 1}}, "torch.uint8"),
]


def edited(case: Case) -> tuple[dict, dict]:
    """Return a model's settings and recipe with the mistake in them."""
    settings = copy.deepcopy(TRIALS["models"][case.model])
    recipe = copy.deepcopy(TRIALS["recipes"][case.model]["ft"])
    *parents, last = case.key.removeprefix("recipe.").split(".")
    place = recipe if case.key.startswith("recipe.") else settings
    for part in parents:
        place = place[part]
    place[last] = case.value
    return settings, recipe


@pytest.fixture(scope="module")
def faults() -> dict[str, str]:
    """Return the fault of each model and augmentation, of all mistakes in one study."""
    study: dict[str, dict[str, Any]] = {"models": {}, "recipes": {}, "augmentations": {}}
    for number, case in enumerate(MODELS):
        name = f"m{number}"
        study["models"][name], recipe = edited(case)
        study["recipes"][name] = {"ft": recipe}
    study["models"]["good"], study["recipes"]["good"] = TRIALS["models"][SMOL], TRIALS["recipes"][SMOL]
    for number, (transform, _) in enumerate(AUGMENTATIONS):
        study["augmentations"][f"a{number}"] = [{"VerticalFlip": {}}, transform]
    grid = [{"models": ["good"], "augmentations": list(study["augmentations"])}]
    sizes, found = check({**study, "grid": grid}, {})
    assert list(sizes) == [("good", "lp"), ("good", "ft"), ("good", "lp-validated")]
    return {re.search(r"(?:models|augmentations)\.(\w+)", fault)[1]: fault for fault in found}


@pytest.mark.parametrize("number", range(len(MODELS)), ids=[f"{case.model}-{case.key}={case.value}" for case in MODELS])
def test_each_model_that_cannot_be_built_gets_one_sentence(faults, number):
    sentence, case = faults[f"m{number}"], MODELS[number]
    assert case.word in sentence.partition(": ")[2]
    one_sentence(sentence)


@pytest.mark.parametrize("number", range(len(AUGMENTATIONS)), ids=[str(item) for item, _ in AUGMENTATIONS])
def test_each_augmentation_that_does_not_work_gets_one_sentence(faults, number):
    sentence, (_, word) = faults[f"a{number}"], AUGMENTATIONS[number]
    assert word in sentence.partition(": ")[2]
    one_sentence(sentence)


def one_sentence(text: str) -> None:
    assert "\n" not in text
    assert "; " in text  # what to do
    assert len(text) < 500


@pytest.mark.parametrize("study", ["demo", "tiny"])
def test_a_good_study_has_no_fault(study):
    trials = resolved_study(study)
    sizes, faults = check(trials, {})
    assert faults == []
    assert set(sizes) == {(model, mode) for model, recipes in trials["recipes"].items() for mode in recipes}


def test_published_weights_are_tried_with_their_own_config():
    study = resolved_study("paper")
    models = {"smolvlm": study["models"]["smolvlm"]}
    study = {"models": models, "recipes": study["recipes"], "augmentations": {}, "grid": []}
    assert study["models"]["smolvlm"]["config"] is None
    config = TRIALS["models"][SMOL]["config"] | {"transformers_version": "4.46.0"}
    study["models"]["smolvlm"]["image_size"] = 330
    _, faults = check(study, {"smolvlm": config})
    assert len(faults) == 1
    assert "image_size 330" in faults[0]
    study["models"]["smolvlm"]["image_size"] = 64
    sizes, faults = check(study, {"smolvlm": config})
    assert faults == []
    tiny, _ = check({**TRIALS, "models": {SMOL: TRIALS["models"][SMOL]}, "augmentations": {}}, {})
    assert sizes["smolvlm", "lp"] == tiny[SMOL, "lp"]


def test_the_script_reports_all_faults_at_once_and_writes_nothing(tmp_path):
    study = copy.deepcopy({**TRIALS, "models": {"alexnet-narrow": TRIALS["models"]["alexnet-narrow"]}})
    study["models"]["alexnet-narrow"]["image_size"] = 32
    study["grid"] = [{"models": ["alexnet-narrow"], "augmentations": ["paper"]}]
    study["augmentations"]["paper"] = [{"HorizontalFlop": {}}, {"Rotate": {"limmit": 3}}]
    output, file = tmp_path / "parameters.csv", tmp_path / "study.json"
    resolved.write(resolved.Study(**study | {"arms": []}), file)
    command = [sys.executable, ROOT / "scripts" / "check_arms.py", "--study", file, "--output", output]
    done = subprocess.run(command, env={"PYTHONPATH": str(ROOT / "workflow")}, capture_output=True, text=True)
    assert done.returncode == 1
    first, *faults = done.stderr.strip().splitlines()
    assert first == "error: the study cannot be trained as it is configured"
    assert [fault.partition(":")[0] for fault in faults] == [
        "augmentations.paper",
        "augmentations.paper",
        "models.alexnet-narrow",
    ]
    assert not output.exists()
