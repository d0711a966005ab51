"""Whether the libraries can build every model and every augmentation of a study, tried before anything is trained."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from histobench.datasets.augment import Augmentation
from histobench.io.errors import HistoBenchError
from histobench.models import vlm
from histobench.models.parameters import Size, size
from histobench.study.messages import meant
from histobench.study.spec import CnnSettings, Recipe, Transform, VlmSettings

VIEWS = 10
"""Views that an augmentation is tried on: all of them leave out a transform of probability 0.5 once in 1000 cases."""


def try_model(
    name: str, settings: CnnSettings | VlmSettings, recipes: Mapping[str, Recipe]
) -> tuple[dict[str, Size], list[str]]:
    """Build a model, without filling it, for each mode that it is trained in, and let an image of its size pass.

    Args:
        name: its name in the configuration.
        settings: the model; a vision-language model's `config` is given, whatever its weights.
        recipes: mode -> recipe, as `Config.recipe` gives it.

    Returns:
        mode -> numbers of parameters; and a sentence for each fault, `KEY: what is wrong; what to do`.
    """
    sizes: dict[str, Size] = {}
    faults: list[str] = []
    place = f"models.{name}"
    try:
        if isinstance(settings, VlmSettings):
            if unknown := list(_unknown_keys(settings)):
                return {}, [f"{place}.config.{fault}" for fault in unknown]
            _pass_image(settings)
        for mode, recipe in recipes.items():
            place = f"modes.{mode} of models.{name}" if recipe.lora else f"models.{name}"
            sizes[mode] = size(settings, recipe)
    except HistoBenchError as error:
        faults.append(f"{place}: {str(error).removeprefix(f'{settings.family}: ')}")
    except Exception as error:  # whatever a library raises about values that it cannot use
        keys = "`architecture`, `width` or `image_size`" if settings.family == "cnn" else "`config` or `image_size`"
        faults.append(f"{place}: the model cannot be built ({_reason(error)}); correct its {keys}")
    return sizes, faults


def try_augmentation(name: str, transforms: Sequence[Transform], sizes: Sequence[int]) -> list[str]:
    """Apply an augmentation to a random image of each of `sizes` pixels; return a sentence for each fault."""
    faults: list[str] = []
    for number, transform in enumerate(transforms):
        try:
            Augmentation([transform], sizes[0])
        except HistoBenchError as error:
            faults.append(f"augmentations.{name}.{number}: {str(error).removeprefix('augmentation: ')}")
    for side in sizes if not faults else ():
        image = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
        try:
            augmentation = Augmentation(transforms, side)
            for epoch in range(VIEWS):
                augmentation(image, 0, epoch, f"an image of {side} px")
        except HistoBenchError as error:
            faults.append(f"augmentations.{name}: {str(error).removeprefix('augmentation: ')}")
    return faults


def _unknown_keys(settings: VlmSettings) -> Iterator[str]:
    """Yield a sentence for each key of a `config` written by hand that transformers would silently ignore."""
    given = settings.config or {}
    if settings.weights != "random":  # a published config.json has keys for others, too
        return
    kind = vlm.family(settings.family).classes(given)[0]
    if given.get("model_type", kind.model_type) != kind.model_type:
        yield f"model_type: expected {kind.model_type!r}, found {given['model_type']!r}; correct it or the family"
    whole = kind()
    parts = [(f"{part}.", getattr(whole, part), given.get(part)) for part in kind.sub_configs]
    for prefix, config, keys in [("", whole, given), *parts]:
        known = [field.name for field in dataclasses.fields(config)] + ["model_type", "rope_theta", "rope_scaling"]
        for key in keys if isinstance(keys, dict) else ():
            if key not in known:
                yield f"{prefix}{key}: {settings.family} has no such key{meant(str(key), known)}"


def _pass_image(settings: VlmSettings) -> None:
    """Let a black image pass a model with zeros for parameters and one layer in place of each stack of layers."""
    from accelerate import init_empty_weights

    made = vlm.architecture(settings)
    start, image, end = made.family.marker_ids(made.config)
    if min(start, image, end) < 0 or image in (start, end):
        raise HistoBenchError(
            f"the config has the image markers {start}, {image} and {end}, expected tokens of the vocabulary, and another "
            "one for images than around them; correct the token ids"
        )
    with init_empty_weights(include_buffers=False):
        model: Any = made.model(made.config)
    for module in model.modules():
        if isinstance(module, nn.ModuleList):
            del module[1:]
    getattr(model, made.family.DECODER).embed_tokens = nn.Identity()
    state = {name: torch.zeros_like(tensor, device="cpu") for name, tensor in model.state_dict().items()}
    model.load_state_dict(state, assign=True)
    classifier = vlm.VisionLanguageClassifier(made, model, torch.zeros(2, 1, made.tokens[1]), settings.readout)
    side = settings.image_size
    with torch.no_grad():
        classifier.eval()(torch.zeros(1, side, side, 3, dtype=torch.uint8))


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
