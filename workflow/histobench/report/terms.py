"""How the names of the study's files read in print."""

from collections.abc import Iterable, Mapping

from histobench.study.resolved import printed_mode

Texts = Mapping[str, str]
"""A row of a CSV file."""

HEADS = {
    "dataset": "Dataset",
    "on": "Evaluated on",
    "model": "Model",
    "mode": "Mode",
    "split": "Split",
    "magnification": "Magnification",
    "augmentation": "Augmentation",
    "selection": "Selection",
    "folds": "Folds",
    "benign": "Benign",
    "malignant": "Malignant",
    "total": "Total",
    "train": "Train",
    "test": "Test",
    "parameters_millions": "Parameters (M)",
    "input_size": "Input size",
    "pretrained": "Pretrained",
    "category": "Category",
    "hyperparameter": "Hyperparameter",
    "value": "Value",
    "accuracy": "Accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1-score",
    "auc": "AUC",
    "patient_rate": "Patient rate",
    "balanced_accuracy": "Balanced accuracy",
    "ece": "ECE",
    "sensitivity_at_95_specificity": "Sensitivity at 95 % specificity",
    "first": "First",
    "second": "Second",
}
EMPTY = "Empty: none of its rows could be made; gaps.csv says what could not be used and why."
"""A study asks only for tables that its configuration has runs for: rows lack because of gaps."""
OPTIMISTIC = "The best epoch is optimistic: it is chosen on the very images that it is scored on."
SELECTIONS = {"last": "last epoch", "best_epoch": "best epoch (optimistic)"}


def printed(column: str, text: str) -> str:
    """Return the text of a CSV cell as a reader of the table should see it."""
    match column:
        case "mode":
            return printed_mode(text)
        case "magnification":
            return "–" if text == "0" else f"{text}×" if text.isdecimal() else text.capitalize()
        case "selection":
            return SELECTIONS[text]
    return text


def count(numbers: Iterable[int], noun: str) -> str:
    """Return for example `5 folds`, or `3 to 5 folds` where the numbers are not all equal."""
    known = set(numbers)
    low, high = min(known), max(known)
    text = f"{low}" if low == high else f"{low} to {high}"
    return f"{text} {noun}{'' if high == 1 else 's'}"


def fixed(number: str) -> str:
    """Return a full-precision number with the published tables' four decimals; an absent one stays empty."""
    return f"{float(number):.4f}" if number else ""


def spread(row: Texts, metric: str) -> str:
    """Return mean ± standard deviation of a metric; the mean alone where there is no deviation."""
    mean, deviation = row[f"{metric}_mean"], row[f"{metric}_std"]
    return f"{mean} ± {deviation}" if deviation else mean
