"""Rates of every arm of the paper's study at true size, with random weights, and the time that its runs take at these rates.

Parts are measured in order of value until a time is over, so that minutes on a borrowed GPU are enough. A part that fails is
named and the next one begins. Rates go into resources/rates.csv, which `make plan` reads.
"""

import csv
import gc
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import save_file
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks import ROOT, cores, paper_augmentation, say
from benchmarks.vlm import LORA, Comparison, entry, labels_of, seconds_of_fit
from histobench import launcher
from histobench.datasets.augment import Augmentation
from histobench.io.files import atomic_path
from histobench.models import cnn, vlm
from histobench.models.linear_head import LinearHead
from histobench.study.config import Config, load
from histobench.study.recipes import Recipe
from histobench.study.spec import CnnSettings, HubWeights, RunSpec, VlmSettings
from histobench.study.values import canonical_json
from histobench.tools import plan
from histobench.training import data
from histobench.training import device as devices
from histobench.training.adamw import AdamW
from histobench.training.checkpoint import Checkpoint
from histobench.training.fit import fit
from tests.scripts.running import random_dataset

PATIENT = "patient"
"""The split of the paper's 280 runs."""


@dataclass(frozen=True)
class Sizes:
    """How much is measured. An epoch that warms up comes before the `epochs`."""

    images: int = 1600
    evaluated: int = 400
    vlm_images: int = 512
    epochs: int = 2
    batch: int = 64
    steps: int = 25
    """Of the bare loop."""
    micro_batches: tuple[int, ...] = (64, 16, 32)
    workers: tuple[int, ...] = (4, 2, 8, 16)
    """That augment images; rates.csv gets the rate of the first."""
    seconds: float = 460
    """No part begins when fewer than `reserve` of these are left."""
    reserve: float = 20


def run(folder: Path, _originals: Path | None, _cold: bool) -> None:
    """Measure the models of config/config.yaml on the GPU, and write the rates."""
    if not torch.cuda.is_available():
        say("There is no CUDA GPU on this machine, and nothing is measured.")
        return
    torch.set_num_threads(cores())
    logging.getLogger("transformers").setLevel(logging.ERROR)
    device, config = torch.device("cuda", 0), study()
    name = devices.describe(device)
    measured = Measurement(device, models(config), Sizes(), folder)
    try:
        measured.all()
    finally:
        write_rates(plan.RATES, name, measured.rates)
    say(f"\nRates are in {plan.RATES.relative_to(ROOT)}.")
    say(estimate(config, name))


def study() -> Config:
    """Return the paper's study."""
    return load(yaml.safe_load((ROOT / "config" / "config.yaml").read_text()))


def models(config: Config) -> dict[str, CnnSettings | VlmSettings]:
    """Return the study's models with random weights, by the names that rates.csv has for them."""
    found = {}
    for name, model in config.models.items():
        own = model.settings
        given = (
            entry(name, "config.yaml") if isinstance(own, VlmSettings) else own.model_copy(update={"weights": "random"})
        )
        found[plan.published(config, name)] = given
    return found


Rates = dict[tuple[str, str, int], float]
"""(model, mode, micro-batch or 0) -> images per second."""


@dataclass
class Measurement:
    """Measures one part after another, and keeps the rates."""

    device: torch.device
    models: Mapping[str, CnnSettings | VlmSettings]
    sizes: Sizes
    folder: Path
    rates: Rates = field(default_factory=dict)
    trainer: dict[str, dict[int, float]] = field(default_factory=dict)
    """Images per second of the Trainer by model and micro-batch."""
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    def left(self) -> float:
        return self.sizes.seconds - (time.perf_counter() - self.began)

    def part(self, title: str, work: Callable[..., str], *given: Any) -> None:
        """Print what a part measured, and the most memory of the GPU that it had."""
        if self.left() < self.sizes.reserve:
            self.skipped.append(title)
            return
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        try:
            line = work(*given)
            peak = devices.peak_memory_mib(self.device).get("device")
            say(f"{title:<58}{line}" + (f"   {peak / 1024:.1f} GiB" if peak else ""))
        except Exception as error:
            self.failed.append(title)
            say(f"{title:<58}FAILED: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def all(self) -> None:
        """Measure everything, what the estimate needs first."""
        sizes = self.sizes
        say(f"{devices.describe(self.device)}, {devices.precision(self.device)}, {cores()} cores; images per second")
        cnns = {name: own for name, own in self.models.items() if isinstance(own, CnnSettings)}
        vlms = {name: self.comparison(name, own) for name, own in self.models.items() if isinstance(own, VlmSettings)}
        for name, own in cnns.items():
            self.part(f"{name}: training and evaluation", self.plain, name, own)
            self.part(f"{name}: augmented by {sizes.workers[0]} workers", self.augmented, name, own, sizes.workers[0])
        for name, comparison in vlms.items():
            self.part(f"{name}: visual tokens", self.tokens, name, comparison)
            self.part(f"{name}: embeddings of tokens", self.embeddings, name, comparison)
            self.part(f"{name}: linear head", self.head, name, comparison)
            self.part(f"{name}: LoRA on tokens, micro-batch {sizes.micro_batches[0]}", self.lora, name, comparison, 0)
        for name, comparison in vlms.items():
            self.part(f"{name}: the same, layers compiled, s to begin", self.lora_compiled, name, comparison)
        for name in [*list(cnns)[:1], *list(vlms)[:1]]:  # a start costs seconds
            self.part(f"{name}: start of a cold job, and of two by the launcher (s)", self.start, name)
        for place, micro_batch in enumerate(sizes.micro_batches):
            for name, comparison in vlms.items():
                if place:
                    self.part(f"{name}: LoRA on tokens, micro-batch {micro_batch}", self.lora, name, comparison, place)
                self.part(f"{name}: LoRA live, micro-batch {micro_batch}", self.lora_live, name, comparison, place)
                self.part(
                    f"{name}: Trainer and PEFT, micro-batch {micro_batch}", self.by_trainer, name, comparison, place
                )
        for name, own in cnns.items():
            self.part(f"{name}: bare loop, batch on the device", self.bare, own)
        for workers in sizes.workers[1:]:
            for name, own in cnns.items():
                self.part(f"{name}: augmented by {workers} workers", self.augmented, name, own, workers)
        for name, by_size in self.trainer.items():
            if ours := [rate for (model, mode, _), rate in self.rates.items() if (model, mode) == (name, "lora")]:
                ratio = max(ours) / max(by_size.values())
                say(f"{name}: LoRA on tokens / Trainer, each at its best micro-batch: {ratio:.2f}")
        for what, titles in (("failed", self.failed), ("skipped for want of time", self.skipped)):
            if titles:
                say(f"{what}: {'; '.join(titles)}")

    # ---- CNNs ----

    def fit_cnn(self, own: CnnSettings, workers: int | None) -> tuple[list[dict[str, float]], float]:
        """Return the history without the epoch that warms up, and the seconds of `fit` that are in no epoch."""
        sizes, side = self.sizes, own.image_size
        path, count = self.folder / f"pixels-{side}.npy", sizes.images + sizes.evaluated
        if not path.exists():
            np.save(path, np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8))
        store, rows = np.load(path, mmap_mode="r"), np.arange(count)
        labels = labels_of(count)
        here, there = rows[: sizes.images], rows[sizes.images :]
        training: data.Source = data.Stored(store[None], here, labels[here])
        if workers:
            augment, ids = Augmentation(paper_augmentation(), side), [f"image-{row}" for row in here]
            training = data.Augmented(store, here, labels[here], ids, augment, 0, workers)
        evaluation = data.Stored(store[None], there, labels[there])
        recipe = Recipe(epochs=1 + sizes.epochs, batch_size=sizes.batch)
        module, checkpoint = cnn.build(own, 0, None), Checkpoint(self.folder / "checkpoint.pt", {})
        began = time.perf_counter()
        fitted = fit(module, training, evaluation, lambda _: {"accuracy": 0}, recipe, 0, self.device, checkpoint)
        seconds = time.perf_counter() - began
        checkpoint.remove()
        inside = sum(row["train_seconds"] + row["validation_seconds"] for row in fitted.history)
        return fitted.history[1:], seconds - inside

    def plain(self, name: str, own: CnnSettings) -> str:
        history, outside = self.fit_cnn(own, None)
        train = rate(self.sizes.images, [row["train_seconds"] for row in history])
        evaluate = rate(self.sizes.evaluated, [row["validation_seconds"] for row in history])
        self.rates |= {(name, "training", 0): train, (name, "evaluation", 0): evaluate}
        return (
            f"{train:8.0f} {evaluate:8.0f}   {outside:.1f} s outside {1 + self.sizes.epochs} epochs, with checkpoints"
        )

    def augmented(self, name: str, own: CnnSettings, workers: int) -> str:
        history, _ = self.fit_cnn(own, workers)
        train = rate(self.sizes.images, [row["train_seconds"] for row in history])
        if workers == self.sizes.workers[0]:
            self.rates[name, "augmented", 0] = train
        return f"{train:8.0f}"

    def bare(self, own: CnnSettings) -> str:
        """Train on one batch that is on the device: what the loop could reach without inputs."""
        module = cnn.build(own, 0, None).to(self.device).train()
        if self.device.type == "cuda":
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as `fit` does
        optimizer, sizes = AdamW(list(module.parameters()), 0.01), self.sizes
        images = torch.zeros(sizes.batch, own.image_size, own.image_size, 3, dtype=torch.uint8, device=self.device)
        labels = torch.zeros(sizes.batch, device=self.device)
        began = 0.0
        for step in range(2 * sizes.steps):
            if step == sizes.steps:
                self.wait()
                began = time.perf_counter()
            with devices.autocast(self.device):
                logits = module(images)
            binary_cross_entropy_with_logits(logits.float(), labels).backward()
            optimizer.step(1e-4)
        self.wait()
        return f"{rate(sizes.batch * sizes.steps, [time.perf_counter() - began]):8.0f}"

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    # ---- vision-language models ----

    def comparison(self, name: str, own: VlmSettings) -> Callable[[int], Comparison]:
        """Return what makes the comparison of a model at a micro-batch."""
        folder = self.folder / name.replace("/", "-")
        folder.mkdir()
        sizes = self.sizes
        return lambda size: Comparison(own, self.device, sizes.vlm_images, size, 1 + sizes.epochs, 1, folder)

    def kept(self, key: tuple[str, str, int], seconds: list[float]) -> str:
        """Keep the rate of all epochs but the first, and return it as text."""
        self.rates[key] = rate(self.sizes.vlm_images, seconds[1:])
        return f"{self.rates[key]:8.0f}"

    def tokens(self, name: str, comparison: Callable[[int], Comparison]) -> str:
        return self.kept((name, "tokens", 0), comparison(1).tokens())

    def embeddings(self, name: str, comparison: Callable[[int], Comparison]) -> str:
        return self.kept((name, "evaluation", 0), comparison(1).embeddings())

    def head(self, name: str, comparison: Callable[[int], Comparison]) -> str:
        own = comparison(self.sizes.batch)
        size = vlm.architecture(own.settings).tokens[1]
        array = np.random.default_rng(0).standard_normal((own.images, size), np.float32)
        seconds = seconds_of_fit(
            LinearHead(size, 0), array, own.labels, own.recipe, own.recipe.batch_size, self.device, self.folder
        )
        return self.kept((name, "head", 0), seconds)

    def lora(self, name: str, comparison: Callable[[int], Comparison], place: int) -> str:
        micro_batch = self.sizes.micro_batches[place]
        return self.kept((name, "lora", micro_batch), comparison(micro_batch).cached())

    def lora_compiled(self, name: str, comparison: Callable[[int], Comparison]) -> str:
        """Return the rate, and how much longer the first epoch took than the others."""
        first, *others = comparison(self.sizes.micro_batches[0]).cached(compiled=True)
        return f"{rate(self.sizes.vlm_images, others):8.0f} {first - sum(others) / len(others):8.1f}"

    def lora_live(self, name: str, comparison: Callable[[int], Comparison], place: int) -> str:
        micro_batch = self.sizes.micro_batches[place]
        return self.kept((name, "lora live", micro_batch), comparison(micro_batch).live())

    def by_trainer(self, name: str, comparison: Callable[[int], Comparison], place: int) -> str:
        micro_batch = self.sizes.micro_batches[place]
        found = rate(self.sizes.vlm_images, comparison(micro_batch).trainer()[1:])
        self.trainer.setdefault(name, {})[micro_batch] = found
        return f"{found:8.0f}"

    # ---- starts ----

    def start(self, name: str) -> str:
        """Run three jobs of one epoch; return the seconds of each before its first step, and why if the launcher was not used."""
        own, folder = self.models[name], self.folder / f"start-{name.replace('/', '-')}"
        folder.mkdir()
        count = len(random_dataset(folder, 8, (40,), 2, 2))
        recipe = Recipe(epochs=1, batch_size=4)
        files = {"manifest": "manifest.csv", "folds": "patient.csv", "pixels": "pixels.npy"}
        if isinstance(own, CnnSettings):
            np.save(folder / "pixels.npy", np.zeros((count, own.image_size, own.image_size, 3), np.uint8))
            imports = launcher.IMPORTS
        else:
            made = vlm.architecture(own)
            np.save(folder / "tokens.npy", np.zeros((1, count, *made.tokens), np.uint16))
            with self.device:
                state = made.model(made.config).to(torch.bfloat16).state_dict()
            config = {vlm.CONFIG: canonical_json(own.config)}
            save_file({key: value.cpu() for key, value in state.items()}, folder / "weights.safetensors", config)
            del state
            hub = HubWeights(hub="random/weights", revision="0" * 40)
            own = own.model_copy(update={"weights": hub, "config": None})
            recipe = Recipe(epochs=1, batch_size=4, trainable="lora", lora=LORA)
            del files["pixels"]
            files |= {"features": "tokens.npy", "weights": "weights.safetensors"}
            imports = f"{launcher.IMPORTS},{launcher.VLM_IMPORTS}"
        files |= {"output": "predictions.csv", "history": "history.csv", "run": "run.json"}
        spec = RunSpec(model=own, recipe=recipe, augmentation=[], magnification=40, fold=1, seed=0)
        given = {"specification": spec.canonical(), "split-by": "patient", "device": self.device, "threads": cores()}
        given |= {key: folder / file for key, file in files.items()}
        options = [f"--{key}={value}" for key, value in given.items()]
        command = [sys.executable, "-m", "histobench.launcher", ROOT / "scripts" / "train.py", *options]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow"), launcher.MODULES: imports}
        starts = []
        for used in "011":
            own_environment = environment | {"HISTOBENCH_LAUNCHER": used, "HISTOBENCH_LAUNCHER_IDLE": "10"}
            subprocess.run(command, capture_output=True, env=own_environment, check=True)
            record = json.loads((folder / "run.json").read_text())
            reason = "" if used == "0" or record["start"] == "launcher" else f" ({record['start']})"
            starts.append(f"{record['seconds']['start_up']:6.1f}{reason}")
        return "  ".join(starts)


def rate(images: int, seconds: list[float]) -> float:
    """Return images per second of epochs of `images` each."""
    return images * len(seconds) / sum(seconds)


def write_rates(path: Path, device: str, rates: Rates) -> None:
    """Put rates of a device into a file like resources/rates.csv, instead of those of the same parts."""
    comments, rows = [], []
    for line in path.read_text(encoding="utf-8").splitlines():
        (comments if line.startswith("#") else rows).append(line)
    header = rows[0].split(",")
    own = [[device, *key[:2], str(key[2] or ""), round(value)] for key, value in sorted(rates.items())]
    measured = [row[:4] for row in own]
    others = [row for row in csv.reader(rows[1:]) if row[:4] not in measured]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.writelines(f"{line}\n" for line in comments)
        csv.writer(file, lineterminator="\n").writerows([header, *others, *own])


def estimate(config: Config, device: str) -> str:
    """Return the time of the paper's runs, and of all runs of the study, by the rates that rates.csv has of a device."""
    plan.forget_rates()
    jobs = [*plan.shared_work(config, device), *plan.training(config, device)]
    lines = []
    for what, own in (("The paper's", [job for job in jobs if job.run.split == PATIENT]), ("All", jobs)):
        runs = sum(job.what == "training" for job in own)
        known = [job for job in own if job.seconds == job.seconds]  # not NaN
        line = f"{what} {runs} runs and what they share: {plan.total(known)}, one job after another, without starts"
        lines.append(line + (f"; {len(own) - len(known)} jobs have no rate" if len(known) < len(own) else ""))
    return "\n".join(lines)
