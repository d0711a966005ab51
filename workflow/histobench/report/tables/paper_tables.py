"""Tables 1 to 5 of the comparison as a study reproduces them, each with a companion beside the published one.

Every function takes rows as the files hold them (texts by column name) and returns tables; none reads or writes. The
CSV of a table holds the numbers as printed, so that the companion's differences can be checked by hand; full precision
stands in `summary.csv`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from histobench.io.errors import HistoBenchError
from histobench.metrics import METRICS, SCORES
from histobench.report.published_tables import beside
from histobench.report.render import Bold, Table
from histobench.report.terms import HEADS, count, printed

Texts = Mapping[str, str]

ARM_KEYS = ("model", "mode", "magnification")
RESULTS_COLUMNS = (*ARM_KEYS, *(f"{score}_{statistic}" for score in SCORES for statistic in ("mean", "std")))
SCORES_KEYS = ("dataset", "model", "mode", "magnification", "augmentation", "split", "selection")
SCORES_COLUMNS = (
    *SCORES_KEYS,
    "folds",
    *(f"{metric}_{statistic}" for metric in METRICS for statistic in ("mean", "std")),
)
COMPARED = "Cells read: reproduced / published (reproduced minus published); a dash marks what one side lacks."
EMPTY = "Empty: none of its rows could be made; gaps.csv says what could not be used and why."
EMPTY_EXTERNAL = EMPTY.replace("gaps.csv", "external_gaps.csv")
"""A study asks only for tables that its configuration has runs for: rows lack because of gaps."""
OPTIMISTIC = "The best epoch is optimistic: it is chosen on the very images that it is scored on."


@dataclass(frozen=True)
class Context:
    """What every caption of a study says."""

    study: str
    """Name of the study."""
    names: Mapping[str, str]
    """Name of each model in print; a model without one keeps its own."""
    notes: Sequence[str] = ()
    """Sentences that a reader must not miss, for example that images are synthetic or weights random."""

    def caption(self, *sentences: str) -> str:
        """Return `sentences`, the study's name and its notes as one caption."""
        return " ".join([*sentences, f"Study: {self.study}.", *self.notes])

    def name(self, model: str) -> str:
        """Return a model's name in print."""
        return self.names.get(model, model)


def dataset_tables(
    images: Mapping[int, Mapping[str, int]],
    sizes: Mapping[int, Sequence[tuple[int, int]]],
    published: Sequence[Texts],
    dataset: str,
    split: str,
    context: Context,
) -> tuple[Table, Table]:
    """Return Table 1, images per magnification and class with mean sizes of the folds' two sides, and its companion.

    Args:
        images: for each magnification the number of `benign` and `malignant` images.
        sizes: for each magnification the (train, test) images of each fold.
        published: rows of the published Table 1.
        dataset: name of the dataset.
        split: name of the split policy.
        context: study, names and notes.
    """
    columns = ("magnification", "benign", "malignant", "total", "train", "test")
    numbers = []
    for magnification in sorted(images):
        benign, malignant = images[magnification]["benign"], images[magnification]["malignant"]
        means = [sum(side) / len(side) for side in zip(*sizes[magnification], strict=True)]
        numbers.append((str(magnification), benign, malignant, benign + malignant, *means))
    numbers.append(("total", *(sum(column) for column in list(zip(*numbers, strict=True))[1:])))
    texts = ([f"{value:.1f}" if isinstance(value, float) else str(value) for value in row] for row in numbers)
    rows: list[dict[str, str]] = [dict(zip(columns, row, strict=True)) for row in texts]
    folds = count((len(side) for side in sizes.values()), "fold")
    table = Table(
        title="Table 1",
        caption=context.caption(
            f"Images of dataset {dataset} per magnification and class.",
            f"Train and test: mean number of images over {folds} of the split policy {split}.",
        ),
        columns=columns,
        rows=rows,
        header=tuple(HEADS[column] for column in columns),
        cells=[tuple(printed(column, row[column]) for column in columns) for row in rows],
    )
    caption = context.caption(
        f"Images of dataset {dataset} per magnification and class, train and test as mean over {folds} of the "
        f"split policy {split}; the published train and test sizes are those of one 70/30 split.",
        COMPARED,
    )
    return table, beside(table.title, rows, published, columns[:1], columns[1:], caption)


def model_tables(
    parameters: Sequence[Texts],
    settings: Mapping[str, Mapping[str, Any]],
    published: Sequence[Texts],
    context: Context,
) -> tuple[Table, Table]:
    """Return Table 2, the size of the models, and its companion.

    Args:
        parameters: rows with model, mode, `parameters_published_form` (with the original head; may be empty),
            `parameters` (as trained, with one output), `trainable` and, of these, `lora`.
        settings: for each model its settings; `image_size` and `weights` are read.
        published: rows of the published Table 2.
        context: study, names and notes.
    """
    columns = ("model", "mode", "parameters_millions", "parameters", "trainable", "lora", "input_size", "pretrained")
    rows, cells = [], []
    for line in parameters:
        form = line["parameters_published_form"]
        row = {
            "model": context.name(line["model"]),
            "mode": line["mode"],
            "parameters_millions": f"{int(form) / 1e6:.1f}" if form else "",
            "parameters": line["parameters"],
            "trainable": line["trainable"],
            "lora": line["lora"],
            "input_size": str(settings[line["model"]]["image_size"]),
            "pretrained": _pretrained(settings[line["model"]]["weights"]),
        }
        rows.append(row)
        size = row["input_size"]
        counts = (f"{int(row[column]):,}" for column in ("parameters", "trainable", "lora"))
        arm = (row["model"], printed("mode", row["mode"]))
        cells.append((*arm, row["parameters_millions"], *counts, f"{size} × {size}", row["pretrained"]))
    sentence = (
        "Size of the models: parameters in millions with the original head (1000 classes, or the language model's)"
    )
    table = Table(
        title="Table 2",
        caption=context.caption(f"{sentence}, and exact numbers as trained, with a head of one output instead."),
        columns=columns,
        rows=rows,
        header=("Model", "Mode", "Parameters (M)", "As trained", "Trainable", "LoRA", "Input size", "Pretrained"),
        cells=cells,
    )
    models = list({row["model"]: row for row in rows}.values())
    quantities = ("parameters_millions", "input_size", "pretrained")
    caption = context.caption(f"{sentence}.", COMPARED)
    return table, beside(table.title, models, published, ("model",), quantities, caption)


def hyperparameter_tables(
    recipes: Mapping[tuple[str, str], Mapping[str, Any]],
    augmentations: Mapping[str, Sequence[Mapping[str, Any]]],
    splits: Mapping[str, Mapping[str, Any]],
    published: Sequence[Texts],
    context: Context,
) -> tuple[Table, Table]:
    """Return Table 3, how the models are trained, and its companion.

    A value that not all arms share is followed by the arms that have it.

    Args:
        recipes: for each (model, mode) its recipe, the fields of :class:`histobench.study.spec.Recipe`.
        augmentations: the study's named lists of transforms.
        splits: the study's split policies, with `by` and `folds`.
        published: rows of the published Table 3.
        context: study, names and notes.
    """
    arms = {f"{context.name(model)} {printed('mode', mode)}": recipe for (model, mode), recipe in recipes.items()}
    values = [(category, title, _shared(arms, read)) for category, title, read, _ in HYPERPARAMETERS]
    values += [
        ("Training", "Augmentation", "; ".join(_augmentation(*item) for item in augmentations.items())),
        ("Training", "Evaluation", "; ".join(dict.fromkeys(_evaluation(split) for split in splits.values()))),
    ]
    columns = ("category", "hyperparameter", "value")
    rows: list[dict[str, str]] = [dict(zip(columns, row, strict=True)) for row in values if row[2]]
    table = Table(
        title="Table 3",
        caption=context.caption("Training hyperparameters."),
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
    caption = context.caption("Training hyperparameters; a dash marks what one side lacks.")
    return table, beside(table.title, [*rows, *only_published], published, columns[:2], columns[2:], caption)


def results_tables(
    summary: Sequence[Texts],
    published: Sequence[Texts],
    number: int,
    dataset: str,
    split: str,
    augmentation: str,
    selection: str,
    context: Context,
) -> tuple[Table, Table]:
    """Return Table 4 or 5, the scores per arm and magnification, and its companion.

    Published arms come first, in the order of the published table; the others follow in the order of `summary`.

    Args:
        summary: rows of `summary.csv`, of which those of `dataset`, `split`, `augmentation` and `selection` are used.
        published: rows of the published table.
        number: number of the table.
        dataset: name of the dataset.
        split: name of the split policy.
        augmentation: name of the augmentation.
        selection: `last` or `best_epoch`.
        context: study, names and notes.

    Raises:
        HistoBenchError: two models have the same name in print.
    """
    wanted = {"dataset": dataset, "split": split, "augmentation": augmentation, "selection": selection}
    chosen = [row for row in summary if all(row[column] == value for column, value in wanted.items())]
    rows = [
        {"model": context.name(row["model"]), "mode": row["mode"], "magnification": row["magnification"]}
        | {column: _fixed(row[column]) for column in RESULTS_COLUMNS[len(ARM_KEYS) :]}
        for row in chosen
    ]
    arms = [(row.get("model"), row.get("mode")) for row in (*published, *rows)]
    rows.sort(key=lambda row: (arms.index((row["model"], row["mode"])), int(row["magnification"])))
    if len({tuple(row[key] for key in ARM_KEYS) for row in rows}) < len(rows):
        raise HistoBenchError(
            f"Table {number}: two models of study {context.study} have the same name in print; "
            "give each its own `label` in the configuration"
        )
    folds = count((int(row["folds"]) for row in chosen), "fold") if chosen else "no fold"
    setting = (
        f"dataset {dataset}, split policy {split}, augmentation {augmentation}, {printed('selection', selection)}, "
        f"mean ± sample standard deviation over {folds}."
    )
    warning = [OPTIMISTIC] if selection == "best_epoch" else []
    if not rows:
        warning.append(EMPTY)
    table = Table(
        title=f"Table {number}" + (", best epoch" if selection == "best_epoch" else ""),
        caption=context.caption(
            f"Classification results: {setting}", *warning, "Bold: best per metric and magnification."
        ),
        columns=RESULTS_COLUMNS,
        rows=rows,
        header=tuple(HEADS[column] for column in (*ARM_KEYS, *SCORES)),
        cells=[
            (*(printed(key, row[key]) for key in ARM_KEYS), *(_score_cell(row, score, rows) for score in SCORES))
            for row in rows
        ],
    )
    caption = context.caption(
        f"Classification results beside the published ones: {setting}",
        *warning,
        f"{COMPARED} Means are shown; the CSV has the standard deviations too.",
    )
    means = {f"{score}_mean": score for score in SCORES}
    return table, beside(table.title, rows, published, ARM_KEYS, RESULTS_COLUMNS[len(ARM_KEYS) :], caption, means)


def scores_table(
    summary: Sequence[Texts],
    splits: Mapping[str, Mapping[str, Any]],
    equal_pixels: Mapping[tuple[str, str], Sequence[int]],
    context: Context,
) -> Table:
    """Return the scores of every arm of a study, under every split policy and both selections.

    Split policies and selections of one arm follow each other, in the order of `summary`.

    Args:
        summary: rows of `summary.csv`.
        splits: the study's split policies, with `by`.
        equal_pixels: for each (dataset, split) the pairs of images with equal pixels on both sides of each fold.
        context: study, names and notes.
    """
    places: dict[str, dict[str, int]] = {key: {} for key in SCORES_KEYS}
    for row in summary:
        for key, seen in places.items():
            seen.setdefault(row[key], int(row[key]) if key == "magnification" else len(seen))
    ordered = sorted(summary, key=lambda row: [places[key][row[key]] for key in SCORES_KEYS])
    rows = [
        {key: row[key] for key in SCORES_COLUMNS}
        | {"model": context.name(row["model"])}
        | {column: _fixed(row[column]) for column in SCORES_COLUMNS[len(SCORES_KEYS) + 1 :]}
        for row in ordered
    ]
    shown = (*(SCORES_KEYS if len(places["dataset"]) > 1 else SCORES_KEYS[1:]), "folds")
    return Table(
        title="Scores of every arm",
        caption=context.caption(
            f"Dataset {' and '.join(places['dataset'])}: mean ± sample standard deviation over folds.",
            "Patient rate: mean over patients of the share of a patient's images that are classified correctly.",
            *(
                f"Split policy {split} lets images of one patient into both sides: a deliberately leaky control."
                for split in places["split"]
                if splits[split]["by"] == "image"
            ),
            *(
                f"Dataset {dataset}, split policy {split}: images with equal pixels stand on both sides of a fold, "
                f"{', '.join(map(str, pairs))} pairs in folds 1 to {len(pairs)}."
                for (dataset, split), pairs in equal_pixels.items()
                if any(pairs)
            ),
            OPTIMISTIC,
        ),
        columns=SCORES_COLUMNS,
        rows=rows,
        header=tuple(HEADS[key] for key in (*shown, *METRICS)),
        cells=[
            (*(printed(key, row[key]) for key in shown), *(_spread(row, metric) for metric in METRICS)) for row in rows
        ],
    )


def _fixed(number: str) -> str:
    """Return a full-precision number with the published tables' four decimals; an absent one stays empty."""
    return f"{float(number):.4f}" if number else ""


def _spread(row: Texts, metric: str) -> str:
    mean, deviation = row[f"{metric}_mean"], row[f"{metric}_std"]
    return f"{mean} ± {deviation}" if deviation else mean


def _score_cell(row: Texts, score: str, rows: Sequence[Texts]) -> str:
    """Return mean and deviation, in bold where the mean is the best of several at its magnification."""
    rivals = [float(other[f"{score}_mean"]) for other in rows if other["magnification"] == row["magnification"]]
    best = len(rivals) > 1 and float(row[f"{score}_mean"]) == max(rivals)
    return Bold(_spread(row, score)) if best else _spread(row, score)


def _pretrained(weights: str | Mapping[str, Any]) -> str:
    if isinstance(weights, str):
        return {"imagenet": "ImageNet", "random": "no (random)"}[weights]
    if "hub" in weights:
        return f"{weights['hub']} ({weights['revision'][:7]})"
    return weights.get("package") or PurePosixPath(weights["file"]).name


def _adapters(read: Callable[[Mapping[str, Any]], str]) -> Callable[[Mapping[str, Any]], str | None]:
    """Return how a value of the adapters is read from a recipe: None where there are none."""
    return lambda recipe: read(recipe["lora"]) if recipe["lora"] else None


def _scientific(value: float) -> str:
    """Return a small number as the paper writes it, 1e-4; others as they are."""
    if value >= 0.01:
        return f"{value:g}"
    mantissa, exponent = f"{value:e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


LORA: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "Rank r": lambda lora: str(lora["rank"]),
    "alpha": lambda lora: str(lora["alpha"]),
    "Dropout": lambda lora: f"{lora['dropout']:g}",
    "Projections": lambda lora: ", ".join(lora["projections"]),
    "Decoder layers": lambda lora: ", ".join(map(str, lora["layers"] or ["all"])),
    "Vision tower": lambda lora: "LoRA on its attention" if lora["vision"] else "frozen",
    "Connector": lambda lora: "trained" if lora["connector"] else "frozen",
}
"""Name, and how the value is read from the fields of :class:`histobench.study.spec.Lora`; the first three are the paper's."""

HYPERPARAMETERS: tuple[tuple[str, str, Callable[[Mapping[str, Any]], str | None], tuple[str, ...]], ...] = (
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


def _shared(arms: Mapping[str, Mapping[str, Any]], read: Callable[[Mapping[str, Any]], str | None]) -> str:
    owners: dict[str, list[str]] = {}
    for arm, recipe in arms.items():
        value = read(recipe)
        if value is not None:
            owners.setdefault(value, []).append(arm)
    if len(owners) == 1:
        return next(iter(owners))
    return "; ".join(f"{value} ({', '.join(names)})" for value, names in owners.items())


def _augmentation(name: str, transforms: Sequence[Mapping[str, Any]]) -> str:
    kinds = ", ".join(kind for transform in transforms for kind in transform)
    return f"{name}: {kinds}" if kinds else name


def _evaluation(split: Mapping[str, Any]) -> str:
    if split["by"] == "official":
        return f"{split['folds']} official patient-level hold-outs"
    return f"{split['folds']}-fold {split['by']}-level cross-validation"
