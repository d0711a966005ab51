"""The settings of one training run: everything that may change its result, and nothing else.

A run travels to its job as one canonical JSON string (:meth:`RunSpec.canonical`), which the workflow tracks: when the
string changes the run is stale, when it does not the run stands.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

MAGNIFICATIONS = (40, 100, 200, 400)
"""Optical magnifications of BreakHis (x)."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
"""A name that is also a folder: lower case letters, digits, dot, dash and underscore."""

Transform = dict[str, dict[str, Any]]
"""One Albumentations transform: its class name, and its keyword arguments."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Settings(BaseModel):
    """Base of every settings block: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class WeightsFile(Settings):
    """Pretrained weights in a file of your own, or inside an installed Python package."""

    file: str
    """Path or http(s) address of a .safetensors or .pth state dict; inside `package` when that is given."""
    package: str | None = None
    """Importable name of the installed package that carries the file."""
    sha256: Sha256
    """SHA-256 of the file; anything else is refused."""


class ModelSettings(Settings):
    """One classifier before training."""

    family: Literal["cnn"] = "cnn"
    """Which file of `histobench.models` builds it."""
    architecture: Annotated[str, StringConstraints(pattern=r"^(torchvision|timm)/[A-Za-z0-9_.]+$")]
    """`torchvision/NAME` or `timm/NAME`."""
    weights: Literal["imagenet", "random"] | WeightsFile = "imagenet"
    """`imagenet` (torchvision's first published weights), `random`, or a file."""
    image_size: int = Field(default=336, ge=16, le=2048)
    """Side of the square input in pixels; the whole field of view is squashed to it."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Mean of each colour channel on the scale 0 to 1, subtracted on the device."""
    std: tuple[float, float, float] = IMAGENET_STD
    """Standard deviation of each colour channel on the scale 0 to 1."""
    width: float = Field(default=1.0, gt=0, le=1)
    """Share of the channels of every layer that is kept. Below 1 the weights must be random."""

    @field_validator("std")
    @classmethod
    def _positive(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(value) <= 0:
            raise ValueError("every standard deviation must be above 0")
        return value


class Recipe(Settings):
    """A training recipe; a named one is a mode."""

    trainable: Literal["all", "head"] = "all"
    """`all` parameters, or only a linear `head` on embeddings of the frozen backbone."""
    epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=64, ge=1)
    """Images per optimizer step (the logical batch)."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """Peak learning rate; cosine annealing to 0 over all optimizer steps."""
    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's decoupled weight decay."""
    standardise: bool = False
    """For `head` only: scale each embedding dimension to mean 0 and deviation 1 on the training fold."""
    keep_weights: bool = False
    """Keep the trained weights beside the predictions."""


class RunSpec(Settings):
    """Everything that decides the result of one training run, data and code aside."""

    model: ModelSettings
    recipe: Recipe
    augmentation: list[Transform]
    """Albumentations transforms applied, in order, to each training image in each epoch."""
    magnification: Literal[40, 100, 200, 400]
    fold: int = Field(ge=1)
    seed: int = Field(ge=0)

    def canonical(self) -> str:
        """Return the one JSON string of this specification: sorted keys, no spaces, every default written out."""
        return canonical_json(self.model_dump(mode="json"))


class FeatureSpec(Settings):
    """Everything that decides the embeddings of one frozen backbone, data and code aside."""

    model: ModelSettings
    augmentation: list[Transform]
    views: int = Field(ge=1)
    """Views per image: 1 without augmentation, else one per epoch."""
    magnification: Literal[40, 100, 200, 400]
    seed: int = Field(ge=0)

    canonical = RunSpec.canonical


def canonical_json(value: object) -> str:
    """Return `value` as JSON with sorted keys and no spaces, so that equal values give equal strings."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
