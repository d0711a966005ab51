"""Batches for the training loop. Their content depends on (seed, epoch) alone, not on workers, machine or a resume."""

import atexit
import signal
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from histobench.io.errors import SIGNALS, HistoBenchError
from histobench.io.hashing import stable_hash
from histobench.io.process import signal_when_parent_ends

Plan = Iterable[tuple[int, np.ndarray]]
"""For each batch: the epoch (from 1) and the positions of its images in the source."""

Batches = Generator[tuple[torch.Tensor, torch.Tensor], None, None]
"""For each batch: the module's input (B, ...) and the labels (B,) float32: 1 malignant, or the place of the class."""


def order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return the order of an epoch, a permutation of 0..count-1, as a pure function of its arguments.

    Raw PCG64 numbers are sorted: unlike `Generator.permutation`, numpy promises never to change them.
    """
    return np.argsort(np.random.PCG64(stable_hash(seed, "order", epoch)).random_raw(count), kind="stable")


def cut(indices: np.ndarray, size: int, least: int = 1) -> list[np.ndarray]:
    """Cut `indices` into batches of `size`, the last of which holds the rest.

    Where the rest is smaller than `least`, the last two batches share their images equally or, if these are too few, are one.
    """
    starts = list(range(0, len(indices), size))
    if len(starts) > 1 and len(indices) - starts[-1] < least:
        starts[-1] = (starts[-2] + len(indices) + 1) // 2
        if len(indices) - starts[-1] < least:
            starts.pop()
    return np.split(indices, starts[1:])


@dataclass(frozen=True)
class Stored:
    """Source over a stored array: the pixel store (as one view), embeddings, or visual tokens."""

    array: np.ndarray
    """(V, M, ...) memory-mapped: one view for all epochs, or one for each."""
    rows: np.ndarray
    """(N,) which of the M rows belong to this source."""
    labels: np.ndarray
    """(N,) float32: 0 benign, 1 malignant, or the place of the class."""

    def batches(self, plan: Plan) -> Batches:
        """Yield one pair of host tensors for each batch of the plan, in its order."""
        pinned = _computes_on_cuda()
        for epoch, indices in plan:
            view = self.array[epoch - 1 if len(self.array) > 1 else 0]
            yield _gather(view, self.rows[indices], pinned), _gather(self.labels, indices, pinned)


@dataclass(frozen=True)
class Augmented:
    """Source of images that are augmented anew in each epoch, in `workers` processes or, with 0, in this one."""

    pixels: np.ndarray
    """(M, S, S, 3) uint8, memory-mapped."""
    rows: np.ndarray
    """(N,) which of the M images belong to this source."""
    labels: np.ndarray
    """(N,) float32: 0 benign, 1 malignant, or the place of the class."""
    image_ids: list[str]
    """(N,) names of the source's images."""
    augmentation: Callable[[np.ndarray, int, int, str], np.ndarray]
    """(image, seed, epoch, image_id) -> image, a pure function (`histobench.datasets.augment.Augmentation`)."""
    seed: int
    workers: int = 0

    def batches(self, plan: Plan) -> Batches:
        """Yield one pair of host tensors for each batch of the plan; the workers live as long as the plan."""
        keys = ([(epoch, int(index)) for index in indices] for epoch, indices in plan)
        loader = DataLoader(
            _Views(self),
            batch_sampler=keys,  # type: ignore[arg-type]  # any iterable of lists of keys serves
            num_workers=self.workers,
            collate_fn=_collate,
            pin_memory=_computes_on_cuda(),
            generator=torch.Generator(),  # else it would draw from the generator of the dropout
            worker_init_fn=_start_worker,
        )
        for batch in loader:
            if isinstance(batch, HistoBenchError):
                raise batch
            yield batch


class Source(Protocol):
    """Images, features of them, or bags of features, in the order of their labels."""

    @property
    def labels(self) -> np.ndarray:
        """Return (N,) float32, 0 benign, 1 malignant."""
        ...

    def batches(self, plan: Plan) -> Batches:
        """Yield one pair of host tensors for each batch of the plan, in its order."""
        ...


class _Views(Dataset):
    """Map-style dataset from (epoch, index) to (image (S, S, 3) uint8, label)."""

    def __init__(self, source: Augmented):
        self.source = source

    def __getitem__(self, key: tuple[int, int]) -> tuple[np.ndarray, np.float32] | HistoBenchError:
        epoch, index = key
        source = self.source
        try:
            image = source.pixels[source.rows[index]]
            return source.augmentation(image, source.seed, epoch, source.image_ids[index]), source.labels[index]
        except HistoBenchError as error:
            return error  # raised in a worker, it would become a traceback

    def __getstate__(self) -> dict[str, Any]:
        # Workers that are not forked get the dataset pickled; a pickled memory map would hold all of its data.
        state, pixels = dict(self.source.__dict__), self.source.pixels
        if isinstance(pixels, np.memmap) and pixels.flags.c_contiguous:
            state["pixels"] = (pixels.filename, pixels.dtype, "r", pixels.offset, pixels.shape)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if isinstance(state["pixels"], tuple):
            state["pixels"] = np.memmap(*state["pixels"])
        self.source = Augmented(**state)


def _start_worker(_: int) -> None:
    """Make a worker end with its job, else it keeps the GPU lease, and ignore signals, which the job handles.

    The job needs its workers up to the step after which it ends.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal_when_parent_ends(signal.SIGKILL)


AHEAD = 2
"""Batches that a thread gathers before they are asked for."""


def prefetch(batches: Batches, device: torch.device) -> Batches:
    """Move batches to `device`; for any but the CPU a thread gathers the next ones while it computes.

    What goes wrong in gathering is raised here.
    """
    if device.type == "cpu":
        yield from batches
        return
    for batch, labels in _gathered_ahead(batches, device):
        # Queued here and not in the thread, a copy is on the stream of the step that reads it, and so comes before it. The
        # memory is taken between two steps: in the middle of one there can be too little.
        yield batch.to(device, non_blocking=True), labels.to(device, non_blocking=True)


def _gathered_ahead(batches: Batches, device: torch.device) -> Batches:
    """Yield the same batches, which a thread gathers, at most `AHEAD` of them before they are asked for."""
    wanted: SimpleQueue[bool] = SimpleQueue()
    ready: SimpleQueue[Any] = SimpleQueue()

    def gather() -> None:
        try:
            if device.type == "cuda":
                # A thread starts with the first GPU, where page-locking would open a context.
                torch.cuda.set_device(device)
            with closing(batches):  # here: the kernel kills worker processes with the thread that forked them
                while wanted.get():
                    ready.put(next(batches, None))
        except Exception as error:
            ready.put(error)

    def stop() -> None:
        wanted.put(False)
        thread.join(10)

    thread = Thread(target=gather, daemon=True)
    thread.start()
    atexit.register(stop)  # a thread that is in PyTorch when the interpreter ends would abort the process
    for _ in range(AHEAD):
        wanted.put(True)
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, Exception):
                raise item
            wanted.put(True)
            yield item
    finally:
        wanted.put(False)  # not `stop()`: only the end of the interpreter must wait for the thread


def _computes_on_cuda() -> bool:
    """Tell whether this process has something on a CUDA GPU: only listing the GPUs initialises CUDA, too."""
    return torch.cuda.is_initialized() and torch.cuda.memory_allocated() > 0


def _gather(array: np.ndarray, rows: np.ndarray, pinned: bool) -> torch.Tensor:
    """Return rows, if `pinned` in page-locked memory: copies from there to a CUDA GPU run in the background."""
    dtype = torch.from_numpy(np.empty(0, array.dtype)).dtype
    batch = torch.empty((len(rows), *array.shape[1:]), dtype=dtype, pin_memory=pinned)
    np.take(array, rows, axis=0, out=batch.numpy(), mode="clip")  # the default mode would copy through a buffer
    return batch


def _collate(samples: list[Any]) -> tuple[torch.Tensor, torch.Tensor] | HistoBenchError:
    for sample in samples:
        if isinstance(sample, HistoBenchError):
            return sample
    images, labels = zip(*samples, strict=True)
    return torch.from_numpy(np.stack(images)), torch.from_numpy(np.array(labels, dtype=np.float32))
