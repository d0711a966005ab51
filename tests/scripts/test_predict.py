"""Kept weights on other images: they must say what training said of the same pixels."""

from dataclasses import replace
from unittest.mock import ANY

import numpy as np
import pytest
import torch

from histobench.datasets import manifest
from histobench.study.recipes import Lora, Recipe
from histobench.study.spec import CnnSettings, FeatureSpec, RunSpec
from tests.models.vlm_settings import tiny
from tests.scripts import running
from tests.scripts.running import ROOT, rows

CNN = CnnSettings(architecture="torchvision/resnet18", weights="random", image_size=64, width=0.125)
LORA = Lora(rank=4, dropout=0)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def script(name, **options):
    """Run a script and require success."""
    assert running.run(name, ROOT, **options) == (0, ANY)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Eight patients with four images each in two folds, and the same pixels as another dataset of no magnification."""
    folder = tmp_path_factory.mktemp("dataset")
    images = running.random_dataset(folder, 8, (40,), 4, 2)
    elsewhere = [replace(image, magnification=0, sha256=f"f{image.sha256[1:]}") for image in images]
    manifest.save(folder / "elsewhere.csv", elsewhere)
    return folder


def trained(dataset, output, model, recipe, part=None):
    """Train a run, from stored embeddings or tokens where `part` says so; return its specification."""
    recipe = Recipe(epochs=2, batch_size=8, learning_rate=0.01, keep_weights=True, **recipe)
    spec = RunSpec(model=model, recipe=recipe, augmentation=[], magnification=40, fold=2, seed=4)
    inputs = {"pixels": dataset / "pixels.npy"}
    if part:
        made = FeatureSpec(part=part, model=model, augmentation=[], views=1, magnification=40, seed=4)
        script(
            "features",
            specification=made.canonical(),
            manifest=dataset / "manifest.csv",
            pixels=dataset / "pixels.npy",
            device="cpu",
            output=output / "features.npy",
        )
        inputs = {"features": output / "features.npy"}
    script(
        "train",
        specification=spec.canonical(),
        manifest=dataset / "manifest.csv",
        folds=dataset / "patient.csv",
        split_by="patient",
        device="cpu",
        output=output / "predictions.csv",
        history=output / "history.csv",
        run=output / "run.json",
        **inputs,
    )
    return spec


def predict(dataset, output, spec, **changes):
    options = {
        "specification": spec.canonical(),
        "trained": output / "weights.safetensors",
        "trained_on": dataset / "manifest.csv",
        "manifest": dataset / "elsewhere.csv",
        "pixels": dataset / "pixels.npy",
        "device": "cpu",
        "output": output / "external.csv",
    }
    return running.run("predict", ROOT, **options | changes)


@pytest.mark.parametrize(
    ("model", "recipe", "part"),
    [
        (CNN, {"trainable": "all"}, None),
        (CNN, {"trainable": "head", "standardise": True}, "embeddings"),
        (tiny("smolvlm"), {"trainable": "lora", "lora": LORA}, "tokens"),
        (tiny("qwen2-vl"), {"trainable": "lora", "lora": LORA}, "tokens"),
        (tiny("smolvlm"), {"trainable": "lora", "lora": LORA.model_copy(update={"vision": True})}, None),
        (tiny("qwen2-vl"), {"trainable": "head"}, "embeddings"),
    ],
    ids=["cnn ft", "cnn lp", "smolvlm ft", "qwen2-vl ft", "smolvlm ft with its tower", "qwen2-vl lp"],
)
def test_kept_weights_predict_what_training_predicted(dataset, tmp_path, double, model, recipe, part):
    spec = trained(dataset, tmp_path, model, recipe, part)
    assert predict(dataset, tmp_path, spec).returncode == 0
    own, other = rows(tmp_path / "predictions.csv"), rows(tmp_path / "external.csv")
    assert list(other[0]) == ["image_id", "group", "class", "label", "logit"]
    assert [row["image_id"] for row in other] == [image.image_id for image in manifest.load(dataset / "elsewhere.csv")]
    logits = {row["image_id"]: float(row["logit"]) for row in other}
    expected = [float(row["logit"]) for row in own]
    assert len(own) == 16
    assert np.std(expected) > 1e-3
    # In float64, printed with nine digits; stored features are rounded to float32, an error that no layer after them makes a
    # hundred times as large.
    error = (100 * np.finfo(np.float32).eps if part else 1e-8) * np.abs(expected).max()
    np.testing.assert_allclose([logits[row["image_id"]] for row in own], expected, rtol=0, atol=error)
    assert {(row["class"], row["label"]) for row in other} == {("A", "0"), ("DC", "1")}


def test_memory_that_runs_out_cuts_batches_and_a_model_that_does_not_fit_is_one_sentence(
    dataset, tmp_path, monkeypatch
):
    from histobench.models.cnn import Classifier

    spec = trained(dataset, tmp_path, CNN, {"trainable": "all"})
    assert predict(dataset, tmp_path, spec).returncode == 0
    expected, embed = [float(row["logit"]) for row in rows(tmp_path / "external.csv")], Classifier.embed

    def full(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Classifier, "embed", lambda self, batch: embed(self, batch) if len(batch) <= 3 else full())
    assert predict(dataset, tmp_path, spec).returncode == 0
    logits = [float(row["logit"]) for row in rows(tmp_path / "external.csv")]
    assert logits == pytest.approx(expected, abs=1e-5)
    monkeypatch.setattr(Classifier, "to", full)
    status, said = predict(dataset, tmp_path, spec)
    assert (status, said.count("\n")) == (1, 1)
    assert "error: the GPU's memory does not hold the model (CUDA out of memory); end other processes" in said


def test_the_logits_of_the_tiles_of_an_image_are_averaged(dataset, tmp_path):
    spec = trained(dataset, tmp_path, CNN, {"trainable": "head"}, "embeddings")
    assert predict(dataset, tmp_path, spec).returncode == 0
    alone = [float(row["logit"]) for row in rows(tmp_path / "external.csv")]
    # The first 2 x 4 of these 32 pictures are the tiles of two photographs of 1400 x 920 pixels of the same size, and the next
    # two are such of half the height.
    images = manifest.load(dataset / "elsewhere.csv")
    sizes = [(1400, 920), (1400, 920), (1400, 460)]
    photographs = [
        replace(image, width=width, height=height) for image, (width, height) in zip(images[:3], sizes, strict=True)
    ]
    manifest.save(tmp_path / "photographs.csv", photographs)
    np.save(tmp_path / "tiles.npy", np.load(dataset / "pixels.npy")[:10])
    files = {"manifest": tmp_path / "photographs.csv", "pixels": tmp_path / "tiles.npy"}
    assert predict(dataset, tmp_path, spec, **files, microns='[{"0": 0.5}, {"40": 0.5}]').returncode == 0
    found = {row["image_id"]: float(row["logit"]) for row in rows(tmp_path / "external.csv")}
    expected = [np.mean(alone[:4]), np.mean(alone[4:8]), np.mean(alone[8:10])]
    assert [found[image.image_id] for image in images[:3]] == pytest.approx(expected, rel=1e-6, abs=1e-7)
    status, said = predict(dataset, tmp_path, spec, **files, microns='[{"0": 0.25}, {"40": 0.5}]')
    assert (status, "is not the pixel store of this dataset" in said) == (1, True)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"trained": "absent"}, "the weights of this run are not there; delete the predictions.csv beside it"),
        ({"manifest": "manifest.csv"}, "32 images have equal pixels in"),
        ({"weights": "manifest.csv"}, "--weights: for a cnn with weights 'random' it is of no use"),
        ({"seed": 5}, "was trained by another specification"),
        ({"pixels": "manifest.csv"}, "is not the pixel store of this dataset"),
    ],
)
def test_a_mistake_is_one_sentence(dataset, tmp_path, changes, sentence):
    spec = trained(dataset, tmp_path, CNN, {"trainable": "head"}, "embeddings")
    if "seed" in changes:
        spec = spec.model_copy(update=changes)
    changes = {key: dataset / value for key, value in changes.items() if key != "seed"}
    status, said = predict(dataset, tmp_path, spec, **changes)
    assert (status, said.count("error")) == (1, 1)
    assert sentence in said
    assert not (tmp_path / "external.csv").exists()
