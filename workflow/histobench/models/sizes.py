"""How many parameters a model has, counted on the true network without filling it."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from histobench.models.cnn import build, narrow, network
from histobench.study.spec import ModelSettings


@dataclass(frozen=True)
class Size:
    """Numbers of parameters; running statistics are none."""

    published_form: int
    """With the architecture's original classifier (1000 classes), at the model's width."""
    total: int
    """As trained here: with one output."""
    trainable: int
    """Of `total`, those that training changes."""


def size(settings: ModelSettings, trainable: Literal["all", "head"]) -> Size:
    """Count the parameters of a model, trained as a whole or in its `head` alone."""
    original = network(settings.architecture, empty=True)
    if settings.width < 1:
        narrow(original, settings)
    published_form = _count(original)
    # Given the empty network's own state, the classifier is as empty as that.
    classifier = build(settings, 0, original.state_dict() if settings.width == 1 else None)
    trained = sum(parameter.numel() for parameter in classifier.trainable(trainable))
    return Size(published_form, _count(classifier), trained)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
