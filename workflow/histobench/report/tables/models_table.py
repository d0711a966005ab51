"""Table 2: the size of the models."""

from collections.abc import Mapping, Sequence
from typing import Any

from histobench.report.published_tables import COMPARED, beside
from histobench.report.render import Table
from histobench.report.terms import Texts, origin
from histobench.study.outputs import title
from histobench.study.resolved import Study

COLUMNS = ("model", "mode", "parameters_published_form", "parameters", "trainable", "lora")
"""Columns of `parameters.csv`."""


def model_tables(parameters: Sequence[Texts], published: Sequence[Texts], study: Study) -> tuple[Table, Table]:
    """Return Table 2, the size of the models, and its companion.

    In the rows of `parameters.csv`, `parameters_published_form` is with the original head and may be empty, `parameters` as
    trained, with one output; of these are `trainable` and, again of these, `lora`.
    """
    columns = ("model", "mode", "parameters_millions", "parameters", "trainable", "lora", "input_size", "pretrained")
    rows = []
    for line in parameters:
        form, settings = line["parameters_published_form"], study.models[line["model"]]
        rows.append(
            {key: line[key] for key in ("mode", "parameters", "trainable", "lora")}
            | {
                "model": study.label(line["model"]),
                "parameters_millions": f"{int(form) / 1e6:.1f}" if form else "",
                "input_size": str(settings["image_size"]),
                "pretrained": _pretrained(settings["weights"]),
            }
        )
    others = "; encoders without any" if any(model["family"] == "encoder" for model in study.models.values()) else ""
    about = f"Size of the models: parameters in millions with the original head (1000 classes, or the language model's{others})"
    table = Table.of(
        title(study, "table2"),
        study.caption(
            f"{about}, and exact numbers as trained, with a head of {len(study.classes) or 'one'} output{'s' if study.classes else ''} instead."
        ),
        columns,
        rows,
        columns,
        ("Model", "Mode", "Parameters (M)", "As trained", "Trainable", "LoRA", "Input size", "Pretrained"),
    )
    models = list({row["model"]: row for row in rows}.values())
    quantities = ("parameters_millions", "input_size", "pretrained")
    caption = study.caption(f"{about}.", COMPARED)
    return table, beside(table.title, models, published, ("model",), quantities, caption)


def _pretrained(weights: str | Mapping[str, Any]) -> str:
    if isinstance(weights, str):
        return {"imagenet": "ImageNet", "random": "no (random)"}[weights]
    return f"{origin(weights)} ({weights['revision'][:7]})" if "hub" in weights else origin(weights)
