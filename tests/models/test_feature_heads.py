"""Classifiers of embeddings against scikit-learn's, and attention pooling against its equations."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from torch.nn.functional import binary_cross_entropy_with_logits

from histobench.models.feature_heads import feature_head
from histobench.study.recipes import Recipe

RANDOM = np.random.default_rng(0)
LABEL = np.repeat([0, 1], [24, 36]).astype(np.float32)
TRAINING = (RANDOM.normal(size=(60, 8)) + LABEL[:, None] * np.arange(8) / 8 + 2).astype(np.float32)
OTHERS = (RANDOM.normal(size=(40, 8)) + 2.4).astype(np.float32)


def logits(embeddings: np.ndarray, **recipe) -> np.ndarray:
    head = feature_head(Recipe(trainable="head", **recipe), 0, TRAINING, LABEL)
    with torch.inference_mode():
        return head(torch.from_numpy(embeddings)).numpy()


@pytest.mark.parametrize("neighbours", [1, 7, 20, 1000])
def test_nearest_neighbours_vote_as_in_scikit_learn(neighbours):
    count = min(neighbours, len(LABEL))
    theirs = KNeighborsClassifier(count, metric="cosine").fit(TRAINING, LABEL).predict_proba(OTHERS)[:, 1]
    odds = (theirs * count + 1) / ((1 - theirs) * count + 1)
    np.testing.assert_allclose(logits(OTHERS, classifier="knn", neighbours=neighbours), np.log(odds), atol=1e-6)


def test_half_of_the_votes_are_on_the_threshold():
    label, training = np.array([0, 1], np.float32), np.eye(2, 3, dtype=np.float32)
    head = feature_head(Recipe(trainable="head", classifier="knn"), 0, training, label)
    assert head(torch.ones(1, 3)).tolist() == [0]


def test_simpleshot_is_the_nearest_centroid_of_centred_embeddings_of_length_1():
    def scaled(embeddings):
        centred = embeddings - TRAINING.mean(axis=0)
        return centred / np.linalg.norm(centred, axis=1, keepdims=True)

    theirs = NearestCentroid().fit(scaled(TRAINING), LABEL)
    found = logits(OTHERS, classifier="simpleshot")
    assert ((found > 0) == theirs.predict(scaled(OTHERS))).all()
    squares = ((scaled(OTHERS)[:, None] - theirs.centroids_) ** 2).sum(axis=2)
    np.testing.assert_allclose(found, squares[:, 0] - squares[:, 1], atol=1e-5)


def bags(*members: list[int]) -> torch.Tensor:
    parts = [torch.from_numpy(TRAINING[own]) for own in members]
    return torch.nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=torch.nan)


@pytest.mark.parametrize("bag", ["attention", "mean"])
def test_a_bag_is_scored_by_the_published_equations(bag):
    head = feature_head(Recipe(trainable="head", bag=bag, standardise=True), 3, TRAINING, LABEL)
    state = {name: tensor.double().numpy() for name, tensor in head.state_dict().items()}
    members = [0, 5, 59], [7], [3, 4, 30, 31, 2]
    expected = []
    for own in members:
        h = (TRAINING[own] - TRAINING.mean(axis=0)) / TRAINING.std(axis=0)
        weight = np.full(len(own), 1 / len(own))
        if bag == "attention":
            hidden = np.tanh(h @ state["tanh.weight"].T) / (1 + np.exp(-h @ state["gate.weight"].T))
            weight = np.exp(hidden @ state["weight.weight"][0])
            weight /= weight.sum()
        expected.append(weight @ h @ state["head.weight"][0] + state["head.bias"][0])
    np.testing.assert_allclose(head(bags(*members)).detach().numpy(), expected, atol=1e-5)
    # Neither the order of a bag's images nor the bags beside it count.
    turned = head(bags([59, 0, 5], [7])).detach().numpy()
    np.testing.assert_allclose(turned, expected[:2], atol=1e-5)


def test_attention_learns_from_bags_of_unequal_size():
    head = feature_head(Recipe(trainable="head", bag="attention", standardise=True), 0, TRAINING, LABEL)
    batch = bags(list(range(10)), list(range(10, 24)), list(range(24, 40)), list(range(40, 60)))
    targets, losses = torch.tensor([0.0, 0, 1, 1]), []
    optimizer = torch.optim.SGD(head.parameters(), 1.0)
    for _ in range(30):
        optimizer.zero_grad()
        loss = binary_cross_entropy_with_logits(head(batch), targets)
        loss.backward()
        assert all(parameter.grad.isfinite().all() for parameter in head.parameters())
        losses.append(loss.item())
        optimizer.step()
    assert losses[-1] < losses[0] / 2
