"""How fast a device computes: as runs on it have shown, as a short product of matrices shows, or as its maker says."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from histobench.io.errors import HistoBenchError
from histobench.study import paths
from histobench.study.config import Config
from histobench.study.runs import record
from histobench.tools.arms import arms, cost
from histobench.tools.estimate import Job, kind_of
from histobench.tools.text import speed


@dataclass(frozen=True)
class Gpu:
    """A GPU by its data sheet."""

    peak: float
    """Operations per second of dense matrix products in the precision that training uses on it: bf16 or, before compute
    capability 8.0, fp32."""
    precision: str = "bf16"


# NVIDIA's data sheets and architecture white papers; where they give the number with sparsity, half of it. Of GeForce cards,
# the rate with fp32 accumulation. By the part of the name that nvidia-smi gives, the longer one first.
GPUS = {
    "B200": Gpu(2250e12),
    "GH200": Gpu(989e12),
    "H200": Gpu(989e12),
    "H100 PCIe": Gpu(756e12),
    "H100 NVL": Gpu(835e12),
    "H100": Gpu(989e12),
    "A100": Gpu(312e12),
    "A40": Gpu(150e12),
    "A30": Gpu(165e12),
    "A10": Gpu(125e12),
    "RTX A6000": Gpu(155e12),
    "RTX 6000 Ada": Gpu(364e12),
    "L40S": Gpu(362e12),
    "L40": Gpu(181e12),
    "L4": Gpu(121e12),
    "RTX 5090": Gpu(210e12),
    "RTX 4090": Gpu(165e12),
    "RTX 3090": Gpu(71e12),
    "V100": Gpu(15.7e12, "fp32"),
    "T4": Gpu(8.1e12, "fp32"),
}

# Shares of the peak that training reaches. CNN: ResNet34 in mixed precision on an RTX 3090 trains 2,037 images of 224 px per
# second (timm's results/benchmark-train-amp-nhwc-pt112-cu113-rtx3090.csv), 63 % of 71 TFLOP/s; but memory, which normalisation and
# activations wait for, has grown a quarter as fast as tensor cores since: assumed 20 %. Vision-language models: LoRA of Qwen-7B on
# an A100 takes 2.8 s for 8 sequences of 1,024 tokens (its README), 29 %; at 256 tokens 17 %. On processors: ResNet34, AlexNet
# and VGG19 at 336 px took 0.7 to 1.0 of what a matrix product did on the same cores (two of an EPYC, November 2026).
SHARES = {"cuda": {"cnn": 0.2, "vlm": 0.25}, "cpu": {"cnn": 0.8, "vlm": 0.8}}
HEAD_PASSES = 2e5
"""Images per second of training a linear head on stored embeddings: assumed; it waits for steps, not for arithmetic."""

THREADS = 4
"""Processor threads of a job, as the rules have it."""


def view_seconds(size: int) -> float:
    """Return what augmenting a view of `size` x `size` pixels takes on one core: the paper's transforms, measured on an EPYC."""
    return 0.27e-3 + 0.57e-3 * (size / 336) ** 2


@dataclass(frozen=True)
class Device:
    """Where a study is going to run."""

    name: str
    """As run.json has it: the GPU's name, or `cpu (MODEL, N cores)`."""
    kind: str
    """`cuda`, `mps` or `cpu`."""
    count: int = 1
    """How many there are."""
    reaches: float = 0
    """Operations per second of a matrix product; 0 where nothing is known."""
    source: str = ""
    """Where `reaches` is from."""
    cores: int = 0
    """Of the processor, where it is this machine's; 0 where it is not."""


def named(name: str) -> Device:
    """Return a GPU by its name, or the part of it that its data sheet is known by.

    Raises:
        HistoBenchError: no such GPU is known.
    """
    known = _key(name)
    if not known:
        raise HistoBenchError(f"--gpu {name}: its speed is not known here; name one of {', '.join(GPUS)}")
    gpu = GPUS[known]
    return Device(known, "cuda", 1, gpu.peak, f"{known}'s data sheet: {speed(gpu.peak)} in {gpu.precision}")


def _key(name: str) -> str:
    """Return what `GPUS` knows a GPU by, from any name of it; empty where it does not."""
    words = f" {name.upper().replace('-', ' ')} "
    return next((known for known in GPUS if f" {known.upper()} " in words), "")


def present(probe: Mapping[str, Any], wanted: str = "auto") -> Device:
    """Return the device of this machine that `device: WANTED` of a configuration means, by what :func:`probed` found."""
    kind = probe.get("kind", "cpu") if wanted == "auto" else wanted.partition(":")[0]
    gpus = [gpu["name"] for gpu in probe.get("gpus", [])]
    if found := probe.get("reaches", {}).get(kind):
        source = f"a product of matrices here: {speed(found['rate'])} in {found['precision']}"
        count = len(gpus) if kind == "cuda" and ":" not in wanted else 1
        return Device(found["name"], kind, count, found["rate"], source, cores())
    if kind == "cuda" and gpus and _key(gpus[0]):
        return replace(named(gpus[0]), name=gpus[0], count=len(gpus), cores=cores())
    return Device("", kind)


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def probed(limit: float = 60) -> dict[str, Any]:
    """Return what PyTorch finds on this machine, asked in a process of its own: it may fail to load, or hang.

    Keys: `error` alone, a sentence; or `torch` and `cuda_build` (versions), `gpus` (name, memory and free in bytes), `kind` of
    the device that `auto` means, and `reaches`: kind -> name, precision, and rate in operations per second.
    """
    command = [sys.executable, "-m", "histobench.tools.probe"]
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=limit, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"PyTorch did not answer within {limit:g} s"}
    except OSError as error:
        return {"error": str(error)}
    try:
        return json.loads(ended.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        said = ended.stderr.strip().splitlines()[-1:]
        return {"error": "".join(said) or f"PyTorch ended with status {ended.returncode}, and said nothing"}


@dataclass(frozen=True)
class Rates:
    """Operations per second of every arm on a device, and where they are from."""

    config: Config
    device: Device
    measured: Mapping[tuple[str, str, bool], float]
    """(model, mode, augmented) -> operations per second that its runs on this device reached."""

    def __call__(self, job: Job) -> float:
        """Return the operations per second of a job; 0 where nothing is known."""
        return self.of(job)[0]

    def of(self, job: Job) -> tuple[float, str]:
        """Return the operations per second of a job, and how they are known.

        `measured` in runs of this arm on this device, in other runs of this `model`, `assumed`, or `unknown`.
        """
        if job.run and job.kind == "train":
            own = self.measured.get((job.model, job.mode, bool(self.config.augmentations[job.run.augmentation])))
            if own:
                return own, "measured"
        kind = kind_of(self.config, job)
        if kind == "head":
            return HEAD_PASSES * cost(self.config, job.model, job.mode).training, "assumed"
        same = [
            rate
            for (model, mode, _), rate in self.measured.items()
            if model == job.model and self.config.recipe(model, mode).trainable != "head"
        ]
        if same:
            return median(same), "model"
        return self.device.reaches * self.shares[kind], "assumed" if self.device.reaches else "unknown"

    def seconds(self, job: Job) -> float | None:
        """Return the time of a job, or of augmenting its images where that takes longer; None where nothing is known."""
        rate, known = self.of(job)
        if not rate:
            return None
        computing = job.operations / rate
        if known == "measured":
            return computing
        threads = min(THREADS, self.device.cores or THREADS)
        return max(computing, job.augmented * view_seconds(self.config.models[job.model].image_size) / threads)

    @property
    def shares(self) -> dict[str, float]:
        """What share of a product of matrices training is assumed to reach on the device, by kind of model."""
        return SHARES["cpu" if self.device.kind == "cpu" else "cuda"]


def measured(config: Config, device: Device) -> dict[tuple[str, str, bool], float]:
    """Return (model, mode, augmented) -> operations per second, by all finished runs of the same model, recipe and device."""
    found = {}
    for model, mode in arms(config):
        settings = config.models[model].settings.model_dump(mode="json")
        recipe = config.recipe(model, mode).model_dump(mode="json")
        speeds: dict[bool, list[float]] = {}
        for path in Path().glob(paths.RECORD.format(
            dataset="*", model=model, mode=mode, split="*", magnification="*", augmentation="*", fold="*"
        )):  # fmt: skip
            run = record(path.parent)
            made = run.get("specification", {})
            same = made.get("model") == settings and all(
                made.get("recipe", {}).get(key) == recipe[key] for key in ("trainable", "lora")
            )
            if same and run.get("images_per_second") and _same(run.get("device", ""), device):
                speeds.setdefault(bool(made.get("augmentation")), []).append(run["images_per_second"])
        for augmented, values in speeds.items():
            found[model, mode, augmented] = median(values) * cost(config, model, mode).training
    return found


def _same(name: str, device: Device) -> bool:
    return name == device.name or (device.kind == "cuda" and bool(_key(name)) and _key(name) == _key(device.name))


def rates(config: Config, device: Device) -> Rates:
    """Return the rates of a study's arms on a device."""
    return Rates(config, device, measured(config, device))
