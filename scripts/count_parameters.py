"""Count the parameters of each model in each of its modes."""

import argparse
import json
from pathlib import Path

from histobench.io.errors import run_script
from histobench.io.files import write_csv
from histobench.study.spec import Recipe, model_settings

COLUMNS = ("model", "mode", "parameters_published_form", "parameters", "trainable", "lora")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--models", type=json.loads, required=True, help='JSON: {model: {"settings": ..., "recipes": {mode: ...}}}'
    )
    parser.add_argument("--output", type=Path, required=True, help="parameters.csv to write")
    arguments = parser.parse_args()

    from histobench.models.parameters import size

    rows = []
    for model, entry in arguments.models.items():
        settings = model_settings(entry["settings"])
        for mode, recipe in entry["recipes"].items():
            counted = size(settings, Recipe.model_validate(recipe))
            counts = (counted.published_form, counted.total, counted.trainable, counted.lora)
            rows.append(dict(zip(COLUMNS, (model, mode, *counts), strict=True)))
    write_csv(arguments.output, COLUMNS, rows)


if __name__ == "__main__":
    run_script(main)
