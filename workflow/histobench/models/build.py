"""The module of a run, before and after training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from histobench.io.errors import HistoBenchError
from histobench.io.state_dicts import load_trained, read
from histobench.models import cnn, vlm
from histobench.models.linear_head import LinearHead
from histobench.study.spec import CnnSettings, FeatureSpec, RunSpec


def build(
    spec: RunSpec,
    weights: Path | None,
    precision: str,
    tokens: bool = False,
    recompute: bool = False,
    compiled: bool = False,
) -> nn.Module:
    """Return a CNN with a new head or, with adapters, a vision-language model: images or visual tokens to logits.

    A vision-language model keeps its frozen parameters in the `precision` (`bf16` or `fp32`). With `tokens` it gets stored
    visual tokens and needs no vision tower; with `recompute` the backward pass computes its activations again; if `compiled`,
    its decoder's layers are compiled when they first run.
    """
    module = backbone(spec, weights, precision, ("decoder",) if tokens else vlm.WHOLE, spec.outputs)
    if spec.model.family != "cnn":
        module.adapt(spec.recipe.lora, spec.seed)
        if recompute:
            module.checkpoint_activations()
        if compiled:
            module.compile_layers()
    return module


def backbone(
    spec: RunSpec | FeatureSpec,
    weights: Path | None,
    precision: str,
    parts: tuple[vlm.Part, ...] = vlm.WHOLE,
    outputs: int = 1,
) -> Any:
    """Return the model of a run before training, without adapters; of a vision-language model only the `parts`.

    Its new head has `outputs` logits.

    Raises:
        HistoBenchError: weights are missing, of no use, or not those of the model.
    """
    model = spec.model
    if (weights is None) != (model.weights == "random"):
        fault = "is missing; give the file" if weights is None else "is of no use; leave it out"
        raise HistoBenchError(f"--weights: for a {model.family} with weights {model.weights!r} it {fault}")
    if isinstance(model, CnnSettings):
        return cnn.build(model, spec.seed, read(weights) if weights else None, outputs)
    # Frozen parameters have the precision that they are used in; trained ones are fp32.
    return vlm.build(
        model, spec.seed, weights, parts, torch.bfloat16 if precision == "bf16" else torch.float32, outputs
    )


def feature_extractor(
    spec: FeatureSpec, weights: Path | None, precision: str, from_tokens: bool, device: torch.device
) -> tuple[Callable[[torch.Tensor], torch.Tensor], tuple[int, ...], str]:
    """Return a function from a batch to its features, and their shape and numpy type for each image.

    Batches are images or, with `from_tokens`, visual tokens. Whatever the precision, a CNN computes in fp32.
    """
    tokens, bf16 = spec.part == "tokens", precision == "bf16"
    parts = ("vision",) if tokens else ("decoder",) if from_tokens else vlm.WHOLE
    model = backbone(spec, weights, precision, parts).to(device).eval()
    if spec.model.family == "cnn":
        return model.embed, (model.head.in_features,), "<f4"

    def compute(batch: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):  # as in training
            return model.tokens(batch) if tokens else model.embed(batch)

    shape = model.token_shape
    return compute, shape if tokens else shape[1:], "<u2" if tokens and bf16 else "<f4"


def linear_head(spec: RunSpec, embeddings: np.ndarray) -> LinearHead:
    """Return the linear head of a run, standardised by the training `embeddings` (N, D) if the recipe says so."""
    head = LinearHead(embeddings.shape[1], spec.seed, spec.outputs)
    if spec.recipe.standardise:
        head.standardise(embeddings)
    return head


def trained(spec: RunSpec, weights: Path | None, kept: Path, precision: str) -> nn.Module:
    """Return the whole trained classifier of a run, from images (B, S, S, 3) uint8 to logits (B,).

    It started from `weights` (None if they were random); :func:`histobench.io.state_dicts.save_trained` wrote those `kept`.

    Raises:
        HistoBenchError: the trained weights are damaged or another run's.
    """
    if spec.recipe.trainable != "head":
        module = build(spec, weights, precision)
        load_trained(kept, module, spec.canonical())
        return module
    whole = backbone(spec, weights, precision)
    head = LinearHead(whole.head.in_features, spec.seed, spec.outputs)
    load_trained(kept, head, spec.canonical())
    return FrozenBackbone(whole, head, autocast=spec.model.family != "cnn")


class FrozenBackbone(nn.Module):
    """A backbone that was not trained, and the linear head that was trained on its embeddings."""

    def __init__(self, backbone: Any, head: LinearHead, autocast: bool):
        super().__init__()
        self.backbone, self.head, self.autocast = backbone, head, autocast

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the logits, (B,) float32, of images (B, S, S, 3) uint8; call `eval()` before."""
        # The precision in which features.py computes embeddings: fp32 for every CNN.
        with torch.autocast(batch.device.type, enabled=self.autocast and torch.is_autocast_enabled(batch.device.type)):
            embeddings = self.backbone.embed(batch)
        return self.head(embeddings)
