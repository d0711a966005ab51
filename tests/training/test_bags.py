"""What classifiers of embeddings train on: bags of whole patients, and nothing of the evaluation fold."""

import numpy as np
import pytest
import torch

from histobench import metrics
from histobench.io.errors import HistoBenchError
from histobench.models.feature_heads import feature_head
from histobench.study.recipes import Recipe
from histobench.study.spec import CnnSettings, RunSpec
from histobench.training import at_once, inputs
from histobench.training.bags import bags_of
from histobench.training.checkpoint import Checkpoint
from histobench.training.fit import fit
from tests.scripts.running import random_dataset

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Twelve patients with three images at each of two magnifications, and their embeddings."""
    folder = tmp_path_factory.mktemp("bags")
    images = random_dataset(folder, 12, (40, 200), 3, 3)
    generator = np.random.default_rng(0)
    for scale in (40, 200):
        malignant = [image.label == "malignant" for image in images if image.magnification == scale]
        embeddings = generator.normal(size=(1, len(malignant), 6)).astype(np.float32)
        embeddings[..., 0] += malignant
        np.save(folder / f"{scale}.npy", embeddings)
    return folder, images


def load(dataset, features=None, **recipe):
    folder, _ = dataset
    spec = RunSpec(
        model=CnnSettings(architecture="torchvision/alexnet", weights="random", image_size=64),
        recipe=Recipe(trainable="head", epochs=2, batch_size=2, learning_rate=0.1, **recipe),
        augmentation=[], magnification=200, fold=1, seed=0,
    )  # fmt: skip
    others = [folder / "40.npy"] if spec.recipe.scales else []
    files = inputs.Files(
        folder / "manifest.csv", folder / "patient.csv", "patient", None, features or folder / "200.npy", None, others
    )
    return spec, inputs.load(spec, files, 0)


def state_and_logits(spec, sides, folder):
    """Return the trained state as text, and the logit of each evaluation image."""

    def score(logits):
        return metrics.epoch_scores(sides.labels, logits[sides.unit], sides.groups)

    def make():
        return feature_head(spec.recipe, 0, sides.embeddings(), sides.training.labels)

    if spec.recipe.classifier != "linear":
        module, fitted = at_once.evaluate(make, sides.evaluation, score, CPU)
    else:
        module = make()
        checkpoint = Checkpoint(folder / "checkpoint.pt", {}, 1000)
        fitted = fit(module, sides.training, sides.evaluation, score, spec.recipe, 0, CPU, checkpoint)
    return str({name: tensor.tolist() for name, tensor in module.state_dict().items()}), fitted.logits[sides.unit]


@pytest.mark.parametrize(
    "recipe",
    [
        {"classifier": "knn", "neighbours": 3},
        {"classifier": "simpleshot"},
        {"classifier": "simpleshot", "patients_per_class": 2},
        {"bag": "attention", "standardise": True},
        {"bag": "mean", "scales": [40, 200]},
        {"scales": [40, 200], "standardise": True},
    ],
    ids=str,
)
def test_what_is_trained_knows_nothing_of_the_evaluation_fold(dataset, tmp_path, recipe):
    folder, images = dataset
    spec, sides = load(dataset, **recipe)
    state, logits = state_and_logits(spec, sides, tmp_path)
    tested = {image.image_id for image in sides.images}
    here = [image.image_id for image in images if image.magnification == 200]
    changed = np.load(folder / "200.npy")
    changed[:, [name in tested for name in here]] += 5
    np.save(tmp_path / "changed.npy", changed)
    spec, sides = load(dataset, tmp_path / "changed.npy", **recipe)
    again, others = state_and_logits(spec, sides, tmp_path)
    assert again == state
    assert (others != logits).any()


def test_bags_are_whole_patients_and_images_have_the_scores_of_theirs(dataset, tmp_path):
    spec, sides = load(dataset, bag="attention")
    assert sides.trained == 24
    assert len(sides.images) == 12
    assert [len(side.labels) for side in (sides.training, sides.evaluation)] == [8, 4]
    assert sides.labels.tolist() == [float(image.label == "malignant") for image in sides.images]
    _, logits = state_and_logits(spec, sides, tmp_path)
    of = {image.patient: logit for image, logit in zip(sides.images, logits, strict=True)}
    assert len(set(of.values())) == 4
    assert [of[image.patient] for image in sides.images] == logits.tolist()


def test_few_patients_train_and_all_evaluate(dataset):
    _, sides = load(dataset, patients_per_class=1)
    assert (sides.trained, len(sides.images), len(sides.training.labels)) == (6, 12, 6)


def test_a_bag_has_one_label():
    with pytest.raises(HistoBenchError, match="bag: a has images of both classes"):
        bags_of(np.zeros((1, 3, 2)), np.arange(3), np.array([0, 1, 1], np.float32), np.array(["a", "a", "b"]))


def test_a_classifier_without_epochs_leaves_one_row_without_a_training_loss(dataset):
    spec, sides = load(dataset, classifier="knn")
    score = lambda logits: metrics.epoch_scores(sides.labels, logits, sides.groups)  # noqa: E731
    make = lambda: feature_head(spec.recipe, 0, sides.embeddings(), sides.training.labels)  # noqa: E731
    _, fitted = at_once.evaluate(make, sides.evaluation, score, CPU)
    (row,) = fitted.history
    assert (row["epoch"], row["learning_rate"], np.isnan(row["train_loss"])) == (1, 0, True)
    assert fitted.best_epoch == 1
    assert fitted.chosen is None
