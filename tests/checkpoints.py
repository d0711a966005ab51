"""Checkpoints of which a test knows when they are there."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from histobench.training.adamw import AdamW
from histobench.training.checkpoint import Checkpoint


class Waiting(Checkpoint):
    """Each checkpoint is on disk before training goes on, so that none is postponed."""

    def save(self, module: nn.Module, optimizer: AdamW, progress: Mapping[str, Any]) -> None:
        super().save(module, optimizer, progress)
        self.close()
