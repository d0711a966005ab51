"""Try every model and augmentation of a study before anything is trained; count the models' parameters.

--config-json are the MODEL-KEY.config.json of the models with published weights.
"""

import json
from dataclasses import astuple
from pathlib import Path

from histobench.io.errors import HistoBenchError, run_script
from histobench.io.files import write_csv
from histobench.study import arguments, paths, resolved

COLUMNS: tuple[str, ...] = ("model", "mode", "parameters_published_form", "parameters", "trainable", "lora")


def main() -> None:
    given = arguments.parse(__doc__, "study", "output", config_json=[])

    from histobench.models.arm_check import check

    configs = {paths.model_of(file): json.loads(Path(file).read_text()) for file in given.config_json}
    sizes, faults = check(resolved.load(given.study), configs)
    if faults:
        raise HistoBenchError("\n".join(["the study cannot be trained as it is configured", *faults]))
    rows = [dict(zip(COLUMNS, (*arm, *astuple(size)), strict=True)) for arm, size in sizes.items()]
    write_csv(given.output, COLUMNS, rows)


if __name__ == "__main__":
    run_script(main)
