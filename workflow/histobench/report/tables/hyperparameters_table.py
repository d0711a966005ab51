"""Table 3: how the models are trained."""

from collections.abc import Callable, Mapping, Sequence

from histobench.report.published_tables import beside
from histobench.report.render import Table
from histobench.report.terms import HEADS, Texts
from histobench.study.resolved import Settings, Study


def hyperparameter_tables(
    published: Sequence[Texts],
    study: Study,
) -> tuple[Table, Table]:
    """Return Table 3, how the models are trained, and its companion.

    A value that not all arms share is followed by the arms that have it.

    Args:
        published: rows of the published Table 3.
        study: the resolved study.
    """
    arms = {arm.name: study.recipes[arm.model][arm.mode] for arm in study.arms}
    values = [(category, title, _shared(arms, read)) for category, title, read, _ in HYPERPARAMETERS]
    values += [
        ("Training", "Augmentation", "; ".join(_augmentation(*item) for item in study.augmentations.items())),
        ("Training", "Evaluation", "; ".join(dict.fromkeys(_evaluation(split) for split in study.splits.values()))),
    ]
    columns = ("category", "hyperparameter", "value")
    rows: list[dict[str, str]] = [dict(zip(columns, row, strict=True)) for row in values if row[2]]
    table = Table(
        title="Table 3",
        caption=study.caption("Training hyperparameters."),
        columns=columns,
        rows=rows,
        header=tuple(HEADS[column] for column in columns),
        cells=[tuple(row.values()) for row in rows],
    )
    ours = {(row["category"], row["hyperparameter"]) for row in rows}
    only_published = [
        {"category": row.get("category", ""), "hyperparameter": row.get("hyperparameter", ""), "value": ""}
        for row in published
        if (row.get("category"), row.get("hyperparameter")) not in ours
    ]
    caption = study.caption("Training hyperparameters; a dash marks what one side lacks.")
    return table, beside(table.title, [*rows, *only_published], published, columns[:2], columns[2:], caption)


def _adapters(read: Callable[[Settings], str]) -> Callable[[Settings], str | None]:
    """Return how a value of the adapters is read from a recipe: None where there are none."""
    return lambda recipe: read(recipe["lora"]) if recipe["lora"] else None


def _scientific(value: float) -> str:
    """Return a small number as the paper writes it, 1e-4; others as they are."""
    if value >= 0.01:
        return f"{value:g}"
    mantissa, exponent = f"{value:e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


LORA: dict[str, Callable[[Settings], str]] = {
    "Rank r": lambda lora: str(lora["rank"]),
    "alpha": lambda lora: str(lora["alpha"]),
    "Dropout": lambda lora: f"{lora['dropout']:g}",
    "Projections": lambda lora: ", ".join(lora["projections"]),
    "Decoder layers": lambda lora: ", ".join(map(str, lora["layers"] or ["all"])),
    "Vision tower": lambda lora: "LoRA on its attention" if lora["vision"] else "frozen",
    "Connector": lambda lora: "trained" if lora["connector"] else "frozen",
}
"""Name, and how the value is read from the fields of :class:`histobench.study.spec.Lora`; the first three are the paper's."""

HYPERPARAMETERS: tuple[tuple[str, str, Callable[[Settings], str | None], tuple[str, ...]], ...] = (
    ("Optimization", "Learning rate", lambda recipe: _scientific(recipe["learning_rate"]), ("learning_rate",)),
    ("Optimization", "Optimizer", lambda recipe: "AdamW", ()),
    ("Optimization", "Weight decay", lambda recipe: f"{recipe['weight_decay']:g}", ("weight_decay",)),
    ("Optimization", "Scheduler", lambda recipe: "CosineAnnealing (T_max = optimizer steps per epoch x epochs)", ()),
    ("Optimization", "Loss function", lambda recipe: "BCEWithLogitsLoss", ()),
    *(("LoRA (FT only)", title, _adapters(read), ("lora",)) for title, read in LORA.items()),
    ("Training", "Batch size", lambda recipe: str(recipe["batch_size"]), ("batch_size",)),
    ("Training", "Epochs", lambda recipe: str(recipe["epochs"]), ("epochs",)),
    (
        "Training",
        "Trained parameters",
        lambda recipe: {
            "all": "all",
            "head": "linear head on frozen backbone",
            "lora": "LoRA adapters and linear head",
        }[recipe["trainable"]],
        ("trainable",),
    ),
    (
        "Training",
        "Embeddings standardised",
        lambda recipe: ("yes" if recipe["standardise"] else "no") if recipe["trainable"] == "head" else None,
        ("standardise",),
    ),
)
"""Category, name, how the value is read from a recipe (None where it does not apply), the recipe's fields it shows."""


def _shared(arms: Mapping[str, Settings], read: Callable[[Settings], str | None]) -> str:
    owners: dict[str, list[str]] = {}
    for arm, recipe in arms.items():
        value = read(recipe)
        if value is not None:
            owners.setdefault(value, []).append(arm)
    if len(owners) == 1:
        return next(iter(owners))
    return "; ".join(f"{value} ({', '.join(names)})" for value, names in owners.items())


def _augmentation(name: str, transforms: Sequence[Settings]) -> str:
    kinds = ", ".join(kind for transform in transforms for kind in transform)
    return f"{name}: {kinds}" if kinds else name


def _evaluation(split: Settings) -> str:
    if split["by"] == "official":
        return f"{split['folds']} official patient-level hold-outs"
    return f"{split['folds']}-fold {split['by']}-level cross-validation"
