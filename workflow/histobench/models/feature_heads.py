"""What classifies the embeddings of a frozen backbone: which module a recipe asks for, and those that need no epochs."""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import normalize

from histobench.models.attention_pooling import BagHead
from histobench.models.linear_head import LinearHead
from histobench.study.recipes import Recipe


class NearestNeighbours(nn.Module):
    """The plain vote of the k training embeddings nearest by cosine distance, as log-odds (B,).

    k = 20 is that of Caron et al., "Emerging properties in self-supervised vision transformers", ICCV 2021, who weight votes by
    similarity. Here they count equally, as in the evaluation of UNI (Chen et al., Nature Medicine 30, 2024, 850-862), which
    centres embeddings first. Of m malignant votes the logit is log((m + 1) / (k - m + 1)), Laplace's rule: 0 for a tie, never
    infinite.
    """

    embeddings: torch.Tensor
    malignant: torch.Tensor

    def __init__(self, embeddings: np.ndarray, label: np.ndarray, neighbours: int):
        """Keep the training embeddings (N, D) and labels (N,); all vote where N is below `neighbours`."""
        super().__init__()
        self.count = min(neighbours, len(label))
        self.register_buffer("embeddings", normalize(torch.from_numpy(np.array(embeddings, dtype=np.float32))))
        self.register_buffer("malignant", torch.from_numpy(np.array(label, dtype=np.float32)))

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return the logits of a batch of embeddings (B, D) as (B,) float32."""
        with torch.autocast(embeddings.device.type, enabled=False):
            similarity = normalize(embeddings.float()) @ self.embeddings.T
        # Of equally near images the first in the manifest vote.
        nearest = similarity.argsort(dim=1, descending=True, stable=True)[:, : self.count]
        votes = self.malignant[nearest].sum(dim=1)
        return torch.log((votes + 1) / (self.count - votes + 1))


class NearestMean(nn.Module):
    """SimpleShot: the nearer of two class means, as the difference of squared distances (B,).

    Wang, Chao, Weinberger and van der Maaten, "SimpleShot: revisiting nearest-neighbor classification for few-shot learning",
    2019, arXiv 1911.04623, their CL2N: embeddings are centred by the mean of the training images and scaled to length 1.
    """

    centre: torch.Tensor
    means: torch.Tensor

    def __init__(self, embeddings: np.ndarray, label: np.ndarray):
        """Compute centre and class means of the training embeddings (N, D) with labels (N,), of which both occur."""
        super().__init__()
        training = torch.from_numpy(np.array(embeddings, dtype=np.float32))
        malignant = torch.from_numpy(np.asarray(label) > 0.5)
        self.register_buffer("centre", training.mean(dim=0))
        scaled = normalize(training - self.centre)
        self.register_buffer("means", torch.stack([scaled[~malignant].mean(dim=0), scaled[malignant].mean(dim=0)]))

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return the logits of a batch of embeddings (B, D) as (B,) float32: above 0 the malignant mean is nearer."""
        scaled = normalize(embeddings.float() - self.centre)
        distance = (scaled[:, None] - self.means).square().sum(dim=2)
        return distance[:, 0] - distance[:, 1]


def feature_head(recipe: Recipe, seed: int, embeddings: np.ndarray, label: np.ndarray, outputs: int = 1) -> nn.Module:
    """Return what a recipe classifies embeddings with, before training where it trains.

    Args:
        recipe: a recipe with `trainable: head`.
        seed: of what is random in it.
        embeddings: (N, D) of the training images.
        label: (N,) their labels, 0 benign, 1 malignant, or the place of the class.
        outputs: logits of a linear head for images.
    """
    if recipe.classifier == "knn":
        return NearestNeighbours(embeddings, label, recipe.neighbours)
    if recipe.classifier == "simpleshot":
        return NearestMean(embeddings, label)
    dimensions = embeddings.shape[1]
    if recipe.bag:
        head: BagHead | LinearHead = BagHead(dimensions, seed, recipe.bag == "attention")
    else:
        head = LinearHead(dimensions, seed, outputs)
    if recipe.standardise:
        head.standardise(embeddings)
    return head
