"""Try every model and augmentation of a study before anything is trained; count the models' parameters."""

import argparse
import json
from dataclasses import astuple
from pathlib import Path

from histobench.io.errors import HistoBenchError, run_script
from histobench.io.files import write_csv
from histobench.study.spec import Recipe, model_settings

COLUMNS = ("model", "mode", "parameters_published_form", "parameters", "trainable", "lora")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=json.loads, required=True, help="JSON of histobench.study.config.Config.trials")
    parser.add_argument(
        "--config-json", type=Path, nargs="*", default=[], help="MODEL.config.json of models with published weights"
    )
    parser.add_argument("--output", type=Path, required=True, help="parameters.csv to write")
    arguments = parser.parse_args()
    rows, faults = check(arguments.trials, {path.name.split(".config.")[0]: path for path in arguments.config_json})
    if faults:
        raise HistoBenchError("\n".join(["The study cannot be trained as it is configured.", *faults]))
    write_csv(arguments.output, COLUMNS, rows)


def check(trials: dict, configs: dict[str, Path]) -> tuple[list[dict], list[str]]:
    """Return the rows of parameters.csv, and a sentence for each fault of the study."""
    from histobench.models.arm_check import try_augmentation, try_model

    rows, faults = [], []
    for name, augmentation in trials["augmentations"].items():
        faults += try_augmentation(name, augmentation["transforms"], augmentation["sizes"])
    for name, model in trials["models"].items():
        settings = model_settings(model["settings"])
        if name in configs:
            config = json.loads(configs[name].read_text(encoding="utf-8"))
            settings = settings.model_copy(update={"config": config})
        recipes = {mode: Recipe.model_validate(recipe) for mode, recipe in model["recipes"].items()}
        counted, wrong = try_model(name, settings, recipes)
        rows += [dict(zip(COLUMNS, (name, mode, *astuple(size)), strict=True)) for mode, size in counted.items()]
        faults += wrong
    return rows, faults


if __name__ == "__main__":
    run_script(main)
