"""Whether the libraries can build every model and every augmentation of a study, tried before anything is trained."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from histobench.datasets import augment
from histobench.io.errors import HistoBenchError
from histobench.models import vlm
from histobench.models.parameters import Size, size
from histobench.study.messages import meant
from histobench.study.recipes import Recipe
from histobench.study.resolved import Study
from histobench.study.spec import CnnSettings, VlmSettings, model_settings


def check(study: Study, configs: Mapping[str, Any]) -> tuple[dict[tuple[str, str], Size], list[str]]:
    """Build every model of a study for every mode that it is trained in, and apply every augmentation.

    `configs` are the contents of the config.json of models with published weights.

    Returns:
        (model, mode) -> numbers of parameters; and one sentence for each fault, `KEY: what is wrong; what to do`.
    """
    sizes: dict[tuple[str, str], Size] = {}
    faults: list[str] = []
    models = {name: model_settings(settings) for name, settings in study.models.items()}
    for name, transforms in study.augmentations.items():
        used = {
            models[model].image_size
            for block in study.grid
            if name in block["augmentations"]
            for model in block["models"]
        }
        found = dict.fromkeys(fault for side in sorted(used) for fault in augment.check(transforms, side))
        faults += [f"augmentations.{name}: {fault}" for fault in found]
    for name, settings in models.items():
        place = f"models.{name}"
        keys = "`architecture`, `width` or `image_size`"
        try:
            own: Mapping[str, Any] = {}
            if not isinstance(settings, CnnSettings):
                keys = f"`{'config' if settings.config else 'weights'}` or `image_size`"
                own, config = settings.config or {}, configs.get(name, settings.config)
                settings = settings.model_copy(update={"config": config})
            if isinstance(settings, VlmSettings):
                made = vlm.architecture(settings)
                if unknown := list(_unknown_keys(own, made)):
                    faults += [f"{place}.config.{fault}" for fault in unknown]
                    continue
                _pass_image(settings, made)
            for mode, recipe in study.recipes[name].items():
                of_mode = recipe["lora"] or recipe["trainable"] == "last"
                place = f"modes.{mode} of models.{name}" if of_mode else f"models.{name}"
                sizes[name, mode] = size(settings, Recipe.model_validate(recipe), len(study.classes) or 1)
        except HistoBenchError as error:
            faults.append(f"{place}: {str(error).removeprefix(f'{settings.family}: ')}")
        except Exception as error:  # whatever a library raises about values that it cannot use
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            faults.append(f"{place}: the model cannot be built ({reason}); correct its {keys}")
    return sizes, faults


def _unknown_keys(given: Mapping[str, Any], made: vlm.Architecture) -> Iterator[str]:
    """Yield a sentence for each key of a `config` written by hand that transformers would silently ignore."""
    parts = [(f"{part}.", getattr(made.config, part), given.get(part)) for part in made.config.sub_configs]
    for prefix, config, keys in [("", made.config, given), *parts]:
        known = [field.name for field in dataclasses.fields(config)] + ["model_type", "rope_theta", "rope_scaling"]
        for key in keys if isinstance(keys, dict) else ():
            if key not in known:
                yield f"{prefix}{key}: {config.model_type} has no such key{meant(str(key), known)}"


def _pass_image(settings: VlmSettings, made: vlm.Architecture) -> None:
    """Let a black image pass a model with zeros for parameters and one layer instead of each stack of layers."""
    from accelerate import init_empty_weights

    start, image, end = made.family.marker_ids(made.config)
    vocabulary = range(made.config.text_config.vocab_size)
    if not all(0 <= token < len(vocabulary) for token in (start, image, end)) or image in (start, end):
        raise HistoBenchError(
            f"the config has the image markers {start}, {image} and {end}, expected tokens of the vocabulary "
            f"({len(vocabulary)}), and another one for images than around them; correct the token ids"
        )
    with init_empty_weights(include_buffers=False):
        model: Any = made.model(made.config)
    for module in model.modules():
        if isinstance(module, nn.ModuleList):
            del module[1:]
    getattr(model, made.family.DECODER).embed_tokens = nn.Identity()
    state = {name: torch.zeros_like(tensor, device="cpu") for name, tensor in model.state_dict().items()}
    model.load_state_dict(state, assign=True)
    classifier = vlm.VisionLanguageClassifier(made, model, torch.zeros(2, made.hidden_size), settings.readout)
    side = settings.image_size
    with torch.no_grad():
        classifier.eval()(torch.zeros(1, side, side, 3, dtype=torch.uint8))
