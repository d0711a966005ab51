"""Numbers of parameters against those that torchvision publishes, and against sums by hand."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from histobench.models.sizes import size
from histobench.study.spec import ModelSettings

ROOT = Path(__file__).parents[2]


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
    settings = ModelSettings(architecture=architecture)
    trained = published - 1000 * (embedding + 1) + embedding + 1
    whole = size(settings, "all")
    assert (whole.published_form, whole.total, whole.trainable) == (published, trained, trained)
    assert size(settings, "head").trainable == embedding + 1


def test_a_narrow_alexnet_layer_by_layer():
    """Widths 64 192 384 256 256 and 4096 divided by 8, kernels 11 5 3 3 3, 6x6 positions before the linear layers."""
    convolutions = 8 * (3 * 121 + 1) + 24 * (8 * 25 + 1) + 48 * (24 * 9 + 1) + 32 * (48 * 9 + 1) + 32 * (32 * 9 + 1)
    linear = 512 * (32 * 36 + 1) + 512 * (512 + 1)
    counted = size(
        ModelSettings(architecture="torchvision/alexnet", weights="random", width=0.125, image_size=64), "all"
    )
    assert counted.total == convolutions + linear + 513
    assert counted.published_form == convolutions + linear + 1000 * 513


def test_the_script_writes_a_row_for_each_mode(tmp_path):
    recipes = {"ft": {"trainable": "all"}, "lp": {"trainable": "head"}}
    models = {"r": {"settings": {"architecture": "torchvision/resnet34"}, "recipes": recipes}}
    output = tmp_path / "parameters.csv"
    command = [
        sys.executable,
        ROOT / "scripts" / "count_parameters.py",
        "--models",
        json.dumps(models),
        "--output",
        output,
    ]
    subprocess.run(command, check=True, env={"PYTHONPATH": str(ROOT / "workflow")})
    with output.open() as file:
        rows = [tuple(row.values()) for row in csv.DictReader(file)]
    total = str(21_797_672 - 1000 * 513 + 513)
    assert rows == [("r", "ft", "21797672", total, total), ("r", "lp", "21797672", total, "513")]
