"""How fast batches can be had without any network: images of the store, augmented ones, and views stored before.

A store of augmented views would be shared by all CNNs and folds, as visual tokens are. It pays where augmenting, and not the
network, decides the speed of training.
"""

import time
from pathlib import Path

import numpy as np

from benchmarks import cores, paper_augmentation, say
from histobench.datasets.augment import Augmentation
from histobench.training import data

SIDE, BATCH = 336, 64
IMAGES = 768
WORKERS = (0, 1, 2, 4, 8, 16)


def run(folder: Path, _originals: Path | None, _cold: bool) -> None:
    """Print images per second, each the better of two passes, and what a store of views takes."""
    augment, rows = Augmentation(paper_augmentation(), SIDE), np.arange(IMAGES)
    np.save(folder / "pixels.npy", np.random.default_rng(0).integers(0, 256, (IMAGES, SIDE, SIDE, 3), np.uint8))
    store, labels = np.load(folder / "pixels.npy", mmap_mode="r"), np.zeros(IMAGES, np.float32)
    say(f"Random images of {SIDE} px in batches of {BATCH}, {cores()} cores; images per second")
    say(f"  stored, one view         {rate(data.Stored(store[None], rows, labels)):8.0f}")
    ids = [f"image-{row}" for row in rows]
    for workers in WORKERS:
        if workers <= cores():
            source = data.Augmented(store, rows, labels, ids, augment, 0, workers)
            say(f"  augmented, {workers:2} workers    {rate(source):8.0f}")
    began = time.perf_counter()
    np.save(folder / "views.npy", store)
    seconds = time.perf_counter() - began
    say(f"  a view is {store[0].nbytes / 1e6:.2f} MB and written at {IMAGES / seconds:.0f} images per second")


def rate(source: data.Source) -> float:
    """Return images per second of a source, after a batch that starts its workers."""
    found = []
    for epoch in (1, 2):
        stream = source.batches((epoch, batch) for batch in data.cut(np.arange(IMAGES), BATCH))
        next(stream)
        began = time.perf_counter()
        count = sum(len(batch) for batch, _ in stream)
        found.append(count / (time.perf_counter() - began))
    return max(found)
