"""What an image costs in each arm of a study, without importing PyTorch for the studies that come with the project.

`workflow/schemas/operations.json` holds what :mod:`histobench.models.operations` counts for them; other models are counted when
they are asked for. `python -m histobench.tools.arms` prints that file.
"""

import hashlib
import json
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path

from histobench.models.operations import Operations, operations
from histobench.study.checks import SCHEMAS
from histobench.study.config import Config
from histobench.study.spec import CnnSettings, canonical_json
from histobench.tools.studies import study

SHIPPED = ("config/demo.yaml", "config/sample.yaml", "config/studies/ladder.yaml", "config/studies/own-data.yaml")
"""Studies that come with the project, beside the paper's."""


def cost(config: Config, model: str, mode: str) -> Operations:
    """Return what an image costs in an arm; counted once in a process.

    Raises:
        HistoBenchError: the model cannot be built.
        ImportError: it has to be counted, and PyTorch cannot be imported.
    """
    known, name = _known(), key(config, model, mode)
    if name not in known:
        known[name] = _counted(config, model, mode)
    return known[name]


@cache
def _known() -> dict[str, Operations]:
    try:
        rows = json.loads((SCHEMAS / "operations.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: Operations(**row) for name, row in rows.items()}


def _counted(config: Config, model: str, mode: str) -> Operations:
    wanted, settings = config.mode(model, mode), config.models[model].settings
    live = wanted.vision == "live" and settings.family != "cnn"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT's and transformers', of names that will be dropped
        return operations(settings, wanted.recipe, live, wanted.gradient_checkpointing)


def key(config: Config, model: str, mode: str) -> str:
    """Return a name of everything that decides an arm's operations, and nothing else."""
    settings, wanted = config.models[model].settings, config.mode(model, mode)
    if isinstance(settings, CnnSettings):
        kind = "head" if wanted.trainable == "head" else "all"
        return f"{settings.architecture} {settings.image_size}px width {settings.width:g} {kind}"
    decides = {"config": settings.config, "image_size": settings.image_size}
    if wanted.trainable != "head" and wanted.lora:
        decides["lora"] = wanted.lora.model_dump(mode="json", exclude={"alpha", "dropout"})
        decides |= {"vision": wanted.vision, "recompute": wanted.gradient_checkpointing}
    digest = hashlib.sha256(canonical_json(decides).encode()).hexdigest()[:16]
    return f"{settings.family} {settings.image_size}px {digest} {wanted.trainable}"


def arms(config: Config) -> Iterator[tuple[str, str]]:
    """Yield every model with every mode that the study trains it in."""
    yield from dict.fromkeys((run.model, run.mode) for run in config.runs)


def table() -> str:
    """Return the content of operations.json: every arm of the studies that come with the project, counted anew."""
    rows = {}
    for files in ([], *([Path(file)] for file in SHIPPED)):
        config = study(files)
        for model, mode in arms(config):
            name = key(config, model, mode)
            if name not in rows:
                rows[name] = asdict(_counted(config, model, mode))
    return json.dumps(rows, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(table(), end="")
