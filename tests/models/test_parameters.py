"""Numbers of parameters against those that torchvision publishes, and against sums by hand."""

import csv
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from histobench.io.errors import HistoBenchError
from histobench.models.parameters import size
from histobench.study import config, resolved
from histobench.study.recipes import Lora, Recipe
from histobench.study.spec import CnnSettings, VlmSettings
from tests.models.published_configs import CONFIGS

ROOT = Path(__file__).parents[2]


def study(*files: str) -> config.Config:
    """Return a study of config/, each file laid over those before it."""
    merged: dict = {}
    for file in files:
        update_config(merged, yaml.safe_load((ROOT / "config" / file).read_text()))
    return config.load(merged)


STUDY = study("config.yaml")
NEWER = study("config.yaml", "studies/newer-vlms.yaml")


@pytest.mark.parametrize(
    ("architecture", "published", "embedding"),
    [
        ("torchvision/alexnet", 61_100_840, 4096),
        ("torchvision/vgg19", 143_667_240, 4096),
        ("torchvision/resnet34", 21_797_672, 512),
    ],
)
def test_the_papers_networks(architecture, published, embedding):
    """A classifier of 1000 classes has 1000 (D + 1) parameters, ours D + 1."""
    settings = CnnSettings(architecture=architecture)
    trained = published - 1000 * (embedding + 1) + embedding + 1
    whole = size(settings, Recipe())
    assert (whole.published_form, whole.total, whole.trainable, whole.lora) == (published, trained, trained, 0)
    assert size(settings, Recipe(trainable="head")).trainable == embedding + 1


def test_batch_normalisation_is_not_trained_with_single_images():
    settings = CnnSettings(architecture="torchvision/resnet18", weights="random", width=0.125, image_size=64)
    with pytest.raises(
        HistoBenchError, match=r"^torchvision/resnet18: its batch normalisation needs .* `batch_size: 1`"
    ):
        size(settings, Recipe(batch_size=1))
    for recipe in (Recipe(batch_size=2), Recipe(trainable="head", batch_size=1)):
        assert size(settings, recipe).total
    without = settings.model_copy(update={"architecture": "torchvision/alexnet"})
    assert size(without, Recipe(batch_size=1)).total


def test_a_narrow_alexnet_layer_by_layer():
    """Widths 64 192 384 256 256 and 4096 divided by 8, kernels 11 5 3 3 3, 6x6 positions before the linear layers."""
    convolutions = 8 * (3 * 121 + 1) + 24 * (8 * 25 + 1) + 48 * (24 * 9 + 1) + 32 * (48 * 9 + 1) + 32 * (32 * 9 + 1)
    linear = 512 * (32 * 36 + 1) + 512 * (512 + 1)
    settings = CnnSettings(architecture="torchvision/alexnet", weights="random", width=0.125, image_size=64)
    counted = size(settings, Recipe())
    assert counted.total == convolutions + linear + 513
    assert counted.published_form == convolutions + linear + 1000 * 513


@dataclass(frozen=True)
class Sheet:
    """A published vision-language model from its data sheet: what it holds, worked out by hand."""

    name: str
    hidden: int
    layers: int
    key_value: int
    """Outputs of the key and value projections: heads of theirs times 128 or 64."""
    mlp: int
    decoder: int
    vision: int
    connector: int
    lm_head: int
    vision_block: int
    vision_adapters: int
    """Inputs and outputs of all projections of the vision tower's attention."""

    @property
    def model(self) -> int:
        return self.decoder + self.vision + self.connector

    @property
    def widths(self) -> dict[str, int]:
        """Inputs and outputs of each projection of a decoder layer: an adapter has rank times these."""
        query, key, mlp = 2 * self.hidden, self.hidden + self.key_value, self.hidden + self.mlp
        return {"q": query, "k": key, "v": key, "o": query, "gate": mlp, "up": mlp, "down": mlp}

    def settings(self) -> VlmSettings:
        settings = NEWER.models[self.name].settings
        assert isinstance(settings, VlmSettings)
        return settings.model_copy(update={"config": CONFIGS[self.name]})


def _linear(inputs: int, outputs: int) -> int:
    """A linear layer with bias."""
    return inputs * outputs + outputs


QWEN = Sheet(
    name="qwen2-vl-2b",
    hidden=1536,
    layers=28,
    key_value=2 * 128,
    mlp=8960,
    # Biases on q, k and v; two norms a layer and one at the end; embeddings that are the language-model head too.
    decoder=28 * (_linear(1536, 1536) + 2 * _linear(1536, 256) + 1536 * 1536 + 3 * 1536 * 8960 + 2 * 1536)
    + 1536
    + 151_936 * 1536,
    # Patches of 14 x 14 x 3 in two frames; layer norms have a bias.
    vision=2 * 14 * 14 * 3 * 1280
    + 32 * (_linear(1280, 3840) + _linear(1280, 1280) + _linear(1280, 5120) + _linear(5120, 1280) + 2 * 2 * 1280),
    connector=2 * 1280 + _linear(4 * 1280, 4 * 1280) + _linear(4 * 1280, 1536),
    lm_head=0,
    vision_block=_linear(1280, 3840) + _linear(1280, 1280) + _linear(1280, 5120) + _linear(5120, 1280) + 4 * 1280,
    vision_adapters=32 * ((1280 + 3 * 1280) + (1280 + 1280)),
)
SMOL = Sheet(
    name="smolvlm",
    hidden=2048,
    layers=24,
    key_value=32 * 64,
    mlp=8192,
    decoder=24 * (4 * 2048**2 + 3 * 2048 * 8192 + 2 * 2048) + 2048 + 49_155 * 2048,
    # A convolution with bias over 14 x 14 x 3, and 27 x 27 learned positions.
    vision=_linear(14 * 14 * 3, 1152)
    + 27**2 * 1152
    + 27 * (4 * _linear(1152, 1152) + _linear(1152, 4304) + _linear(4304, 1152) + 2 * 2 * 1152)
    + 2 * 1152,
    # 3 x 3 tokens are shuffled into one.
    connector=9 * 1152 * 2048,
    lm_head=49_155 * 2048,
    vision_block=4 * _linear(1152, 1152) + _linear(1152, 4304) + _linear(4304, 1152) + 4 * 1152,
    vision_adapters=27 * 4 * (1152 + 1152),
)
QWEN25 = Sheet(
    name="qwen2.5-vl-3b",
    hidden=2048,
    layers=36,
    key_value=2 * 128,
    mlp=11008,
    decoder=36 * (_linear(2048, 2048) + 2 * _linear(2048, 256) + 2048 * 2048 + 3 * 2048 * 11008 + 2 * 2048)
    + 2048
    + 151_936 * 2048,
    # Norms have no bias any more; the MLP has a gate.
    vision=2 * 14 * 14 * 3 * 1280
    + 32 * (_linear(1280, 3840) + _linear(1280, 1280) + 2 * _linear(1280, 3420) + _linear(3420, 1280) + 2 * 1280),
    connector=1280 + _linear(4 * 1280, 4 * 1280) + _linear(4 * 1280, 2048),
    lm_head=0,
    vision_block=_linear(1280, 3840) + _linear(1280, 1280) + 2 * _linear(1280, 3420) + _linear(3420, 1280) + 2 * 1280,
    vision_adapters=32 * ((1280 + 3 * 1280) + (1280 + 1280)),
)
QWEN3 = Sheet(
    name="qwen3-vl-2b",
    hidden=2048,
    layers=28,
    key_value=8 * 128,
    mlp=6144,
    # No biases, but norms of the queries and keys of a head.
    decoder=28 * (2 * 2048**2 + 2 * 2048 * 1024 + 3 * 2048 * 6144 + 2 * 2048 + 2 * 128) + 2048 + 151_936 * 2048,
    # Patches of 16 x 16 x 3 in two frames, with bias; 48 x 48 learned positions.
    vision=_linear(2 * 16 * 16 * 3, 1024)
    + 48**2 * 1024
    + 24 * (_linear(1024, 3072) + _linear(1024, 1024) + _linear(1024, 4096) + _linear(4096, 1024) + 2 * 2 * 1024),
    # One merger for the tokens, and three for DeepStack, which normalise after merging.
    connector=4 * (_linear(4096, 4096) + _linear(4096, 2048)) + 2 * 1024 + 3 * 2 * 4096,
    lm_head=0,
    vision_block=_linear(1024, 3072) + _linear(1024, 1024) + _linear(1024, 4096) + _linear(4096, 1024) + 4 * 1024,
    vision_adapters=24 * ((1024 + 3 * 1024) + (1024 + 1024)),
)
# SmolVLM with a larger vocabulary.
SMOL2 = replace(
    SMOL,
    name="smolvlm2",
    decoder=SMOL.decoder + (49_280 - 49_155) * 2048,
    lm_head=SMOL.lm_head + (49_280 - 49_155) * 2048,
)


@pytest.mark.parametrize(
    ("sheet", "published", "lora", "head"),
    [
        (QWEN, 2_208_985_600, 4_358_144, 1_537),
        (SMOL, 2_246_272_880, 6_291_456, 2_049),
        (QWEN25, 3_754_622_976, 7_372_800, 2_049),
        (QWEN3, 2_127_532_032, 6_422_528, 2_049),
        (SMOL2, 2_246_784_880, 6_291_456, 2_049),
    ],
    ids=lambda value: value.name if isinstance(value, Sheet) else "",
)
def test_published_vision_language_models(sheet, published, lora, head):
    """The sheet adds up to the published repositories' number of parameters; of the first two, to the paper's adapters."""
    assert (sheet.model + sheet.lm_head, sheet.hidden + 1) == (published, head)
    assert sheet.layers * 16 * sum(sheet.widths[projection] for projection in "qkvo") == lora
    tuned = size(sheet.settings(), NEWER.recipe(sheet.name, "ft"))
    assert (tuned.published_form, tuned.total) == (published, sheet.model + lora + head)
    assert (tuned.trainable, tuned.lora) == (lora + head, lora)
    probe = size(sheet.settings(), NEWER.recipe(sheet.name, "lp"))
    assert (probe.published_form, probe.total, probe.trainable, probe.lora) == (published, sheet.model + head, head, 0)


@pytest.mark.parametrize("sheet", [QWEN, SMOL, QWEN3], ids=lambda sheet: sheet.name)
@pytest.mark.parametrize(
    ("changes", "lora", "whole"),
    [
        ({"rank": 4}, lambda s: s.layers * 4 * sum(s.widths[p] for p in "qkvo"), lambda s: 0),
        ({"projections": ["q", "v"]}, lambda s: s.layers * 16 * (s.widths["q"] + s.widths["v"]), lambda s: 0),
        ({"projections": ["gate", "up", "down"]}, lambda s: s.layers * 16 * 3 * (s.hidden + s.mlp), lambda s: 0),
        ({"layers": [0, 5, 23], "projections": ["o"]}, lambda s: 3 * 16 * 2 * s.hidden, lambda s: 0),
        (
            {"vision": True, "rank": 8},
            lambda s: 8 * (s.layers * sum(s.widths[p] for p in "qkvo") + s.vision_adapters),
            lambda s: 0,
        ),
        ({"connector": True, "projections": ["k"]}, lambda s: s.layers * 16 * s.widths["k"], lambda s: s.connector),
        (
            {"vision_blocks": 2, "projections": ["k"]},
            lambda s: s.layers * 16 * s.widths["k"],
            lambda s: 2 * s.vision_block,
        ),
    ],
    ids=["rank", "projections", "mlp", "layers", "vision", "connector", "blocks"],
)
def test_other_recipes(sheet, changes, lora, whole):
    counted = size(sheet.settings(), Recipe(trainable="lora", lora=Lora(**changes)))
    adapters, head = lora(sheet), sheet.hidden + 1
    assert (counted.lora, counted.total) == (adapters, sheet.model + adapters + head)
    assert counted.trainable == adapters + head + whole(sheet)


@pytest.mark.slow
def test_the_script_writes_a_row_for_each_mode(tmp_path):
    study, output, config = (
        resolved.resolve(STUDY),
        tmp_path / "parameters.csv",
        tmp_path / "smolvlm-01234567.config.json",
    )
    models = {"r": {"architecture": "torchvision/resnet34"}, "smolvlm": study.models["smolvlm"]}
    recipes = {"ft": Recipe(trainable="all").model_dump(), "lp": Recipe(trainable="head").model_dump()}
    recipes = {"r": recipes, "smolvlm": {"ft": study.recipes["smolvlm"]["ft"]}}
    config.write_text(json.dumps(CONFIGS["smolvlm"]))
    tried = replace(study, models=models, recipes=recipes, augmentations={}, grid=[])
    resolved.write(tried, tmp_path / "study.json")
    command = [sys.executable, ROOT / "scripts" / "check_arms.py", "--study", tmp_path / "study.json"]
    command += ["--config-json", config, "--output", output]
    subprocess.run(command, check=True, env={"PYTHONPATH": str(ROOT / "workflow")})
    with output.open() as file:
        rows = [tuple(row.values()) for row in csv.DictReader(file)]
    total = str(21_797_672 - 1000 * 513 + 513)
    assert rows == [
        ("r", "ft", "21797672", total, total, "0"),
        ("r", "lp", "21797672", total, "513", "0"),
        ("smolvlm", "ft", "2246272880", str(SMOL.model + 6_291_456 + 2_049), "6293505", "6291456"),
    ]
