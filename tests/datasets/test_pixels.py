"""The pixel store: the right pixels in the right row, bounded memory, and no unfinished file under its name."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from histobench.datasets import manifest, pixels
from histobench.datasets.decode import pixel_sha256
from histobench.datasets.manifest import Image
from histobench.datasets.scan import in_threads
from histobench.io.errors import HistoBenchError
from tests.datasets.standin import png, write_files

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}


def picture(number: int, width: int = 70, height: int = 46) -> np.ndarray:
    """Return a made-up image: a colour of its own, and noise."""
    random = np.random.default_rng(number)
    colour = np.array([number * 40 % 256, 255 - number * 20 % 256, 128])
    noise = random.integers(-20, 20, (height, width, 3))
    return np.clip(colour + noise, 0, 255).astype(np.uint8)


def dataset(path: Path, count: int, kind: str = "tar.gz", make: Callable[[int], np.ndarray] = picture) -> list[Image]:
    """Write a source of `count` images, in the reverse of the manifest's order, and return its manifest."""
    images, files = [], []
    for number in range(count):
        content = make(number)
        height, width, _ = content.shape
        name = f"SOB_B_A-14-{1000 + number}-40-001"
        member = f"tree/{name}.png"
        digest = pixel_sha256(content)
        slide = f"14-{1000 + number}"
        images.append(Image(name, "benign", "A", slide, slide, slide, 40, width, height, digest, member))
        files.append((member, png(content)))
    write_files(path, [("tree/notes.txt", b"not an image"), *reversed(files)], kind)
    return manifest.ordered(images)


@pytest.mark.parametrize(("kind", "size"), [("tar.gz", 24), ("folder", 24), ("zip", 90)])  # smaller; larger
def test_every_image_is_in_its_row(tmp_path: Path, kind: str, size: int) -> None:
    def make(number: int) -> np.ndarray:  # both heights occur, as in BreakHis
        return picture(number, height=46 if number % 3 else 45)

    images = dataset(tmp_path / "source", 12, kind, make)
    pixels.build(tmp_path / "source", images, size, tmp_path / "store.npy", workers=2)
    store = pixels.load(tmp_path / "store.npy", 12, size)
    assert isinstance(store, np.memmap)
    assert (store.shape, store.flags.writeable) == ((12, size, size, 3), False)
    for number, row in enumerate(store):
        assert np.array_equal(row, pixels.squash(make(number), size))
        # a resampled image keeps its mean
        assert np.allclose(row.mean(axis=(0, 1)), make(number).mean(axis=(0, 1)), atol=1.5)
    assert np.array_equal(np.load(tmp_path / "store.npy"), store)  # plain NumPy reads it
    assert sorted(file.name for file in tmp_path.iterdir()) == ["source", "store.npy"]


def test_tiles_of_images_are_in_rows_one_after_another(tmp_path: Path) -> None:
    images = dataset(tmp_path / "source", 6, "tar.gz")
    cut = [(70, 46) if number % 2 else (40, 46) for number in range(6)]  # one tile, or two columns
    pixels.build(tmp_path / "source", images, 24, tmp_path / "store.npy", workers=2, cut=cut)
    store = pixels.load(tmp_path / "store.npy", 9, 24)
    expected = [picture(n)[:, x : x + w] for n, (w, _) in enumerate(cut) for x in ((0,) if w == 70 else (0, 30))]
    assert np.array_equal(store, [pixels.squash(part, 24) for part in expected])


def test_squash_is_antialiased() -> None:
    """Stripes finer than the new pixels become grey; a filter without antialiasing would draw false coarse ones."""
    stripes = np.zeros((460, 700, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.ptp(pixels.squash(stripes, 224)[:, 2:-2].astype(int)) <= 6  # at the border the filter is cut
    false = stripes[np.ix_(np.arange(224) * 460 // 224, np.arange(224) * 700 // 224)]
    assert np.ptp(false) == 255


def test_squash_has_not_changed() -> None:
    """The filter computes in whole numbers: its bytes are the same everywhere, until a library changes silently."""
    y, x = np.mgrid[:46, :70]
    original = np.stack([(x * y) % 251, (x * 7 + y * 3) % 253, (x * x + y * y) % 255], axis=-1).astype(np.uint8)
    digests = [hashlib.sha256(pixels.squash(original, size).tobytes()).hexdigest()[:16] for size in (32, 96)]
    assert digests == ["3acec0de5c85a869", "40f129f75dbe9f4c"]


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40])


@pytest.mark.parametrize(
    ("change", "damage", "found"),
    [
        ({"sha256": "0" * 64}, None, "has other pixels than those whose SHA-256 the manifest has"),
        ({}, Path.unlink, "1 of the manifest's 8 images are missing, the first is"),
        ({}, cut, "the PNG is truncated or corrupt"),
    ],
)
def test_a_source_that_differs_from_the_manifest_is_refused(tmp_path: Path, change: dict, damage, found: str) -> None:
    images = dataset(tmp_path / "source", 8, "folder")
    images[5] = replace(images[5], **change)
    if damage:
        damage(tmp_path / "source" / images[5].member)
    with pytest.raises(HistoBenchError, match=found) as raised:
        pixels.build(tmp_path / "source", images, 8, tmp_path / "store.npy", workers=2)
    assert images[5].member in str(raised.value)
    assert [file.name for file in tmp_path.iterdir()] == ["source"]


def test_load_refuses_anything_else(tmp_path: Path) -> None:
    path = tmp_path / "store.npy"
    with pytest.raises(HistoBenchError, match="no such pixel store"):
        pixels.load(path, 4, 8)
    images = dataset(tmp_path / "source", 4, "folder")
    pixels.build(tmp_path / "source", images, 8, path)
    pixels.load(path, 4, 8)
    whole = path.read_bytes()
    for content in (whole[:-1], whole + b"\0", whole[:60], b"", b"not an array"):
        path.write_bytes(content)
        with pytest.raises(HistoBenchError, match="is not the pixel store of this dataset") as raised:
            pixels.load(path, 4, 8)
        assert "\n" not in str(raised.value)
    for array in (
        np.zeros((4, 8, 8, 3), np.int8),
        np.zeros((4, 8, 8), np.uint8),
        np.asfortranarray(np.zeros((4, 8, 8, 3), np.uint8)),
        np.array([{}], object),
    ):
        np.save(path, array, allow_pickle=True)
        with pytest.raises(HistoBenchError, match="is not the pixel store of this dataset"):
            pixels.load(path, 4, 8)
    path.write_bytes(whole)
    for count, size in ((5, 8), (4, 9)):
        with pytest.raises(HistoBenchError, match=r"it holds uint8 of shape \(4, 8, 8, 3\)"):
            pixels.load(path, count, size)


def script(source: Path, images: Path, output: Path, size: int) -> list[str]:
    """Return the command that builds a store with one thread."""
    command = [sys.executable, ROOT / "scripts" / "pixels.py", "--source", source, "--manifest", images]
    return [*map(str, command), "--size", str(size), "--output", str(output)]


def test_a_killed_script_leaves_no_store(tmp_path: Path) -> None:
    images = dataset(tmp_path / "source", 20, "folder", lambda number: picture(number, 700, 460))
    manifest.save(tmp_path / "manifest.csv", images)
    folder = tmp_path / "pixels"
    command = script(tmp_path / "source", tmp_path / "manifest.csv", folder / "336px.npy", 336)
    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL) as process:
        while not list(folder.glob(".336px.npy.*.partial")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert [file.suffix for file in folder.iterdir()] == [".partial"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "20 images of 336x336 pixels" in done.stdout
    assert "20/20" in done.stderr  # the progress bar
    store = pixels.load(folder / "336px.npy", 20, 336)
    assert np.array_equal(store[19], pixels.squash(picture(19, 700, 460), 336))
    assert [file.name for file in folder.iterdir()] == ["336px.npy"]  # what the killed one left is gone


def test_at_most_four_items_per_worker_are_in_memory() -> None:
    taken = []

    def items() -> Iterator[tuple[int]]:
        for number in range(50):
            taken.append(number)
            yield (number,)

    for number, square in enumerate(in_threads(lambda value: value**2, items(), workers=2)):
        assert square == number**2
        assert len(taken) <= number + 8
