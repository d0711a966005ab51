import ctypes
import pickle
import signal
import sys

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


def test_prefetch_keeps_order_and_content():
    batches = [(torch.full((2,), float(i)), torch.tensor([float(i)])) for i in range(5)]
    assert [int(y) for _, y in data.prefetch(iter(batches), torch.device("cpu"))] == [0, 1, 2, 3, 4]
    assert [y.shape for _, y in data.prefetch(iter(batches), torch.device("meta"))] == [(1,)] * 5
    assert list(data.prefetch(iter([]), torch.device("meta"))) == []
