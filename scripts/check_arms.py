"""Try every model and augmentation of a study before anything is trained; count the models' parameters."""

import argparse
import json
from dataclasses import astuple
from pathlib import Path

from histobench.io.errors import HistoBenchError, run_script
from histobench.io.files import write_csv

COLUMNS: tuple[str, ...] = ("model", "mode", "parameters_published_form", "parameters", "trainable", "lora")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, required=True, help="study.json, the resolved study")
    parser.add_argument(
        "--config-json", type=Path, nargs="*", default=[], help="MODEL.config.json of each model with published weights"
    )
    parser.add_argument("--output", type=Path, required=True, help="parameters.csv to write")
    arguments = parser.parse_args()

    from histobench.models.arm_check import check
    from histobench.study import resolved

    configs = {path.name.removesuffix(".config.json"): json.loads(path.read_text()) for path in arguments.config_json}
    sizes, faults = check(resolved.load(arguments.study), configs)
    if faults:
        raise HistoBenchError("\n".join(["the study cannot be trained as it is configured", *faults]))
    rows = [dict(zip(COLUMNS, (*arm, *astuple(size)), strict=True)) for arm, size in sizes.items()]
    write_csv(arguments.output, COLUMNS, rows)


if __name__ == "__main__":
    run_script(main)
