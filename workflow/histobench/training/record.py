"""The record of a training run, run.json."""

import os
import platform
import time
from importlib import metadata

import torch
from torch import nn

from histobench.study.run_files import RunRecord
from histobench.study.spec import CnnSettings, RunSpec
from histobench.training import device as devices
from histobench.training.fit import Fitted
from histobench.training.inputs import Inputs


def run_record(
    spec: RunSpec,
    code: str,
    inputs: Inputs,
    module: nn.Module,
    fitted: Fitted,
    device: torch.device,
    hardware: tuple[int, int, int, bool],
    started: float,
) -> RunRecord:
    """Return the content of run.json.

    `code` is the fingerprint of the script, which began at the reading `started` of `time.perf_counter`; `hardware` are the
    jobs that may share a GPU, the processor threads, the processes that augment images, and whether layers are compiled.
    """
    parameters = list(module.parameters())
    training, validation = (sum(row[f"{part}_seconds"] for row in fitted.history) for part in ("train", "validation"))
    share, threads, workers, compiled = hardware
    images = {"training": inputs.trained, "evaluation": len(inputs.images)}
    images |= {"validation": len(inputs.validation.labels)} if inputs.validation else {}
    choice = fitted.chosen
    found = (
        {
            "epoch": choice.epoch,
            "threshold": choice.threshold,
            "temperature": choice.temperature,
            "fitted": choice.fitted,
        }
        if choice
        else {}
    )
    return RunRecord(
        specification=spec.model_dump(mode="json"),
        versions=versions(spec),
        code=code,
        sha256=inputs.digests,
        start=os.environ.get("HISTOBENCH_START", "cold: the script was run by itself"),
        device=devices.describe(device),
        jobs_per_gpu=share if device.type == "cuda" else None,
        precision=devices.precision(device),
        threads=threads,
        workers=workers,
        compiled=compiled,
        micro_batch=fitted.micro_batch,
        parameters={
            "total": sum(parameter.numel() for parameter in parameters),
            "trainable": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        },
        images=images,
        best_epoch=fitted.best_epoch,
        **({"chosen": found | inputs.kept} if found else {}),
        resumed_from=fitted.resumed_from,
        images_per_second=round(images["training"] * len(fitted.history) / training, 3),
        seconds={
            "total": round(time.perf_counter() - started, 3),
            "start_up": round(fitted.ready - started, 3),
            "training": round(training, 3),
            "validation": round(validation, 3),
            "features": inputs.feature_seconds,
        },
        peak_memory_mib=devices.peak_memory_mib(device),
    )


def versions(spec: RunSpec) -> dict[str, str]:
    """Return the versions of Python and of the libraries that a run uses, from their metadata: no library is imported."""
    used = ["numpy"]
    if spec.recipe.trainable != "head":
        if isinstance(spec.model, CnnSettings):
            used.append(spec.model.architecture.partition("/")[0])
        else:
            used += ["transformers", "peft"]
        used += ["albumentations"] if spec.augmentation else []
    own = {"torch": str(torch.__version__), "python": platform.python_version()}
    return own | {name: metadata.version(name) for name in used}
