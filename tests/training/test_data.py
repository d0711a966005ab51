import ctypes
import os
import pickle
import signal
import subprocess
import sys
import time
from contextlib import closing
from multiprocessing import active_children
from pathlib import Path
from threading import Event, current_thread
from threading import enumerate as enumerate_threads

import numpy as np
import pytest
import torch

from histobench.datasets.augment import Augmentation
from histobench.io.errors import HistoBenchError
from histobench.io.hashing import stable_hash
from histobench.training import data

TRANSFORMS = [{"HorizontalFlip": {"p": 0.5}}, {"RandomBrightnessContrast": {"p": 0.9}}]


def plan(count, epochs, size=4, seed=7):
    return [(epoch, batch) for epoch in epochs for batch in data.cut(data.order(seed, epoch, count), size)]


def test_the_stable_hash_never_changes():
    # printf '3\x1forder\x1f1' | sha256sum, its first 16 digits shifted right by one bit
    assert stable_hash(3, "order", 1) == 0x82917169D5F38C5A >> 1


def test_the_order_is_a_permutation_that_depends_on_seed_and_epoch_alone():
    first = data.order(3, 1, 50)
    assert sorted(first) == list(range(50))
    assert (first == data.order(3, 1, 50)).all()
    assert (first != data.order(3, 2, 50)).any()
    assert (first != data.order(4, 1, 50)).any()
    assert data.order(0, 1, 8).tolist() == [5, 6, 3, 2, 1, 0, 4, 7]  # pinned: a killed run must find it again


@pytest.mark.parametrize(
    ("count", "size", "least", "sizes"),
    [
        (10, 4, 1, [4, 4, 2]),
        (8, 4, 1, [4, 4]),
        (9, 4, 1, [4, 4, 1]),
        (9, 4, 2, [4, 3, 2]),
        (10, 4, 2, [4, 4, 2]),
        (65, 64, 2, [33, 32]),
        (3, 64, 2, [3]),
        (3, 2, 2, [3]),
        (7, 2, 2, [2, 2, 3]),
        (6, 2, 2, [2, 2, 2]),
        (1, 64, 2, [1]),
    ],
)
def test_a_partial_last_batch_is_kept(count, size, least, sizes):
    batches = data.cut(np.arange(count), size, least)
    assert [len(batch) for batch in batches] == sizes
    assert np.concatenate(batches).tolist() == list(range(count))


def test_stored_arrays_are_read_by_row_and_view(tmp_path):
    array = np.arange(2 * 6 * 3, dtype=np.float32).reshape(2, 6, 3)
    np.save(tmp_path / "a.npy", array)
    rows, labels = np.array([1, 4, 5]), np.array([0, 1, 1], np.float32)
    source = data.Stored(np.load(tmp_path / "a.npy", mmap_mode="r"), rows, labels)
    (x1, y1), (x2, y2) = source.batches([(1, np.array([2, 0])), (2, np.array([1]))])
    assert x1.tolist() == [[15, 16, 17], [3, 4, 5]]
    assert y1.tolist() == [1, 0]
    assert x2.tolist() == [[30, 31, 32]]
    assert y2.tolist() == [1]
    assert x1.dtype == y1.dtype == torch.float32
    one = data.Stored(array[:1], rows, labels)  # a single view serves every epoch
    assert next(one.batches([(9, np.array([0]))]))[0].tolist() == [[3, 4, 5]]


@pytest.fixture
def pixels(tmp_path):
    path = tmp_path / "pixels.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8))
    return np.load(path, mmap_mode="r")


def augmented(pixels, workers=0, augmentation=None):
    rows = np.array([0, 2, 3, 5, 6, 7, 9, 10, 11])
    labels = (np.arange(9) % 2).astype(np.float32)
    names = [f"image-{row}" for row in rows]
    return data.Augmented(
        pixels, rows, labels, names, augmentation or Augmentation(TRANSFORMS, 16), seed=5, workers=workers
    )


def test_views_do_not_depend_on_workers_order_or_a_resume(pixels):
    source, augment = augmented(pixels), Augmentation(TRANSFORMS, 16)
    wanted = plan(9, [1, 2, 3])
    alone = list(source.batches(wanted))
    for (epoch, indices), (images, labels) in zip(wanted, alone, strict=True):
        for index, image in zip(indices, images, strict=True):
            row = source.rows[index]
            assert (image.numpy() == augment(np.array(pixels[row]), 5, epoch, f"image-{row}")).all()
        assert labels.tolist() == source.labels[indices].tolist()
    assert not torch.equal(alone[0][0], next(iter(source.batches([(2, wanted[0][1])])))[0])

    shared = list(augmented(pixels, workers=2).batches(iter(wanted)))
    resumed = list(augmented(pixels, workers=1).batches(iter(plan(9, [3]))))
    for found, expected in ((shared, alone), (resumed, alone[-len(resumed) :])):
        for (x, y), (a, b) in zip(found, expected, strict=True):
            assert torch.equal(x, a)
            assert torch.equal(y, b)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel signal is Linux's")
def test_workers_die_with_their_job(pixels):
    """The kernel is asked in the worker itself; without this they live for up to five seconds, and hold a GPU's memory."""

    def asks(image, seed, epoch, image_id):
        number = ctypes.c_int(-1)
        ctypes.CDLL(None).prctl(2, ctypes.byref(number))  # PR_GET_PDEATHSIG
        return np.full_like(image, number.value)

    images, _ = next(iter(augmented(pixels, 1, asks).batches(plan(9, [1]))))
    assert set(images.unique().tolist()) == {int(signal.SIGKILL)}


def test_a_failing_transform_is_one_sentence_whoever_ran_it(pixels):
    broken = Augmentation([{"Resize": {"height": 8, "width": 8}}], 16)
    for workers in (0, 1):
        with pytest.raises(HistoBenchError, match=r"^after transform Resize the view of image-.* shape") as caught:
            list(augmented(pixels, workers, broken).batches(plan(9, [1])))
        assert "\n" not in str(caught.value)


def test_workers_are_sent_the_place_of_the_pixels_not_the_pixels(pixels):
    views = data._Views(augmented(pixels, augmentation=Augmentation([], 16)))
    sent = pickle.dumps(views)
    assert len(sent) < 3000 < pixels.nbytes
    again = pickle.loads(sent)
    assert (again[1, 4][0] == views[1, 4][0]).all()
    assert again[1, 4][1] == views[1, 4][1]


CPU, OTHER = torch.device("cpu"), torch.device("meta")
"""For tensors on `meta`, which have a shape and no content, batches are gathered in a thread as for a GPU."""


class Counted:
    """Batches of 1, 2, 3... images that count how many of them were made, and know the thread and whether they were closed."""

    def __init__(self, count, error_after=None):
        self.count, self.error_after = count, error_after
        self.made, self.closed, self.thread = 0, Event(), None

    def __iter__(self):
        self.thread = current_thread()
        try:
            for size in range(1, self.count + 1):
                if self.made == self.error_after:
                    raise HistoBenchError("a view has the wrong shape")
                self.made += 1
                yield torch.full((size,), float(size)), torch.ones(size)
        finally:
            self.closed.set()


@pytest.mark.parametrize("device", [CPU, OTHER])
def test_prefetch_keeps_order(device):
    found = [(x.device, x.shape, y.shape) for x, y in data.prefetch(iter(Counted(5)), device)]
    assert found == [(device, (size,), (size,)) for size in range(1, 6)]
    assert list(data.prefetch(iter(Counted(0)), device)) == []


def test_batches_gathered_ahead_are_the_same(pixels):
    for workers in (0, 2):
        source = augmented(pixels, workers)
        wanted = plan(9, [1, 2])
        ahead = list(data._gathered_ahead(source.batches(iter(wanted)), OTHER))
        for (x, y), (a, b) in zip(ahead, source.batches(wanted), strict=True):
            assert torch.equal(x, a)
            assert torch.equal(y, b)


def test_what_goes_wrong_in_the_thread_is_raised_where_the_batch_is_wanted():
    batches = Counted(9, error_after=3)
    stream = data.prefetch(iter(batches), OTHER)
    assert [len(next(stream)[1]) for _ in range(3)] == [1, 2, 3]
    with pytest.raises(HistoBenchError, match="wrong shape"):
        next(stream)
    assert batches.closed.wait(10)


def test_no_more_batches_are_gathered_than_the_steps_need():
    batches = Counted(100)
    stream = data.prefetch(iter(batches), OTHER)
    assert batches.made == 0  # the thread starts when the module is on the GPU
    for taken in range(1, 6):
        next(stream)
        deadline = time.monotonic() + 10
        while batches.made < taken + data.AHEAD and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.02)
        assert batches.made == taken + data.AHEAD


def test_leaving_early_ends_the_thread():
    batches = Counted(100)
    with closing(data.prefetch(iter(batches), OTHER)) as stream:
        next(stream)
    assert batches.thread is not current_thread()
    batches.thread.join(10)
    assert not batches.thread.is_alive()
    assert batches.closed.is_set()
    assert batches.made <= 1 + 2 * data.AHEAD


def test_leaving_early_ends_the_workers_in_good_order(pixels):
    threads = set(enumerate_threads())
    with closing(data.prefetch(augmented(pixels, workers=2).batches(iter(plan(9, range(1, 50)))), OTHER)) as stream:
        next(stream)
        workers = active_children()
    for thread in set(enumerate_threads()) - threads:
        thread.join(10)
        assert not thread.is_alive()
    assert [worker.exitcode for worker in workers] == [0, 0]  # not killed


def test_a_process_that_fails_between_batches_ends():
    """What has gone wrong keeps its stream until the interpreter ends, when no other thread runs any more."""
    script = """
import torch
from histobench.training import data
batches = ((torch.ones(1), torch.ones(1)) for _ in range(100))
for batch, _ in data.prefetch(batches, torch.device("meta")):
    raise RuntimeError("of the GPU")
"""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(data.__file__).parents[2])},
    )
    assert ended.returncode == 1
    assert ended.stderr.endswith("RuntimeError: of the GPU\n")
