"""The module of a run, before and after training."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from histobench.io.errors import HistoBenchError
from histobench.io.state_dicts import load_trained, read
from histobench.models import cnn, encoder, partial_training, prompts, text_embeddings, text_tokens, vlm
from histobench.models.linear_head import LinearHead
from histobench.study.spec import CnnSettings, EncoderSettings, FeatureSpec, RunSpec, VlmSettings, is_vlm


def build(
    spec: RunSpec,
    weights: Path | None,
    precision: str,
    tokens: bool = False,
    recompute: bool = False,
    compiled: bool = False,
    tokenizer: Path | None = None,
) -> nn.Module:
    """Return a CNN or encoder with a new head or a vision-language model, with adapters: images or visual tokens to logits.

    A vision-language model keeps its frozen parameters in the `precision` (`bf16` or `fp32`). With `tokens` it gets stored
    visual tokens and needs no vision tower; with `recompute` the backward pass computes its activations again; if `compiled`,
    its decoder's layers are compiled when they first run.
    """
    module = backbone(spec, weights, precision, ("decoder",) if tokens else vlm.WHOLE, tokenizer, outputs=spec.outputs)
    if spec.model.family == "cnn":
        partial_training.freeze(module, spec.recipe, spec.seed)
    elif is_vlm(spec.model.family):
        module.adapt(spec.recipe.lora, spec.seed)
        if recompute:
            module.checkpoint_activations()
        if compiled:
            module.compile_layers()
    return module


def zero_shot(
    spec: RunSpec, weights: Path | None, precision: str, tokens: bool, tokenizer: Path | None, text_weights: Path | None
) -> nn.Module:
    """Return a model as it is, from images or, with `tokens`, stored embeddings or visual tokens to a logit for each prompt.

    `text_weights` is the file of its language-model head or, of an encoder, its text tower; None where weights are random. An encoder
    starts from embeddings and needs no other weights.

    Raises:
        HistoBenchError: a file is missing, of no use, or not that of the model; a text cannot be read.
    """
    model, recipe = spec.model, spec.recipe
    assert recipe.prompts
    assert recipe.answers
    _require_file("text-weights", spec, text_weights)
    _require_file("tokenizer", spec, tokenizer)
    if isinstance(model, EncoderSettings):
        return text_embeddings.build(model, recipe.prompts, recipe.answers, spec.seed, text_weights, tokenizer)
    assert isinstance(model, VlmSettings)
    made = vlm.stored_architecture(model, weights)
    texts = (recipe.prompts, recipe.answers.malignant, recipe.answers.benign)
    ids = [prompts.token_ids(made, some, tokenizer) for some in texts]
    text_tokens.require_different(texts[1:], ids[1:])
    text = [token for some in ids for one in some for token in one]
    classifier = backbone(spec, weights, precision, ("decoder",) if tokens else vlm.WHOLE, text=text)
    return prompts.ZeroShotClassifier(classifier, prompts.language_head(made, text_weights, spec.seed), *ids)


def backbone(
    spec: RunSpec | FeatureSpec,
    weights: Path | None,
    precision: str,
    parts: tuple[vlm.Part, ...] = vlm.WHOLE,
    tokenizer: Path | None = None,
    text: Sequence[int] = (),
    outputs: int = 1,
) -> Any:
    """Return the model of a run before training, without adapters; of a vision-language model only the `parts`.

    It reads the tokens `text` after an image or, where its specification has a prompt, that prompt, which the file `tokenizer`
    cuts into tokens. Its new head has `outputs` logits.

    Raises:
        HistoBenchError: a file is missing, of no use, or not that of the model.
    """
    model = spec.model
    _require_file("weights", spec, weights)
    if isinstance(model, CnnSettings):
        return cnn.build(model, spec.seed, read(weights) if weights else None, outputs)
    if isinstance(model, EncoderSettings):
        return encoder.build(model, spec.seed, weights, outputs=outputs)
    if prompt := spec.recipe.prompt if isinstance(spec, RunSpec) else spec.prompt:
        _require_file("tokenizer", spec, tokenizer)
        (text,) = prompts.token_ids(vlm.stored_architecture(model, weights), [prompt], tokenizer)
    # Frozen parameters have the precision that they are used in; trained ones are fp32.
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    return vlm.build(model, spec.seed, weights, parts, dtype, text, outputs)


def _require_file(option: str, spec: RunSpec | FeatureSpec, file: Path | None) -> None:
    """Require a file of a published model where weights are not random, and none where they are."""
    model = spec.model
    if (file is None) != (model.weights == "random"):
        fault = "is missing; give the file" if file is None else "is of no use; leave it out"
        raise HistoBenchError(f"--{option}: for a {model.family} with weights {model.weights!r} it {fault}")


def feature_extractor(
    spec: FeatureSpec,
    weights: Path | None,
    precision: str,
    from_tokens: bool,
    device: torch.device,
    tokenizer: Path | None = None,
) -> tuple[Callable[[torch.Tensor], torch.Tensor], tuple[int, ...], str]:
    """Return a function from a batch to its features, and their shape and numpy type for each image.

    Batches are images or, with `from_tokens`, visual tokens. Whatever the precision, CNNs and encoders compute in fp32.
    """
    tokens, bf16 = spec.part == "tokens", precision == "bf16"
    parts = ("vision",) if tokens else ("decoder",) if from_tokens else vlm.WHOLE
    model = backbone(spec, weights, precision, parts, tokenizer).to(device).eval()
    if not is_vlm(spec.model.family):
        return model.embed, (model.head.in_features,), "<f4"

    def compute(batch: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):  # as in training
            return model.tokens(batch) if tokens else model.embed(batch)

    return compute, model.token_shape if tokens else (model.head.in_features,), "<u2" if tokens and bf16 else "<f4"


def trained(
    spec: RunSpec, weights: Path | None, kept: Path, precision: str, tokenizer: Path | None = None
) -> nn.Module:
    """Return the whole trained classifier of a run, from images (B, S, S, 3) uint8 to logits (B,).

    It started from `weights` (None if they were random); :func:`histobench.io.state_dicts.save_trained` wrote those `kept`.

    Raises:
        HistoBenchError: the trained weights are damaged or another run's.
    """
    if spec.recipe.trainable != "head":
        module = build(spec, weights, precision, tokenizer=tokenizer)
        load_trained(kept, module, spec.canonical())
        return module
    whole = backbone(spec, weights, precision, tokenizer=tokenizer)
    head = LinearHead(whole.head.in_features, spec.seed, spec.outputs)
    load_trained(kept, head, spec.canonical())
    return FrozenBackbone(whole, head, autocast=is_vlm(spec.model.family))


class FrozenBackbone(nn.Module):
    """A backbone that was not trained, and the linear head that was trained on its embeddings."""

    def __init__(self, backbone: Any, head: LinearHead, autocast: bool):
        super().__init__()
        self.backbone, self.head, self.autocast = backbone, head, autocast

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the logits, (B,) float32, of images (B, S, S, 3) uint8; call `eval()` before."""
        # The precision in which features.py computes embeddings: fp32 for every CNN and encoder.
        with torch.autocast(batch.device.type, enabled=self.autocast and torch.is_autocast_enabled(batch.device.type)):
            embeddings = self.backbone.embed(batch)
        return self.head(embeddings)
