"""Which arms of a study are the paper's, trained and tested as it says: only these have published values beside them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from histobench.study.recipes import Lora, Recipe
from histobench.study.resolved import Arm, Settings, Study

MODELS = {
    "AlexNet": "alexnet",
    "VGG19": "vgg19",
    "ResNet34": "resnet34",
    "Qwen2-VL-2B": "Qwen2-VL-2B-Instruct",
    "SmolVLM": "SmolVLM-Instruct",
}
"""Name in print -> architecture, with ImageNet weights, or repository of the weights (a folder of one's own has its name)."""
IMAGE_SIZE = 336
FOLDS = 5
AUGMENTATION = ["HorizontalFlip", "Rotate", "RandomBrightnessContrast", "RandomResizedCrop", "Blur"]
OPEN = ("weight_decay", "keep_weights")
"""Keys of a recipe that the paper does not give, or that change no result."""


def arms(study: Study) -> list[Arm]:
    """Return the arms of a study that are the paper's: its model and recipe, on BreakHis in five folds of patients.

    Patients may be slides or, stricter, accession numbers. The defaults of a recipe are those of the paper.
    """
    dataset, split = study.datasets[study.dataset], study.splits.get(study.split, {})
    if study.classes or dataset["format"] != "breakhis" or dataset.get("synthetic") or not dataset.get("complete"):
        return []
    if split.get("by") not in ("patient", "accession") or split["folds"] != FOLDS:
        return []
    tested = {
        (cell["model"], cell["mode"])
        for cell in study.cells
        if (cell["dataset"], cell["split"]) == (study.dataset, study.split)
    }
    return [
        arm
        for arm in study.arms
        if arm.key in tested
        and _is_model(arm.label, study.models[arm.model])
        and _is_recipe(arm.mode, study.recipes[arm.model][arm.mode])
    ]


def counted(study: Study) -> str:
    """Return how many training runs a study has, and how many of them are as in the paper where it is about the paper.

    As in the paper are the modes `ft` and `lp`, with the study's one seed, the split and the augmentations of Tables 4 and 5.
    """
    runs = {
        (*cell.values(), seed, fold): _kind(study, cell, seed)
        for block in study.grid
        for cell in replace(study, grid=[block]).cells
        for seed in block["seeds"]
        for fold in range(study.splits[cell["split"]]["folds"])
    }
    kinds = Counter(runs.values())
    parts = ", ".join(
        f"{kinds[kind]} {kind}" for kind in sorted(kinds, key=lambda kind: (kind != _PAPERS, kind == _OTHERS))
    )
    return f"{len(runs)} training runs" + (f" ({parts})" if study.paper and len(kinds) > 1 else "")


_PAPERS, _OTHERS = "as in the paper", "others"


def _kind(study: Study, cell: Mapping[str, Any], seed: int) -> str:
    if cell["split"] != study.split:
        return f"under split {cell['split']}"
    if seed != study.seed:
        return "with other seeds"
    known = cell["dataset"] == study.dataset and cell["augmentation"] in study.numbered.values()
    return _PAPERS if known and cell["mode"] in ("ft", "lp") else _OTHERS


def is_augmentation(study: Study, table: int) -> bool:
    """Return whether Table 4 of a study is without augmentation, or its Table 5 with the paper's."""
    transforms = study.augmentations.get(study.numbered.get(table, ""), [])
    return [kind for transform in transforms for kind in transform] == (AUGMENTATION if table == 5 else [])


def published(rows: Sequence[Mapping[str, str]], table: int, study: Study) -> list[Mapping[str, str]]:
    """Return the rows of a published table that belong beside a study: those of :func:`arms`, in the paper's setting.

    Tables 1 and 3 have no rows of models.
    """
    if table in (4, 5) and not is_augmentation(study, table):
        return []
    if table == 6 and (not study.external or study.datasets[study.external[0]["on"]]["format"] != "bach"):
        return []
    if table == 6 and study.table6["scale"] != "squashed":
        return []
    known = arms(study)
    models, keys = {arm.label for arm in known}, {(arm.label, arm.mode) for arm in known}
    tuned = {label for label, mode in keys if mode == "ft"}
    match table:
        case 2:
            return [row for row in rows if row["model"] in models]
        case 4 | 5 | 6:
            return [row for row in rows if (row["model"], row["mode"]) in keys]
        case 7:
            return [row for row in rows if {row["first"], row["second"]} <= tuned]
    return list(rows)


def _is_model(label: str, model: Settings) -> bool:
    weights: Any = model["weights"]
    if weights == "imagenet":
        name = model["architecture"].removeprefix("torchvision/") if model["width"] == 1 else ""
    else:
        name = PurePosixPath(weights.get("hub") or weights.get("folder", "")).name if weights != "random" else ""
    return name == MODELS.get(label) and model["image_size"] == IMAGE_SIZE


def _is_recipe(mode: str, recipe: Settings) -> bool:
    kinds = {"ft": ("all", "lora"), "lp": ("head",)}.get(mode, ())
    lora = Lora() if recipe["lora"] else None
    default = Recipe(trainable=recipe["trainable"], lora=lora).model_dump(mode="json")
    if recipe.keys() - default.keys():  # such as `validation`, which are left out where they change nothing
        return False
    fixed = {key: value for key, value in default.items() if key not in OPEN}
    return recipe["trainable"] in kinds and fixed.items() <= recipe.items()
