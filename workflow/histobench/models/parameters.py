"""How many parameters a model has, counted on the true network without filling it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from histobench.io.errors import HistoBenchError
from histobench.models import cnn, encoder, partial_training, text_embeddings, vlm
from histobench.models.feature_heads import feature_head
from histobench.study.recipes import Recipe
from histobench.study.spec import CnnSettings, EncoderSettings, VlmSettings


@dataclass(frozen=True)
class Size:
    """Numbers of parameters; running statistics are none, and a tensor that two layers share counts once."""

    published_form: int
    """As published: a CNN with its original classifier (1000 classes), at the model's width; an encoder without any head, CLIP's
    with its projection and, where it is not trained, its text tower; a vision-language model with its language-model head."""
    total: int
    """As trained here: with one output or one for each class, without language-model head, with adapters. All token embeddings count, although
    only those of the two image markers are ever looked up."""
    trainable: int
    """Of `total`, those that training changes."""
    lora: int
    """Of `trainable`, those of low-rank adapters."""


def size(settings: CnnSettings | EncoderSettings | VlmSettings, recipe: Recipe, outputs: int = 1) -> Size:
    """Count the parameters of a model, and those that training it by `recipe`, as `Config.recipe` gives it, changes.

    It is trained with a head of `outputs` logits.

    Raises:
        HistoBenchError: the model cannot be built, or its batch normalisation would get single images.
    """
    if isinstance(settings, VlmSettings):
        made = vlm.architecture(settings)
        with torch.device("meta"):
            published_form = _count(made.generator(made.config))
            model = made.model(made.config).requires_grad_(False)
            markers = torch.empty(2, made.hidden_size)
            classifier = vlm.VisionLanguageClassifier(made, model, markers, settings.readout, outputs)
            if recipe.lora is not None:
                classifier.adapt(recipe.lora, seed=0)
        if recipe.trainable == "none":
            return Size(published_form, published_form, 0, 0)
        return _size(published_form, classifier, recipe)
    if isinstance(settings, EncoderSettings):
        classifier = encoder.build(settings, 0, None, empty=True, outputs=outputs)
        if recipe.trainable == "none":
            tower = text_embeddings.text_tower(settings, settings.config or {}, empty=True)
            both = _count(classifier.backbone) + _count(tower)
            return Size(both, both, 0, 0)
        return _size(_count(classifier.backbone), classifier, recipe)
    original = cnn.network(settings.architecture, empty=True)
    if settings.width < 1:
        cnn.narrow(original, settings)
    published_form = _count(original)
    # Given the empty network's own state, the classifier is as empty as that.
    classifier = cnn.build(settings, 0, original.state_dict() if settings.width == 1 else None, outputs)
    partial_training.freeze(classifier, recipe, seed=0)
    if recipe.trainable != "head" and recipe.batch_size == 1 and cnn.normalises_over_batch(classifier):
        raise HistoBenchError(
            f"{settings.architecture}: its batch normalisation needs batches of 2 images or more, but it is trained with "
            "`batch_size: 1`; write 2 or more in the mode"
        )
    return _size(published_form, classifier, recipe)


def _size(published_form: int, classifier: Any, recipe: Recipe) -> Size:
    """Return the size of a classifier whose parameters, without those of a frozen backbone, are trained if they can be."""
    if recipe.trainable == "head":
        classifier.requires_grad_(False)
        classifier.head.requires_grad_(True)
    trained = {name: parameter for name, parameter in classifier.named_parameters() if parameter.requires_grad}
    lora = sum(parameter.numel() for name, parameter in trained.items() if ".lora_" in name)
    more = _more(recipe, classifier.head)
    return Size(published_form, _count(classifier) + more, sum(map(torch.numel, trained.values())) + more, lora)


def _more(recipe: Recipe, head: nn.Linear) -> int:
    """Return how many more parameters a recipe's classifier of embeddings has than the linear `head`."""
    if recipe.trainable != "head":
        return 0
    dimensions = head.in_features * len(recipe.scales or [0])
    made = feature_head(recipe, 0, np.zeros((2, dimensions)), np.array([0, 1]), head.out_features)
    return _count(made) - _count(head)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
