"""Whether the libraries can build every model and every augmentation of a study, tried before anything is trained.

Each check returns its faults as sentences, so that all of them can be reported at once.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
"""Views of one image that an augmentation is tried on: a transform of probability 0.5 is left out of all with 1 in 1000."""


def check_model(
    name: str, settings: CnnSettings | VlmSettings, recipes: Mapping[str, Recipe]
) -> tuple[dict[str, Size], list[str]]:
    """Build a model for each mode that the study trains it in.

    Args:
        name: of the model in the configuration.
        settings: the model; the `config` of a vision-language model is given.
        recipes: mode -> recipe, as `Config.recipe` gives it.

    Returns:
        mode -> numbers of parameters, and one sentence for each fault: `KEY: what is wrong; what to do`.
    """
    sizes: dict[str, Size] = {}
    faults = []
    try:
        if isinstance(settings, VlmSettings):
            _try_vlm(settings)
    except Exception as error:  # whatever a library raises about settings that it cannot use
        return {}, [f"models.{name}: {_reason(error)}"]
    for mode, recipe in recipes.items():
        try:
            sizes[mode] = size(settings, recipe)
        except Exception as error:
            faults.append(f"models.{name}, modes.{mode}: {_reason(error)}")
    return sizes, faults


