"""Table 3: how the models are trained."""

from collections.abc import Sequence

from histobench.report.published_tables import beside
from histobench.report.render import Table
from histobench.report.terms import Texts, classifier
from histobench.study.outputs import title
from histobench.study.resolved import Settings, Study

COLUMNS: tuple[str, ...] = ("category", "hyperparameter", "value")


def hyperparameter_tables(published: Sequence[Texts], study: Study) -> tuple[Table, Table]:
    """Return Table 3, how the models are trained, and its companion.

    A value that not all arms share is followed by the arms that have it.
    """
    owners: dict[str, dict[str, dict[str, list[str]]]] = {}  # category -> name -> value -> arms
    recipes = [study.recipes[arm.model][arm.mode] for arm in study.arms]
    kept = any("validation" in recipe for recipe in recipes)
    text = any("prompt" in recipe or "prompts" in recipe for recipe in recipes)
    for arm, recipe in zip(study.arms, recipes, strict=True):
        of_arm = _values(recipe, kept, bool(study.classes))
        if text and (arm.is_vlm or "prompts" in recipe):
            own = recipe["prompts"] if "prompts" in recipe else [recipe["prompt"]] if "prompt" in recipe else ["none"]
            of_arm["Training"]["Text after the image" if arm.is_vlm else "Start of captions"] = " / ".join(own)
        for category, values in of_arm.items():
            names = owners.setdefault(category, {})
            for name, value in values.items():
                names.setdefault(name, {}).setdefault(value, []).append(arm.name)
    texts = [
        (category, name, "; ".join(f"{value} ({', '.join(arms)})" for value, arms in values.items()))
        if len(values) > 1
        else (category, name, next(iter(values)))
        for category, names in owners.items()
        for name, values in names.items()
    ]
    texts += [
        ("Training", "Augmentation", "; ".join(_augmentation(*item) for item in study.augmentations.items())),
        ("Training", "Evaluation", "; ".join(dict.fromkeys(_evaluation(split) for split in study.splits.values()))),
    ]
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in texts]
    table = Table.of(title(study, "table3"), study.caption("Training hyperparameters."), COLUMNS, rows, COLUMNS)
    ours = {row[:2] for row in texts}
    keys = [(row.get("category", ""), row.get("hyperparameter", "")) for row in published]
    only_published = [dict(zip(COLUMNS, (*key, ""), strict=True)) for key in keys if key not in ours]
    caption = study.caption("Training hyperparameters; a dash marks what one side lacks.")
    return table, beside(table.title, [*rows, *only_published], published, COLUMNS[:2], COLUMNS[2:], caption)


def _values(recipe: Settings, kept: bool, several: bool) -> dict[str, dict[str, str]]:
    """Return for each category the name and value of each setting of a recipe; what does not apply is left out.

    `kept` tells whether any recipe of the study keeps training groups for choosing, `several` whether it has several classes.
    """
    if recipe["trainable"] == "none":
        answers = [f"{label}: {', '.join(map(str.strip, words))}" for label, words in recipe["answers"].items()]
        return {"Training": {"Trained parameters": "none (zero-shot)", "Words of an answer": "; ".join(answers)}}
    optimization = {
        "Learning rate": _scientific(recipe["learning_rate"]),
        "Optimizer": "AdamW",
        "Weight decay": f"{recipe['weight_decay']:g}",
        "Scheduler": "CosineAnnealing (T_max = optimizer steps per epoch x epochs)",
        "Loss function": "CrossEntropyLoss" if several else "BCEWithLogitsLoss",
    }
    if "classifier" in recipe:
        optimization = {}
    adapters = {}
    if lora := recipe["lora"]:
        adapters = {
            "Rank r": str(lora["rank"]),
            "alpha": str(lora["alpha"]),
            "Dropout": f"{lora['dropout']:g}",
            "Projections": ", ".join(lora["projections"]),
        }
    if lora and lora["projections"] != ["conv"]:  # of a CNN
        blocks = lora.get("vision_blocks")
        adapters |= {
            "Decoder layers": ", ".join(map(str, lora["layers"] or ["all"])),
            "Vision tower": "LoRA on its attention" if lora["vision"] else "frozen",
            "Connector": "trained" if lora["connector"] else "frozen",
            **({"Last blocks of the vision tower": f"{blocks} trained"} if blocks else {}),
        }
    trained = {"all": "all", "head": "linear head on frozen backbone", "lora": "LoRA adapters and linear head"}
    trained |= {"last": "last block, what follows it, and linear head"}
    training = {
        "Batch size": f"{recipe['batch_size']}{' patients' if 'bag' in recipe else ''}",
        "Epochs": str(recipe["epochs"]),
        "Trained parameters": classifier(recipe) or trained[recipe["trainable"]],
    }
    if "patients_per_class" in recipe:
        training["Patients of each class that train"] = str(recipe["patients_per_class"])
    if "classifier" in recipe:
        del training["Batch size"], training["Epochs"]
    elif recipe["trainable"] == "head":
        training["Embeddings standardised"] = "yes" if recipe["standardise"] else "no"
    if stain := recipe.get("stain"):
        training["Stain normalisation"] = f"{stain.capitalize()}, to the training images"
    if kept:
        share = f"{recipe['validation']:g} of the training groups" if "validation" in recipe else "nothing"
        training["Kept for choosing epoch, threshold and temperature"] = share
    return {"Optimization": optimization, "LoRA (FT only)": adapters, "Training": training}


def _scientific(value: float) -> str:
    """Return a small number as the paper writes it, 1e-4; others as they are."""
    if value >= 0.01:
        return f"{value:g}"
    mantissa, exponent = f"{value:e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def _augmentation(name: str, transforms: Sequence[Settings]) -> str:
    kinds = ", ".join(kind for transform in transforms for kind in transform)
    return f"{name}: {kinds}" if kinds else name


def _evaluation(split: Settings) -> str:
    if split["by"] == "official":
        return f"{split['folds']} official patient-level hold-outs"
    if split["by"] == "file":
        return f"{split['folds']} given folds" if split["folds"] > 1 else "one given hold-out"
    return f"{split['folds']}-fold {split['by']}-level cross-validation"
