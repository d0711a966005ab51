"""Multiple-instance learning: one logit for a bag of embeddings, the images of one group."""

import torch
from torch import nn

from histobench.io.hashing import stable_hash
from histobench.models.linear_head import LinearHead

HIDDEN = 128
"""Dimensions of the attention, L in the paper."""


class BagHead(LinearHead):
    """Bags of embeddings (B, N, D) to logits (B,): the linear head on their mean, or on their mean weighted by attention.

    Attention is the gated one of Ilse, Tomczak and Welling, "Attention-based deep multiple instance learning", ICML 2018,
    equations 7 and 9, with L = 128: the weights of a bag's embeddings h are the softmax of w' (tanh(V h) * sigmoid(U h)). Rows of
    a bag that hold NaN fill it up to N and count for nothing.
    """

    def __init__(self, dimensions: int, seed: int, attention: bool):
        super().__init__(dimensions, seed)
        self.attention = attention
        if attention:
            torch.manual_seed(stable_hash(seed, "attention"))
            self.tanh, self.gate = (nn.Linear(dimensions, HIDDEN, bias=False) for _ in range(2))
            self.weight = nn.Linear(HIDDEN, 1, bias=False)

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return the logits of bags (B, N, D), of any floating type, as (B,) float32."""
        with torch.autocast(embeddings.device.type, enabled=False):
            absent = embeddings[..., 0].isnan()
            found = (embeddings.float() - self.mean) / self.std
            found = torch.where(absent[..., None], 0, found)
            weights = self.weights(found).masked_fill(absent, -torch.inf).softmax(dim=1)
            return self.head((weights[..., None] * found).sum(dim=1)).squeeze(1)

    def weights(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return the weights (B, N) of embeddings (B, N, D) before the softmax; equal ones for the mean."""
        if not self.attention:
            return torch.zeros_like(embeddings[..., 0])
        return self.weight(self.tanh(embeddings).tanh() * self.gate(embeddings).sigmoid()).squeeze(-1)
