"""How the names of the study's files read in print."""

from collections.abc import Iterable

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
SELECTIONS = {"last": "last epoch", "best_epoch": "best epoch (optimistic)"}


def printed(column: str, text: str) -> str:
    """Return the text of a CSV cell as a reader of the table should see it."""
    match column:
        case "mode":
            return {"ft": "FT", "lp": "LP"}.get(text, text)
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
