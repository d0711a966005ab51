"""Heads with several outputs, their loss, and that one output is what it was."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from histobench.datasets import manifest
from histobench.io.errors import HistoBenchError
from histobench.io.hashing import stable_hash
from histobench.metrics import class_epoch_scores
from histobench.models import cnn, vlm
from histobench.models.linear_head import LinearHead
from histobench.models.parameters import size
from histobench.study.recipes import Lora, Recipe
from histobench.study.spec import CnnSettings, RunSpec
from histobench.training import data, inputs
from histobench.training.checkpoint import Checkpoint
from histobench.training.fit import fit, summed_loss
from tests.models.vlm_settings import tiny
from tests.scripts.running import random_dataset

NARROW = CnnSettings(architecture="torchvision/resnet18", weights="random", width=0.0625, image_size=32)


def same(first: nn.Module, second: nn.Module, without: str) -> bool:
    """Whether the states are equal bit for bit, apart from tensors whose name begins with a text."""
    states = [{k: v for k, v in one.state_dict().items() if not k.startswith(without)} for one in (first, second)]
    return states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][key], states[1][key]) for key in states[0]
    )


def test_one_output_begins_with_the_numbers_that_it_always_had():
    head = LinearHead(7, 3)
    torch.manual_seed(stable_hash(3, "head"))
    before = nn.Linear(7, 1)
    assert torch.equal(head.head.weight, before.weight)
    assert torch.equal(head.head.bias, before.bias)
    assert head(torch.ones(5, 7)).shape == (5,)
    assert LinearHead(7, 3, 4)(torch.ones(5, 7)).shape == (5, 4)
    for build in (
        lambda *outputs: cnn.build(NARROW, 5, None, *outputs),
        lambda *outputs: vlm.build(tiny("smolvlm"), 5, None, vlm.WHOLE, torch.float32, (), *outputs),
    ):
        single, several = build(), build(3)
        assert same(single, several, without="head.")  # the head is drawn last
        assert (single.head.out_features, several.head.out_features) == (1, 3)
        images = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)
        assert (single.eval()(images).shape, several.eval()(images).shape) == ((2,), (2, 3))


def test_the_loss_of_one_logit_is_what_it_was_and_of_several_that_of_the_softmax():
    logits, labels = torch.randn(6), torch.tensor([0.0, 1, 1, 0, 1, 0])
    assert torch.equal(summed_loss(logits, labels), binary_cross_entropy_with_logits(logits, labels, reduction="sum"))
    several, places = torch.randn(4, 3), torch.tensor([2.0, 0, 1, 2])
    share = several.exp() / several.exp().sum(dim=1, keepdim=True)
    expected = -sum(share[row, int(place)].log() for row, place in enumerate(places))
    torch.testing.assert_close(summed_loss(several, places), expected)


def test_parameters_count_every_output():
    recipe = Recipe(trainable="head")
    more = size(NARROW, recipe, 8).trainable / size(NARROW, recipe).trainable
    assert more == 8
    lora = Recipe(trainable="lora", lora=Lora())
    hidden = 48
    assert size(tiny("smolvlm"), lora, 4).trainable - size(tiny("smolvlm"), lora).trainable == 3 * (hidden + 1)


def test_a_head_learns_three_classes(tmp_path):
    label = np.arange(90) % 3
    points = np.eye(3)[label] * 4 + np.random.default_rng(0).normal(size=(90, 3))
    sources = [
        data.Stored(points[None].astype(np.float32), rows, label[rows].astype(np.float32))
        for rows in (np.arange(60), np.arange(60, 90))
    ]
    fitted = fit(
        LinearHead(3, 0, 3),
        *sources,
        score=lambda logits: class_epoch_scores(sources[1].labels, logits),
        recipe=Recipe(trainable="head", epochs=30, batch_size=20, learning_rate=0.1),
        seed=0,
        device=torch.device("cpu"),
        checkpoint=Checkpoint(tmp_path / "checkpoint.pt", {}, 1e9),
    )
    assert fitted.logits.shape == fitted.best_logits.shape == (30, 3)
    assert np.mean(fitted.logits.argmax(axis=1) == label[60:]) > 0.9
    assert fitted.history[-1]["macro_auc"] > 0.95
    assert fitted.history[-1]["train_loss"] < fitted.history[0]["train_loss"] < 3


def test_images_of_other_classes_neither_train_nor_evaluate(tmp_path):
    made, patients = random_dataset(tmp_path, 12, (40,), 3, 3), {}
    for image in made:  # two types of each class, by turns
        patients.setdefault(image.label, {}).setdefault(image.patient, len(patients[image.label]))
    of = {"benign": ("A", "F"), "malignant": ("DC", "LC")}
    images = [replace(one, subtype=of[one.label][patients[one.label][one.patient] % 2]) for one in made]
    manifest.save(tmp_path / "manifest.csv", images)
    images = [image for image in manifest.load(tmp_path / "manifest.csv") if image.magnification == 40]
    types = {image.subtype for image in images}
    features = np.arange(len(images), dtype=np.float32)[None, :, None]
    np.save(tmp_path / "features.npy", features)
    files = inputs.Files(
        tmp_path / "manifest.csv", tmp_path / "patient.csv", "patient", None, tmp_path / "features.npy", None
    )
    chosen = sorted(types)[:3][::-1]

    def load(classes: list[str]) -> inputs.Inputs:
        recipe = Recipe(trainable="head")
        spec = RunSpec(model=NARROW, recipe=recipe, augmentation=[], magnification=40, fold=1, seed=0, classes=classes)
        return inputs.load(spec, files, 0)

    assert len(types) > 3
    found, manifested = load(chosen), manifest.load(tmp_path / "manifest.csv")
    for side in (found.training, found.evaluation):
        own = [manifested[row].subtype for row in side.rows]
        assert set(own) <= set(chosen)
        assert [chosen[int(place)] for place in side.labels] == own
    assert len(found.training.rows) + len(found.evaluation.rows) == sum(image.subtype in chosen for image in images)
    assert [image.subtype for image in found.images] == [manifested[row].subtype for row in found.evaluation.rows]
    with pytest.raises(HistoBenchError, match=r"fold 1 at 40x has 0 of the classes X, Y to train on and 0 images"):
        load(["X", "Y"])
