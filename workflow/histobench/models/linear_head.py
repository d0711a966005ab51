"""The linear head that a frozen backbone's embeddings are classified with."""

import numpy as np
import torch
from torch import nn

from histobench.io.hashing import stable_hash


class LinearHead(nn.Module):
    """Embeddings (B, D) to logits (B,), or (B, K) of K > 1 outputs: a linear layer in fp32, after an optional fixed standardisation."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, dimensions: int, seed: int, outputs: int = 1):
        super().__init__()
        torch.manual_seed(stable_hash(seed, "head"))
        self.head = nn.Linear(dimensions, outputs)
        self.register_buffer("mean", torch.zeros(dimensions))
        self.register_buffer("std", torch.ones(dimensions))

    def standardise(self, embeddings: np.ndarray) -> None:
        """Take mean and deviation of each dimension from `embeddings` (N, D); what does not vary is not scaled."""
        mean, std = embeddings.mean(axis=0, dtype=np.float64), embeddings.std(axis=0, dtype=np.float64)
        self.mean.copy_(torch.from_numpy(mean))
        self.std.copy_(torch.from_numpy(np.where(std > 0, std, 1)))

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return the logits of a batch of embeddings (B, D), of any floating type, as (B,) or (B, K) float32."""
        with torch.autocast(embeddings.device.type, enabled=False):
            return self.head((embeddings.float() - self.mean) / self.std).squeeze(1)
