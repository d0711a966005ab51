"""Embeddings of a frozen backbone as a script writes them."""

import runpy
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from histobench.datasets import manifest
from histobench.io.errors import HistoBenchError
from histobench.models.cnn import build
from histobench.study.spec import CnnSettings, FeatureSpec
from histobench.training.inputs import feature_seconds

SCRIPT = Path(__file__).parents[2] / "scripts" / "features.py"
MODEL = CnnSettings(architecture="torchvision/resnet18", weights="random", width=0.125, image_size=32)
DIMENSIONS = 64
pytestmark = pytest.mark.usefixtures("double")
ROUNDED = {"rtol": np.finfo(np.float32).eps, "atol": 1e6 * np.finfo(np.float64).eps}
"""Features are computed in float64 here and stored in float32; float64's own rounding, for values near 0, is far smaller."""


@pytest.fixture
def data(tmp_path):
    """Three images at 40x and 70, more than two batches, at 200x; return the pixels of the latter and their ids."""
    images = [
        manifest.Image(
            f"SOB_B_A-14-1-{m}-{n:03}", "benign", "A", "14-1", "14-1", "14-1", m, 700, 460, f"{m}{n}", f"{m}{n}"
        )
        for m, count in ((40, 3), (200, 70))
        for n in range(count)
    ]
    manifest.save(tmp_path / "manifest.csv", images)
    pixels = np.random.default_rng(0).integers(0, 256, (len(images), 32, 32, 3), dtype=np.uint8)
    np.save(tmp_path / "32px.npy", pixels)
    return pixels[3:], [image.image_id for image in images[3:]]


def features(
    folder: Path, monkeypatch, augmentation=(), views: int = 1, magnification: int = 200, options=()
) -> np.ndarray:
    spec = FeatureSpec(model=MODEL, augmentation=augmentation, views=views, magnification=magnification, seed=5)
    output = folder / "features" / "views.npy"
    files = ["--manifest", folder / "manifest.csv", "--pixels", folder / "32px.npy", "--output", output]
    arguments = [SCRIPT, "--specification", spec.canonical(), *files, "--device", "cpu", *options]
    monkeypatch.setattr(sys, "argv", [str(argument) for argument in arguments])
    runpy.run_path(str(SCRIPT))["main"]()
    assert sorted(file.name for file in output.parent.iterdir()) == ["views.json", "views.npy"]
    assert 0 < feature_seconds(output) < 600
    return np.load(output)


def inputs_of_the_head(pixels: np.ndarray) -> np.ndarray:
    """What the head of the same classifier is fed in evaluation mode, (N, D), all images in one batch."""
    classifier = build(MODEL, 5, None).eval()
    seen = []
    classifier.head.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    with torch.no_grad():
        classifier(torch.from_numpy(np.ascontiguousarray(pixels)))
    return seen[0].numpy()


def test_one_view_of_every_image_of_the_magnification_in_manifest_order(data, tmp_path, monkeypatch):
    pixels, _ = data
    found = features(tmp_path, monkeypatch)
    assert found.shape == (1, 70, DIMENSIONS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], inputs_of_the_head(pixels), **ROUNDED)
    np.testing.assert_array_equal(found, features(tmp_path, monkeypatch))


def test_each_view_is_of_the_augmented_image(data, tmp_path, monkeypatch):
    """A flip that always happens is one of the array."""
    pixels, _ = data
    found = features(tmp_path, monkeypatch, [{"HorizontalFlip": {"p": 1.0}}], views=2)
    assert found.shape == (2, 70, DIMENSIONS)
    expected = inputs_of_the_head(pixels[:, :, ::-1])
    for view in found:
        np.testing.assert_allclose(view, expected, **ROUNDED)


def test_view_number_v_is_that_of_epoch_v_whatever_the_number_of_workers(data, tmp_path, monkeypatch):
    from histobench.datasets.augment import Augmentation

    pixels, ids = data
    transforms = [{"HorizontalFlip": {"p": 0.5}}, {"RandomBrightnessContrast": {"p": 0.5}}]
    alone = features(tmp_path, monkeypatch, transforms, views=3, options=["--workers", 0])
    helped = features(tmp_path, monkeypatch, transforms, views=3, options=["--workers", 2])
    np.testing.assert_array_equal(alone, helped)
    augmentation = Augmentation(transforms, 32)
    third = np.stack([augmentation(image, 5, 3, name) for image, name in zip(pixels, ids, strict=True)])
    np.testing.assert_allclose(alone[2], inputs_of_the_head(third), **ROUNDED)


def test_batches_are_cut_when_memory_runs_out_and_what_cannot_be_cut_is_one_sentence(data, tmp_path, monkeypatch):
    from histobench.models.cnn import Classifier

    pixels, _ = data
    expected, embed, most = inputs_of_the_head(pixels), Classifier.embed, [5]

    def cramped(self, batch):
        if len(batch) > most[0]:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return embed(self, batch)

    monkeypatch.setattr(Classifier, "embed", cramped)
    np.testing.assert_allclose(features(tmp_path, monkeypatch)[0], expected, **ROUNDED)
    most[0] = 0
    with pytest.raises(HistoBenchError, match="the GPU's memory does not hold a batch of 1"):
        features(tmp_path, monkeypatch)

    def full(self, *arguments):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Classifier, "to", full)
    with pytest.raises(HistoBenchError, match="the GPU's memory does not hold the model"):
        features(tmp_path, monkeypatch)


def test_a_magnification_without_images_is_an_error(data, tmp_path, monkeypatch):
    with pytest.raises(HistoBenchError, match=r"manifest\.csv: no image at 400x"):
        features(tmp_path, monkeypatch, magnification=400)


def test_the_seconds_of_features_include_those_of_the_tokens_that_they_are_made_from(tmp_path):
    stores = [tmp_path / name for name in ("plain.npy", "augmented.npy")]
    for store, text in zip(stores, ('{"seconds": 1.25}', '{"seconds": 10}'), strict=True):
        store.with_suffix(".json").write_text(text)
    assert feature_seconds(*stores) == 11.25
    assert feature_seconds(stores[0], None) == 1.25
    assert feature_seconds(None) == 0
    for text in ('{"seconds": null}', "{", "[]"):
        stores[0].with_suffix(".json").write_text(text)
        assert feature_seconds(*stores) is None
    assert feature_seconds(tmp_path / "older.npy") is None


@pytest.mark.parametrize("missing", [0, 1])
def test_the_output_must_fit_the_disk_to_the_byte(data, tmp_path, monkeypatch, missing):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=70 * DIMENSIONS * 4 - missing))
    if missing:
        with pytest.raises(
            HistoBenchError, match=r"views\.npy: needs 0\.0 GB, but only 0\.0 GB are free; free some space"
        ):
            features(tmp_path, monkeypatch)
        assert not (tmp_path / "features").exists()
    else:
        features(tmp_path, monkeypatch)
