"""A resolved study of the paper's arms, without any data, for tests of what is made of one."""

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from histobench.study.paper import AUGMENTATION
from histobench.study.recipes import Lora, Recipe
from histobench.study.resolved import Arm, Study

ROOT = Path(__file__).parents[2]
NAMES = {
    "alexnet": "AlexNet",
    "vgg19": "VGG19",
    "resnet34": "ResNet34",
    "qwen2-vl-2b": "Qwen2-VL-2B",
    "smolvlm": "SmolVLM",
}
ARMS = [
    *(Arm(model, "ft", NAMES[model], "cnn", "all") for model in ("alexnet", "vgg19", "resnet34")),
    Arm("qwen2-vl-2b", "lp", "Qwen2-VL-2B", "qwen2-vl", "head"),
    Arm("qwen2-vl-2b", "ft", "Qwen2-VL-2B", "qwen2-vl", "lora"),
    Arm("smolvlm", "lp", "SmolVLM", "smolvlm", "head"),
    Arm("smolvlm", "ft", "SmolVLM", "smolvlm", "lora"),
]

SETTINGS = {
    "image_size": 336,
    "weights": "imagenet",
    "mean": [0.5] * 3,
    "std": [0.25] * 3,
    "readout": "mean",
    "width": 1.0,
}
HUBS = {"qwen2-vl-2b": "Qwen/Qwen2-VL-2B-Instruct", "smolvlm": "HuggingFaceTB/SmolVLM-Instruct"}


MICRONS = {"breakhis": {"40": 0.49, "100": 0.2, "200": 0.1, "400": 0.05}, "bach": {"0": 0.42}}


def settings(arm: Arm) -> dict[str, Any]:
    """Return the settings of an arm's model."""
    weights = {"weights": {"hub": HUBS[arm.model], "revision": "0" * 40}} if arm.model in HUBS else {}
    return SETTINGS | {"family": arm.family, "architecture": f"torchvision/{arm.model}"} | weights


def call(script: str, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    """Run a script in this process."""
    monkeypatch.setattr("sys.argv", [script, *map(str, arguments)])
    runpy.run_path(str(ROOT / "scripts" / f"{script}.py"), run_name="__main__")


def recipe(arm: Arm) -> dict[str, Any]:
    """Return the default recipe of an arm."""
    lora = Lora() if arm.trainable == "lora" else None
    return Recipe(trainable=arm.trainable, lora=lora).model_dump(mode="json")  # type: ignore[arg-type]


def study(**changes: Any) -> Study:
    """Return the study with some fields changed; recipes are the default ones of its arms."""
    arms = changes.get("arms", ARMS)
    recipes: dict[str, dict[str, Any]] = {}
    for arm in arms:
        recipes.setdefault(arm.model, {})[arm.mode] = recipe(arm)
    made = Study(
        name="demo",
        seed=0,
        notes=["Synthetic images.", "Random weights."],
        arms=arms,
        models={arm.model: settings(arm) for arm in arms},
        recipes=recipes,
        datasets={
            name: {"format": name, "synthetic": None, "complete": True, "microns_per_pixel": microns}
            for name, microns in MICRONS.items()
        },
        splits={"patient": {"by": "patient", "folds": 5, "seed": 0, "unit": "patient"}},
        augmentations={"none": [], "paper": [{kind: {"p": 0.5}} for kind in AUGMENTATION]},
        grid=[block(arm) for arm in arms],
        tables={
            "dataset": "breakhis",
            "split": "patient",
            "without_augmentation": "none",
            "with_augmentation": "paper",
        },
        external=[],
        comparisons={"pairs": [], "magnification": 200, "draws": 300, "seed": 0},
        paper=True,
    )
    return replace(made, **changes)


def block(arm: Arm, **changes: Any) -> dict[str, Any]:
    """Return a block of the grid that has one arm."""
    made = {"dataset": "breakhis", "models": [arm.model], "modes": [arm.mode], "splits": ["patient"], "seeds": [0]}
    return made | {"magnifications": [40, 100, 200, 400], "augmentations": ["none", "paper"]} | changes


EXTERNAL = {
    "on": "bach",
    "dataset": "breakhis",
    "models": ["resnet34", "smolvlm"],
    "modes": ["ft"],
    "splits": ["patient"],
    "magnifications": [40, 200],
    "augmentations": ["none"],
    "scales": ["squashed", "matched"],
    "headline": 40,
}
