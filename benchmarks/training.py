"""Training images per second: `histobench.training.fit` on the pixel store, beside a loop as one writes it by hand."""

import gc
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import albumentations
import cv2
import numpy as np
import torch
import torchvision
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks import cores, paper_augmentation, say
from histobench.datasets import breakhis, pixels
from histobench.datasets.augment import Augmentation
from histobench.models import cnn
from histobench.study.recipes import Recipe
from histobench.study.spec import IMAGENET_MEAN, IMAGENET_STD, CnnSettings
from histobench.training import data
from histobench.training import device as devices
from histobench.training.checkpoint import Checkpoint
from histobench.training.fit import fit
from tests.datasets.standin import paths, write_standin

SIZE = 336
PAIRS = 4
PLAIN_WORKERS = 2


class EnoughError(Exception):
    """The steps to be measured are done."""


@dataclass
class Clock:
    """Times the steps of a loop from between its batches: after `warm_up` steps, over the next `steps`."""

    batch: int
    warm_up: int
    steps: int
    images_per_second: float = field(default=0, init=False)

    def watch(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Pass batches on; when all steps are done, raise EnoughError instead of asking for one more."""
        began, iterator = 0.0, iter(batches)
        for step in range(self.warm_up + self.steps + 1):
            if step in (self.warm_up, self.warm_up + self.steps):
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                began, previous = time.perf_counter(), began
                if previous:
                    self.images_per_second = self.steps * self.batch / (began - previous)
                    raise EnoughError
            yield next(iterator)


@dataclass(frozen=True)
class Watched:
    """A source of `fit` whose batches a clock watches."""

    source: data.Source
    clock: Clock

    @property
    def labels(self) -> np.ndarray:
        return self.source.labels

    def batches(self, plan: data.Plan) -> data.Batches:
        return self.clock.watch(self.source.batches(plan))


class PlainImages(Dataset):
    """PNG files, decoded, resized, augmented and normalised whenever they are asked for."""

    def __init__(self, files: list[Path], labels: np.ndarray, augment: Callable[..., dict[str, np.ndarray]] | None):
        self.files, self.labels, self.augment = files, labels, augment
        self.resize = transforms.Resize((SIZE, SIZE))
        self.normalise = transforms.Compose([transforms.ToTensor(), transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)])

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Any, np.float32]:
        image = self.resize(Image.open(self.files[index]).convert("RGB"))
        if self.augment:
            image = self.augment(image=np.array(image))["image"]
        return self.normalise(image), self.labels[index]


def plain_loop(dataset: PlainImages, clock: Clock, device: torch.device) -> None:
    """Train as one does by hand."""
    model = torchvision.models.resnet34(weights=None)
    model.fc = nn.Linear(model.fc.in_features, 1)
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)
    criterion = nn.BCEWithLogitsLoss()
    loader = DataLoader(
        dataset, clock.batch, shuffle=True, num_workers=PLAIN_WORKERS, pin_memory=device.type == "cuda", drop_last=True
    )
    for images, labels in clock.watch(loader):
        images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        optimizer.zero_grad()
        with devices.autocast(device):
            loss = criterion(model(images).squeeze(1), labels)
        loss.backward()
        optimizer.step()


def run(folder: Path, originals: Path | None, _cold: bool) -> None:
    """Measure both loops in turn, without and with the `paper` augmentation."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    device = devices.choose("auto", cores())
    batch, warm_up, steps = (64, 10, 40) if device.type == "cuda" else (16, 1, 2)
    workers = min(4, cores())  # as rule train has it
    source = originals or write_standin(folder / "png", (700, 460), "folder", paths()[::80])
    images = breakhis.read(source, complete=False, workers=cores())
    pixels.build(source, images, SIZE, folder / "store.npy", cores())
    store = pixels.load(folder / "store.npy", len(images), SIZE)
    rows = np.resize(np.arange(len(images)), batch * (warm_up + steps + 8))  # batches to prepare ahead until the end
    labels = np.array([images[row].label == "malignant" for row in rows], np.float32)
    files = [source / images[row].member for row in rows]
    ids = [images[row].image_id for row in rows]
    listed = paper_augmentation()
    evaluation = data.Stored(store[None], rows[:1], labels[:1])

    def ours(augmentation: Augmentation | None) -> float:
        clock = Clock(batch, warm_up, steps)
        training: data.Source = data.Stored(store[None], rows, labels)
        if augmentation:
            training = data.Augmented(store, rows, labels, ids, augmentation, 0, workers)
        settings = CnnSettings(architecture="torchvision/resnet34", weights="random", image_size=SIZE)
        module, recipe = cnn.build(settings, 0, None), Recipe(epochs=1, batch_size=batch)
        with suppress(EnoughError):
            checkpoint = Checkpoint(folder / "checkpoint.pt", {})
            fit(module, Watched(training, clock), evaluation, lambda _: {"accuracy": 0}, recipe, 0, device, checkpoint)
        return clock.images_per_second

    def by_hand(augment: albumentations.Compose | None) -> float:
        clock = Clock(batch, warm_up, steps)
        with suppress(EnoughError):
            plain_loop(PlainImages(files, labels, augment), clock, device)
        return clock.images_per_second

    kind = "real" if originals else "synthetic"
    say(
        f"ResNet34, random weights, {SIZE} px, {devices.describe(device)}, {devices.precision(device)}, "
        f"batches of {batch}, {torch.get_num_threads()} threads;\n{len(images)} {kind} images of 700x460 px\n"
        "  fit    the workflow's loop on the pixel store, channels_last, fused AdamW; augmentation in as many worker\n"
        f"         processes as the rule `train` gives it ({workers})\n"
        f"  plain  PNGs opened, resized, augmented and normalised in {PLAIN_WORKERS} DataLoader workers\n"
        f"Run in turn, {PAIRS} pairs, each time {steps} steps after {warm_up} to warm up. Images per second:"
    )
    for name, inside, outside in (
        ("no augmentation", None, None),
        ("`paper` augmentation", Augmentation(listed, SIZE), albumentations.Compose(by_name(listed))),
    ):
        fast, slow = [], []
        for _ in range(PAIRS):
            for speeds, measured in ((fast, partial(ours, inside)), (slow, partial(by_hand, outside))):
                speeds.append(measured())
                gc.collect()  # ends the workers of the loop that was left
        say(f"\n  {name}")
        for title, row in (("fit", fast), ("plain", slow), ("ratio", list(np.divide(fast, slow)))):
            say(f"  {title:<7}{'  '.join(f'{value:7.2f}' for value in row)}   median {median(row):7.2f}")


def by_name(listed: list[dict[str, dict[str, Any]]]) -> list[Any]:
    """Return the configured transforms as Albumentations' own, as one would write them down."""
    built = []
    for name, arguments in (pair for item in listed for pair in item.items()):
        arguments = {key: getattr(cv2, str(value), value) for key, value in arguments.items()}
        size = {"size": (SIZE, SIZE)} if name == "RandomResizedCrop" else {}
        built.append(getattr(albumentations, name)(**arguments, **size))
    return built
