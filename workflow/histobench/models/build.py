"""The module of a run: as training starts from it, and as it stands when training is done."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from histobench.io.state_dicts import load_trained, read
from histobench.models.linear_head import LinearHead
from histobench.study.spec import CnnSettings, RunSpec


def build(
    spec: RunSpec, weights: Path | None, precision: str, tokens: bool = False, recompute: bool = False
) -> nn.Module:
    """Return a CNN with a new head or, with adapters, a vision-language model: images or visual tokens to logits.

    Args:
        spec: the run; it trains more than a head.
        weights: pretrained weights, None where they are random.
        precision: `bf16` or `fp32`, in which the frozen parameters of a vision-language model are kept.
        tokens: a vision-language model starts from stored visual tokens and needs no vision tower.
        recompute: a vision-language model's activations are computed again in the backward pass.
    """
    module = backbone(spec, weights, precision, tokens)
    if spec.model.family != "cnn":
        module.adapt(spec.recipe.lora, spec.seed)
        if recompute:
            module.checkpoint_activations()
    return module


def backbone(spec: RunSpec, weights: Path | None, precision: str, tokens: bool = False) -> Any:
    """Return the model of a run as it is before training, without adapters; arguments as in :func:`build`."""
    if isinstance(spec.model, CnnSettings):
        from histobench.models import cnn

        return cnn.build(spec.model, spec.seed, read(weights) if weights else None)
    from histobench.models import vlm

    # The frozen parameters are kept in the precision that they are used in, the trained ones in fp32.
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    return vlm.build(spec.model, spec.seed, weights, ("decoder",) if tokens else vlm.WHOLE, dtype)


def probe(spec: RunSpec, embeddings: np.ndarray) -> LinearHead:
    """Return the linear head of a run, standardised by the training `embeddings` (N, D) where the recipe says so."""
    head = LinearHead(embeddings.shape[1], spec.seed)
    if spec.recipe.standardise:
        head.standardise(embeddings)
    return head


def trained(spec: RunSpec, weights: Path | None, kept: Path, precision: str) -> nn.Module:
    """Return the whole trained classifier of a run, from images (B, S, S, 3) uint8 to logits (B,).

    Args:
        spec: the run.
        weights: pretrained weights that it started from, None where they were random.
        kept: the run's trained weights, which :func:`histobench.io.state_dicts.save_trained` wrote.
        precision: as in :func:`build`.

    Raises:
        HistoBenchError: the trained weights are damaged or another run's.
    """
    if spec.recipe.trainable != "head":
        module = build(spec, weights, precision)
        load_trained(kept, module, spec.canonical())
        return module
    whole = backbone(spec, weights, precision)
    head = LinearHead(whole.head.in_features, spec.seed)
    load_trained(kept, head, spec.canonical())
    return Probed(whole, head, autocast=spec.model.family != "cnn")


class Probed(nn.Module):
    """A frozen backbone and the linear head that was trained on its embeddings."""

    def __init__(self, backbone: Any, head: LinearHead, autocast: bool):
        super().__init__()
        self.backbone, self.head, self.autocast = backbone, head, autocast

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the logits, (B,) float32, of images (B, S, S, 3) uint8; call `eval()` before."""
        # In the precision that embeddings are computed in for training: a CNN's are fp32 everywhere.
        with torch.autocast(batch.device.type, enabled=self.autocast and torch.is_autocast_enabled(batch.device.type)):
            embeddings = self.backbone.embed(batch)
        return self.head(embeddings)
