"""How the names of the study's files read in print."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from histobench.datasets.breakhis import SUBTYPES
from histobench.evaluation.bootstrap import FEWEST
from histobench.evaluation.statistics import FEW
from histobench.study.resolved import Study, printed_mode

Texts = Mapping[str, str]
"""A row of a CSV file."""

ABSENT = "–"
"""What stands for a value that there is not."""
UNKNOWN = "unknown"
"""What stands for magnification 0."""
NO_INTERVAL = "(no interval)"
"""What stands for an interval that is a single value, or that there is not."""
WITHOUT = f"{NO_INTERVAL[1:-1].capitalize()}: every draw gives the same value, or a class has no more groups than there are folds."
HEADS = {
    "on": "Evaluated on",
    "pixel_width": "Pixel width (µm)",
    "pixel_height": "Pixel height (µm)",
    "parameters_millions": "Parameters (M)",
    "lora": "LoRA",
    "f1": "F1-score",
    "auc": "AUC",
    "macro_f1": "Macro F1",
    "macro_auc": "Macro AUC",
    "ece": "ECE",
    "sensitivity_at_95_specificity": "Sensitivity at 95 % specificity",
    "accession_in_training": "Accession number in training",
    "effect_size": "Effect size (dz)",
    "sign_flip_p": "Sign-flip p",
    "mcnemar_p": "McNemar p",
    "delong_p": "DeLong p",
    "nadeau_bengio_p": "Nadeau–Bengio p",
}
"""Heads of the columns whose name does not already read as one, see :func:`head`."""
EMPTY = "Empty: none of its rows could be made; gaps.csv says what could not be used and why."
EMPTY_EXTERNAL = EMPTY.replace("gaps.csv", "external_gaps.csv")
"""A study asks only for tables that its configuration has runs for: rows lack because of gaps."""
BACH_PATIENTS = "Patients are known of 145 of BACH's 400 photographs (29 patients); each other photograph counts as a patient of its own."
OPTIMISTIC = "The best epoch is optimistic: it is chosen on the very images that it is scored on."
HONEST = "Validation groups: a share of the training groups does not train; epoch, threshold and temperature are chosen on them, never on the evaluation fold."
SELECTIONS = {
    "last": "last epoch",
    "validation": "chosen on validation images (honest)",
    "best_epoch": "best epoch (optimistic)",
}
WARNINGS = {"last": [], "validation": [HONEST], "best_epoch": [OPTIMISTIC]}
"""What the caption of a table says of its selection."""


def head(column: str) -> str:
    """Return the name in print of a column, for example `F1-score` of `f1` and of `f1_mean`, and `AUC p` of `auc_p`."""
    column = column.removesuffix("_mean").removesuffix("_estimate")
    if column in HEADS:
        return HEADS[column]
    stem, _, last = column.rpartition("_")
    if stem and last in ("p", "floor", "strict", "difference"):
        return f"{head(stem)} {last}"
    words = column.replace("_", " ")
    return words[:1].upper() + words[1:]


def printed(column: str, text: str) -> str:
    """Return the text of a CSV cell as a reader of the table should see it."""
    match column:
        case "mode":
            return printed_mode(text)
        case "magnification":
            return UNKNOWN if text == "0" else f"{text}×" if text.isdecimal() else text.capitalize()
        case "selection":
            return SELECTIONS[text]
        case "metric":
            return head(text)
        case "parameters" | "trainable" | "lora":
            return f"{int(text):,}"
        case _ if column.endswith("_difference"):
            return minus(text)
        case "input_size":
            return f"{text} × {text}"
    return text


def classifier(recipe: Mapping[str, Any]) -> str:
    """Return what classifies the embeddings of a frozen backbone, where it is not a linear head on each; otherwise nothing."""
    kinds = {
        "knn": f"{recipe.get('neighbours', 20)} nearest neighbours",
        "simpleshot": "nearest class mean (SimpleShot)",
    }
    text = kinds.get(recipe.get("classifier", ""), "linear head")
    if "bag" in recipe:
        text += f" on {'attention-pooled' if recipe['bag'] == 'attention' else 'mean'} embeddings of a patient"
    if "scales" in recipe:
        text += f" on joined embeddings of {', '.join(map(magnified, recipe['scales']))}"
    return "" if text == "linear head" else f"{text}, frozen backbone"


def magnified(magnification: object) -> str:
    """Return a magnification in a sentence: `40×`, or `unknown magnification`."""
    text = printed("magnification", str(magnification))
    return f"{text} magnification" if text == UNKNOWN else text


def bracket(low: str, high: str) -> str:
    """Return the ends of an interval in brackets, or that it is none."""
    return f"[{low}, {high}]" if low and high and low != high else NO_INTERVAL


def remarks(rows: Sequence[Texts], labels: Mapping[str, str]) -> list[str]:
    """Return what a reader must know of the arms in rows of a CSV: which call all images alike, and too few groups.

    Rows may have columns `one_class`, `few_groups`, and with intervals `freedom` and `seeds`; `labels` are the models' names in print.
    """
    freedom = {float(row["freedom"]) for row in rows if row.get("freedom")}
    several = len({row["split"] for row in rows if "split" in row}) > 1
    few = dict.fromkeys(
        row["few_groups"] + (f" (split policy {row['split']})" if several else "")
        for row in rows
        if row.get("few_groups")
    )
    alike = dict.fromkeys(
        f"{labels.get(row['model'], row['model'])} {printed_mode(row['mode'])} ({magnified(row['magnification'])}, "
        f"{found if 'models' in found else f'always {found}'})"
        for row in rows
        if (found := row.get("one_class"))
    )
    seeds = {
        int(row[name])
        for row in rows
        if row.get("freedom")
        for name in ("seeds", "first_seeds", "second_seeds")
        if row.get(name)
    }
    said = [f"One class for all images: {', '.join(alike)}."] if alike else []
    said += [f"Folds with fewer than {FEW} groups of a class: {' / '.join(few)}."] if few else []
    said += [training_variance(seeds)] if seeds else []
    if freedom and min(freedom) < 1:
        said.append("No interval where every fold has a single group of a class.")
    elif freedom and min(freedom) < FEWEST:
        said.append(
            f"Fewer than {FEWEST} degrees of freedom (the effective number of groups of the class that has fewer, less that of "
            "folds): 95 % intervals cover the true value less often."
        )
    return said


def training_variance(seeds: Collection[int]) -> str:
    """Return whether intervals of arms with these numbers of seeds include the variance of training, as a sentence."""
    single, *several = sorted({1, *seeds})
    if single not in seeds:
        return f"Intervals include the variance of training, by {' or '.join(map(str, several))} seeds."
    if several:
        return "Intervals include the variance of training where an arm has several seeds, and leave it out where it has one."
    return "One seed: intervals leave out the variance of training."


def resampled(rows: Sequence[Texts], study: Study) -> str:
    """Return how many groups the scores in rows of a CSV rest on, by split policy, as a sentence without its end.

    For example `81 patients (24 benign, 57 malignant)`.
    """
    found = []
    splits = dict.fromkeys(row["split"] for row in rows)
    for split in splits:
        own = [row for row in rows if row["split"] == split]
        numbers = [span(int(row[f"{name}groups"]) for row in own) for name in ("benign_", "malignant_")]
        said = count((int(row["groups"]) for row in own), study.unit(split))
        found.append(
            f"{said} ({numbers[0]} benign, {numbers[1]} malignant)" + f" by split policy {split}" * (len(splits) > 1)
        )
    return ", ".join(found) or "no group"


def subtype(code: str, dataset: Mapping[str, Any]) -> str:
    """Return a histological type as a word, for example `ductal carcinoma` of BreakHis's DC; other datasets' as they are."""
    known = SUBTYPES if dataset["format"] == "breakhis" else {}
    return known[code][1].replace("_", " ").replace("tumor", "tumour") if code in known else code


def origin(weights: Mapping[str, Any]) -> str:
    """Return where pretrained weights come from: the repository, the package, or the name of the file or folder."""
    path = weights.get("file") or weights.get("folder", "")
    return weights.get("hub") or weights.get("package") or PurePosixPath(path).name


def count(numbers: Iterable[int], noun: str) -> str:
    """Return for example `5 folds`, or `3 to 5 folds` where the numbers are not all equal."""
    text = span(known := list(numbers))
    return f"{text} {noun}{'' if max(known) == 1 else 's'}"


def span(numbers: Iterable[int]) -> str:
    """Return a number, or the lowest and the highest: `3 to 5`."""
    known = set(numbers)
    return f"{min(known)}" if len(known) == 1 else f"{min(known)} to {max(known)}"


def fixed(number: str) -> str:
    """Return a full-precision number with the published tables' four decimals; an absent one stays empty."""
    return f"{float(number):.4f}" if number else ""


def signed(number: float) -> str:
    """Return a difference with four decimals and its sign; empty for NaN."""
    return "" if math.isnan(number) else f"{number:+.4f}"


def minus(text: str) -> str:
    """Return a printed number with true minus signs; one that starts with a plus sign keeps it."""
    return text.replace("-", "−")


def cell(row: Texts, column: str) -> str:
    """Return what a table shows in one cell: `mean ± deviation`, `estimate [low, high]`, or the text of the column."""
    if f"{column}_estimate" in row:
        return f"{row[f'{column}_estimate']} {bracket(row[f'{column}_low'], row[f'{column}_high'])}"
    if row.get(f"{column}_low"):
        return minus(f"{row[column]} {bracket(row[f'{column}_low'], row[f'{column}_high'])}")
    if f"{column}_mean" in row:
        return " ± ".join(filter(None, (row[f"{column}_mean"], row[f"{column}_std"])))
    return printed(column, row[column])
