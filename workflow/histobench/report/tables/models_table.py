"""Table 2: the size of the models."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from histobench.report.published_tables import COMPARED, beside
from histobench.report.render import Table
from histobench.report.terms import Texts, printed
from histobench.study.resolved import Study

COLUMNS = ("model", "mode", "parameters_published_form", "parameters", "trainable", "lora")
"""Columns of `parameters.csv`."""


def model_tables(
    parameters: Sequence[Texts],
    published: Sequence[Texts],
    study: Study,
) -> tuple[Table, Table]:
    """Return Table 2, the size of the models, and its companion.

    Args:
        parameters: rows with model, mode, `parameters_published_form` (with the original head; may be empty),
            `parameters` (as trained, with one output), `trainable` and, of these, `lora`.
        published: rows of the published Table 2.
        study: the resolved study.
    """
    columns = ("model", "mode", "parameters_millions", "parameters", "trainable", "lora", "input_size", "pretrained")
    rows, cells = [], []
    for line in parameters:
        form = line["parameters_published_form"]
        row = {
            "model": study.label(line["model"]),
            "mode": line["mode"],
            "parameters_millions": f"{int(form) / 1e6:.1f}" if form else "",
            "parameters": line["parameters"],
            "trainable": line["trainable"],
            "lora": line["lora"],
            "input_size": str(study.models[line["model"]]["image_size"]),
            "pretrained": _pretrained(study.models[line["model"]]["weights"]),
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
        caption=study.caption(f"{sentence}, and exact numbers as trained, with a head of one output instead."),
        columns=columns,
        rows=rows,
        header=("Model", "Mode", "Parameters (M)", "As trained", "Trainable", "LoRA", "Input size", "Pretrained"),
        cells=cells,
    )
    models = list({row["model"]: row for row in rows}.values())
    quantities = ("parameters_millions", "input_size", "pretrained")
    caption = study.caption(f"{sentence}.", COMPARED)
    return table, beside(table.title, models, published, ("model",), quantities, caption)


def _pretrained(weights: str | Mapping[str, Any]) -> str:
    if isinstance(weights, str):
        return {"imagenet": "ImageNet", "random": "no (random)"}[weights]
    if "hub" in weights:
        return f"{weights['hub']} ({weights['revision'][:7]})"
    return weights.get("package") or PurePosixPath(weights["file"]).name
