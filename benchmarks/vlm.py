"""Vision-language models: LoRA on visual tokens computed once, on live images, and by the Hugging Face Trainer and PEFT."""

import gc
import logging
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import yaml
from torch import nn

from benchmarks import ROOT, cores, say
from histobench.models import vlm
from histobench.study.model_settings import VlmEntry
from histobench.study.recipes import Lora, Recipe
from histobench.study.spec import VlmSettings
from histobench.training import data
from histobench.training import device as devices
from histobench.training.checkpoint import Checkpoint
from histobench.training.fit import fit
from tests.models.published_configs import CONFIGS

LORA = Lora()  # the paper's
FOLDS, EPOCHS = 5, 20  # the paper's; an image is trained on in all folds but one
BATCH = 32  # as scripts/features.py has it

SMOLVLM_256M = VlmSettings(
    family="smolvlm",
    weights="random",
    image_size=512,
    config={
        "model_type": "idefics3",
        "image_token_id": 49190,
        "scale_factor": 4,
        "text_config": {
            "model_type": "llama",
            "hidden_size": 576,
            "intermediate_size": 1536,
            "num_hidden_layers": 30,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "head_dim": 64,
            "vocab_size": 49280,
        },
        "vision_config": {
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "image_size": 512,
            "patch_size": 16,
        },
    },
)

# The demo's tiny models, made wide enough for the arithmetic to count, which tower and decoder share as in the true ones.
SMALL_TEXT = {"hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 8}
SMALL: dict[str, dict[str, Any]] = {
    "qwen2-vl-tiny": {
        "text_config": {**SMALL_TEXT, "rope_scaling": {"type": "mrope", "mrope_section": [8, 12, 12]}},
        "vision_config": {"depth": 6, "embed_dim": 256, "hidden_size": 512, "mlp_ratio": 4},
    },
    "smolvlm-tiny": {
        "text_config": {**SMALL_TEXT, "num_key_value_heads": 8},
        "vision_config": {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 6},
    },
}


EXPLANATION = f"""
  tokens   the vision tower alone, without gradients
  cached   `fit` on visual tokens that were computed before, as the workflow does by default
  live     `fit` on images; the vision tower runs for each image in each epoch (`vision: live`)
  Trainer  Hugging Face Trainer and PEFT with the same adapters and batches: benchmarks/trainer_baseline.py
  A first epoch warms up and is not counted; nor are evaluation and checkpoints. With the tokens: their computation is
  shared by {FOLDS} folds of {EPOCHS} epochs; once without augmentation, and for {EPOCHS} augmented views and the plain image with it."""


def run(folder: Path, _originals: Path | None, _cold: bool) -> None:
    """Measure real-size decoders on the CPU, small models on the CPU, and true-size models on a CUDA GPU."""
    true = {name: entry(name, "config.yaml") for name in ("qwen2-vl-2b", "smolvlm")}
    report_decoders({"SmolVLM-256M": SMOLVLM_256M, "Qwen2-VL-2B": true["qwen2-vl-2b"]}, 4, folder)
    for name in SMALL:
        settings = small(name)
        comparison = Comparison(settings, torch.device("cpu"), 32, 16, 4, 3, folder)
        alone(comparison.report, f"{settings.family}, small model, on the CPU")
    if torch.cuda.is_available():
        for name, settings in true.items():
            comparison = Comparison(settings, torch.device("cuda", 0), 512, 16, 3, 1, folder)
            alone(comparison.report, f"{name}, true size, on the GPU")
    else:
        say("\ntrue-size models on the GPU: skipped: no CUDA GPU")
    say(EXPLANATION)


def alone(work: Callable[..., Any], *arguments: Any) -> Any:
    """Return what `work` does in a process of its own: its peak memory, and the state that libraries keep, are its own."""
    with ProcessPoolExecutor(1, get_context("spawn"), prepare) as pool:
        return pool.submit(work, *arguments).result()


def prepare() -> None:
    """Let a process use all cores and keep libraries quiet."""
    torch.set_num_threads(cores())
    logging.getLogger("transformers").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)  # PEFT's, of names that transformers will drop


def entry(name: str, file: str) -> VlmSettings:
    """Return a model of a configuration file, with random weights."""
    models = yaml.safe_load((ROOT / "config" / file).read_text())["models"]
    config = {"config": CONFIGS[name]} if name in CONFIGS else {}
    return VlmEntry(**models[name] | {"weights": "random"} | config).settings


def small(name: str) -> VlmSettings:
    """Return one of the demo's models with the layers of `SMALL`, at 96 px."""
    settings = entry(name, "demo.yaml")
    config: dict[str, Any] = dict(settings.config or {})
    for part, values in SMALL[name].items():
        config[part] = {**config[part], **values}
    return settings.model_copy(update={"config": config, "image_size": 96})


@dataclass(frozen=True)
class Step:
    """What building a decoder and one optimizer step took."""

    parameters: int
    built: float
    """Seconds, like `trained`."""
    trained: float
    peak_building: float
    """GiB resident, like `peak_training`."""
    peak_training: float


def report_decoders(models: dict[str, VlmSettings], images: int, folder: Path) -> None:
    """Print what each decoder took."""
    say(
        f"Real-size decoders, random weights, fp32, CPU, {cores()} threads: one optimizer step of LoRA by `fit` on {images} images'\n"
        "made-up visual tokens. Building fills the whole model with random numbers, which loading a file spares."
    )
    say(f"  {'':<14}parameters   build s   train s   peak GiB: build   train")
    for name, settings in models.items():
        step = alone(decoder_step, settings, images, folder)
        say(
            f"  {name:<14}{step.parameters / 1e6:8.0f} M{step.built:10.1f}{step.trained:10.1f}"
            f"{step.peak_building:18.1f}{step.peak_training:8.1f}"
        )


def decoder_step(settings: VlmSettings, images: int, folder: Path) -> Step:
    """Build a decoder, give it adapters, and train it for one step."""
    device = torch.device("cpu")
    began = time.perf_counter()
    classifier = vlm.build(settings, 0, None, ("decoder",))
    classifier.adapt(LORA, 0)
    built = time.perf_counter() - began
    peak_building = devices.peak_memory_mib(device)["host"] / 1024
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux then counts the peak from here
    tokens = np.random.default_rng(0).standard_normal((images, *vlm.architecture(settings).tokens), np.float32)
    trained = seconds_of_fit(classifier, tokens, labels_of(images), Recipe(epochs=1), images, device, folder)[0]
    parameters = sum(parameter.numel() for parameter in classifier.parameters())
    return Step(parameters, built, trained, peak_building, devices.peak_memory_mib(device)["host"] / 1024)


def labels_of(images: int) -> np.ndarray:
    return (np.arange(images) % 3 == 0).astype(np.float32)


def seconds_of_fit(
    module: nn.Module,
    array: np.ndarray,
    labels: np.ndarray,
    recipe: Recipe,
    micro_batch: int,
    device: torch.device,
    folder: Path,
) -> list[float]:
    """Train on images (N, S, S, 3) uint8, visual tokens (N, T, D) or embeddings (N, D); return the seconds of each epoch.

    Raises:
        MemoryError: the GPU's memory holds only a smaller micro-batch.
    """
    source = data.Stored(array[None], np.arange(len(array)), labels)
    evaluation = data.Stored(array[None], np.arange(1), labels[:1])
    checkpoint = Checkpoint(folder / "checkpoint.pt", {})
    fitted = fit(
        module,
        source,
        evaluation,
        lambda _: {"accuracy": 0},
        recipe,
        0,
        device,
        checkpoint,
        micro_batch=micro_batch,
    )
    checkpoint.remove()
    if fitted.micro_batch < micro_batch:
        raise MemoryError(f"a micro-batch of {micro_batch} was cut to {fitted.micro_batch}")
    return [row["train_seconds"] for row in fitted.history]


@dataclass(frozen=True)
class Comparison:
    """The three ways to train one model on the same images, and the computing of its visual tokens."""

    settings: VlmSettings
    device: torch.device
    images: int
    micro_batch: int
    epochs: int
    rounds: int
    folder: Path

    @property
    def recipe(self) -> Recipe:
        return Recipe(epochs=self.epochs, batch_size=min(64, self.images))

    def pixels(self) -> np.ndarray:
        shape = (self.images, self.settings.image_size, self.settings.image_size, 3)
        return np.random.default_rng(0).integers(0, 256, shape, np.uint8)

    @property
    def labels(self) -> np.ndarray:
        return labels_of(self.images)

    def build(self, *parts: vlm.Part) -> vlm.VisionLanguageClassifier:
        bf16 = devices.precision(self.device) == "bf16"
        with self.device:  # random numbers for a true-size model take the CPU 20 s
            return vlm.build(self.settings, 0, None, parts, torch.bfloat16 if bf16 else torch.float32)

    @torch.inference_mode()
    def tokens(self) -> list[float]:
        """Store the visual tokens of all images as the workflow does; return the seconds of computing them, each time."""
        tower = self.build("vision").to(self.device).eval()
        pixels, tokens, seconds = torch.from_numpy(self.pixels()), torch.empty(0), []
        for _ in range(self.epochs):
            began = time.perf_counter()
            with devices.autocast(self.device):
                tokens = torch.cat([tower.tokens(batch.to(self.device)).cpu() for batch in pixels.split(BATCH)])
            seconds.append(time.perf_counter() - began)
        bits = tokens.view(torch.uint16) if tokens.dtype == torch.bfloat16 else tokens
        np.save(self.folder / "tokens.npy", bits.numpy())
        return seconds

    def ours(self, array: np.ndarray, *parts: vlm.Part, compiled: bool = False) -> list[float]:
        """Train by `fit`; return the seconds of each epoch."""
        classifier = self.build(*parts)
        classifier.adapt(LORA, 0)
        if compiled:
            classifier.compile_layers()
        return seconds_of_fit(classifier, array, self.labels, self.recipe, self.micro_batch, self.device, self.folder)

    def cached(self, compiled: bool = False) -> list[float]:
        """Train on the tokens that `tokens` stored; return the seconds of each epoch."""
        return self.ours(np.load(self.folder / "tokens.npy", mmap_mode="r"), "decoder", compiled=compiled)

    def live(self) -> list[float]:
        """Train on images; return the seconds of each epoch."""
        return self.ours(self.pixels(), *vlm.WHOLE)

    @torch.inference_mode()
    def embeddings(self) -> list[float]:
        """Return the seconds of computing embeddings from the tokens that `tokens` stored, each time."""
        decoder = self.build("decoder").to(self.device).eval()
        tokens = torch.from_numpy(np.load(self.folder / "tokens.npy"))
        seconds = []
        for _ in range(self.epochs):
            began = time.perf_counter()
            with devices.autocast(self.device):
                for batch in tokens.split(BATCH):
                    decoder.embed(batch.to(self.device)).cpu()
            seconds.append(time.perf_counter() - began)
        return seconds

    def trainer(self) -> list[float]:
        """Train by the Trainer; return the seconds of each epoch."""
        from benchmarks import trainer_baseline

        return trainer_baseline.train(
            self.settings, self.pixels(), self.labels, LORA, self.recipe, self.micro_batch, self.device, self.folder
        )

    def measure(self, train: Callable[[], list[float]]) -> tuple[float, float]:
        """Return training images per second after the first epoch, and the peak memory of the GPU in GiB, else 0."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.init()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        seconds = train()[1:]
        peak = devices.peak_memory_mib(self.device).get("device", 0) / 1024
        return len(seconds) * self.images / sum(seconds), peak

    def report(self, title: str) -> None:
        """Measure all in turn, and print speeds and ratios."""
        say(
            f"\n{title}: LoRA at {self.settings.image_size} px, {self.images} images, {self.epochs} epochs, micro-batches of "
            f"{self.micro_batch}, {devices.precision(self.device)},\n{devices.describe(self.device)}. "
            f"Images per second, {self.rounds} in turn:"
        )
        ways: dict[str, Callable[[], list[float]]] = {
            "tokens": self.tokens,
            "cached": self.cached,
            "live": self.live,
            "Trainer": self.trainer,
        }
        speeds: dict[str, list[float]] = {name: [] for name in ways}
        memory: dict[str, float] = {}
        for _ in range(self.rounds):
            for name, train in ways.items():
                speed, memory[name] = self.measure(train)
                speeds[name].append(speed)
        for name, row in speeds.items():
            line = f"  {name:<16}{'  '.join(f'{value:7.2f}' for value in row)}   median {median(row):7.2f}"
            say(line + (f"   at most {memory[name]:.1f} GiB of the GPU" if memory[name] else ""))
        for one, other in (("cached", "live"), ("cached", "Trainer"), ("live", "Trainer")):
            ratios = np.divide(speeds[one], speeds[other])
            line = f"  {f'{one} / {other}':<16}{'  '.join(f'{value:7.2f}' for value in ratios)}   median {median(ratios):7.2f}"
            if one == "cached":
                rounds = list(zip(speeds[one], speeds["tokens"], speeds[other], strict=True))
                once, views = (
                    median(with_tokens(fast, rate, count) / slow for fast, rate, slow in rounds)
                    for count in (1, 1 + EPOCHS)
                )
                line += f"   with the tokens {once:.2f}, augmented {views:.2f}"
            say(line)


def with_tokens(speed: float, rate: float, views: int) -> float:
    """Return images per second when `views` views of each image are turned into tokens at `rate`, shared by all folds."""
    uses = EPOCHS * (FOLDS - 1)  # times an image is trained on
    return 1 / (1 / speed + views / uses / rate)
