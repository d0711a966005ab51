"""The settings of one training run: everything that may change its result, and nothing else.

A job gets its run as one canonical JSON string (:meth:`RunSpec.canonical`), which the workflow tracks: the run is
repeated when the string changes, and only then.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag, TypeAdapter, ValidationInfo, field_validator

from histobench.study.recipes import Recipe
from histobench.study.values import (
    EXPONENT,
    Commit,
    Magnification,
    Number,
    PathText,
    Plain,
    Settings,
    Sha256,
    Transform,
    canonical_json,
)

FAMILIES = Path(__file__).parents[1] / "models" / "families"
"""One file for each family of vision-language models."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class WeightsFile(Settings):
    """Pretrained weights in a file of your own, or inside an installed Python package."""

    file: PathText
    """Path or http(s) address of a .safetensors or .pth state dict; inside `package` when that is given."""
    package: str | None = None
    """Importable name of the installed package that carries the file."""
    sha256: Sha256
    """SHA-256 of the file; anything else is refused."""


class CnnSettings(Settings):
    """One torchvision or timm classifier before training."""

    family: Literal["cnn"] = "cnn"
    """Which kind of classifier it is: `cnn`, `encoder`, or a family of vision-language models."""
    architecture: Annotated[str, StringConstraints(pattern=r"^(torchvision|timm)/[A-Za-z0-9_.]+$")]
    """`torchvision/NAME` or `timm/NAME`."""
    weights: Literal["imagenet", "random"] | WeightsFile = "imagenet"
    """`imagenet` (torchvision's first published weights), `random`, or a file."""
    image_size: int = Field(default=336, ge=16, le=2048)
    """Side of the square input in pixels; the whole field of view is squashed to it."""
    mean: tuple[Number, Number, Number] = IMAGENET_MEAN
    """Mean of each colour channel on the scale 0 to 1, subtracted on the device."""
    std: tuple[Number, Number, Number] = IMAGENET_STD
    """Standard deviation of each colour channel on the scale 0 to 1."""
    width: float = Field(default=1.0, gt=0, le=1)
    """Share of the channels of every layer that is kept. Below 1 the weights must be random."""

    @field_validator("mean", "std")
    @classmethod
    def _on_the_scale(cls, value: tuple[float, float, float], info: ValidationInfo) -> tuple[float, float, float]:
        if info.field_name == "std" and min(value) <= 0:
            raise ValueError("every standard deviation must be above 0")
        if min(value) < 0 or max(value) > 1:
            raise ValueError(f"must be on the scale 0 to 1, found {list(value)}; divide values up to 255 by 255")
        return value


class HubWeights(Settings):
    """Published weights of a vision-language model or encoder, at one commit of its repository."""

    hub: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")]
    """Repository on the Hugging Face Hub, `OWNER/NAME`."""
    revision: Commit
    """Its commit, 40 hex digits: a branch could change under the study."""


class FolderWeights(Settings):
    """Weights of a vision-language model or encoder in a folder of your own."""

    folder: PathText
    """Path of a folder with config.json, tokenizer tables (of an encoder only tokenizer.json, where there is one) and safetensors, as a repository on the Hugging Face Hub has them."""
    sha256: Sha256
    """SHA-256 of what `sha256sum FILES | LC_ALL=C sort` prints in the folder, of the files that loading uses."""


def _weights_kind(value: Any) -> Literal["word", "FolderWeights", "HubWeights"]:
    """Return which kind of weights `value` (a word, a mapping or settings) means."""
    if isinstance(value, str):
        return "word"
    folder = "folder" in value if isinstance(value, dict) else isinstance(value, FolderWeights)
    return "FolderWeights" if folder else "HubWeights"


VlmWeights = Annotated[
    Annotated[Literal["random"], Tag("word")]
    | Annotated[HubWeights, Tag("HubWeights")]
    | Annotated[FolderWeights, Tag("FolderWeights")],
    Discriminator(_weights_kind),
]
"""Where the parameters of a vision-language model or encoder come from."""


class EncoderSettings(Settings):
    """One published image encoder before training: a model of timm, or a ViT, DINOv2 or CLIP image tower of transformers."""

    family: Literal["encoder"]
    weights: VlmWeights
    """`random`, a pinned commit of a repository on the Hugging Face Hub, or a folder of your own."""
    config: Plain | None = None
    """For `weights: random` alone: the architecture, with the keys of a config.json. Published weights bring their own."""
    image_size: int = Field(default=224, ge=16, le=2048)
    """Side of the square input in pixels; the whole field of view is squashed to it."""
    pooling: Literal["model", "token", "mean", "token+mean"] = "model"
    """What the embedding is: what the library's own model returns, the class token, the mean over patch tokens (without prefix
    and register tokens), or both."""
    arguments: Plain = {}
    """Further keyword arguments of timm's `create_model`; `mlp_layer` and `act_layer` are names of classes of timm or PyTorch."""

    @field_validator("arguments")
    @classmethod
    def _numbers(cls, value: dict[str, Any]) -> dict[str, Any]:
        """Take `1e-5`, which model cards write and YAML reads as text, for a number."""
        return {k: float(v) if isinstance(v, str) and re.fullmatch(EXPONENT, v) else v for k, v in value.items()}


class VlmSettings(Settings):
    """One vision-language model before training: a vision tower, a language decoder, and no text but image markers."""

    family: str
    """Which file of `histobench.models.families` knows it."""
    weights: VlmWeights
    """`random`, a pinned commit of a repository on the Hugging Face Hub, or a folder of your own."""
    config: Plain | None = None
    """For `weights: random` alone: the architecture, with the keys of a config.json. Published weights bring their own."""
    image_size: int = Field(default=336, ge=16, le=2048)
    """Side of the square input in pixels; the whole field of view is squashed to it, never tiled."""
    readout: Literal["end_marker", "last_image_token", "mean"] = "end_marker"
    """What of the decoder's final hidden states the head sees: that of the end-of-image marker (the last position), of
    the last visual token, or the mean over visual tokens."""

    @field_validator("family")
    @classmethod
    def _known(cls, value: str) -> str:
        known = families()
        if value not in known:
            raise ValueError(f"no such family {value!r}; known: cnn, encoder, {', '.join(known)}")
        return value


def families() -> list[str]:
    """Return the families of vision-language models: the files there are. `qwen2_5_vl.py` is the family `qwen2.5-vl`."""
    stems = (path.stem for path in FAMILIES.glob("[a-z]*.py"))
    return sorted(re.sub(r"(?<=\d)_(?=\d)", ".", stem).replace("_", "-") for stem in stems)


def family_module(family: str) -> str:
    """Return the module that knows a family of vision-language models."""
    return f"histobench.models.families.{family.replace('-', '_').replace('.', '_')}"


def is_vlm(family: str) -> bool:
    """Tell whether a family is one of vision-language models: neither CNNs nor encoders."""
    return family not in ("cnn", "encoder")


def starts_from_embeddings(family: str, trainable: str) -> bool:
    """Tell whether runs start from stored embeddings of images: those of a head, and of an encoder that is not trained at all."""
    return trainable == "head" or (trainable == "none" and family == "encoder")


def settings_kind(value: Any) -> Literal["CNN", "Encoder", "VLM"]:
    """Return which kind of model settings `value` (a mapping or settings) are."""
    family = value.get("family", "cnn") if isinstance(value, dict) else getattr(value, "family", "cnn")
    return "CNN" if family == "cnn" else "Encoder" if family == "encoder" else "VLM"


ModelSettings = Annotated[
    Annotated[CnnSettings, Tag("CNN")]
    | Annotated[EncoderSettings, Tag("Encoder")]
    | Annotated[VlmSettings, Tag("VLM")],
    Discriminator(settings_kind),
]
"""One classifier before training."""


def model_settings(value: Any) -> CnnSettings | EncoderSettings | VlmSettings:
    """Return checked settings from a mapping, or from its JSON text."""
    adapter: TypeAdapter[CnnSettings | EncoderSettings | VlmSettings] = TypeAdapter(ModelSettings)
    return adapter.validate_json(value) if isinstance(value, str) else adapter.validate_python(value)


class RunSpec(Settings):
    """Everything that decides the result of one training run, data and code aside."""

    model: ModelSettings
    recipe: Recipe
    augmentation: list[Transform]
    """Albumentations transforms applied, in order, to each training image in each epoch."""
    magnification: Magnification
    fold: int = Field(ge=1)
    seed: int = Field(ge=0)
    classes: list[str] | None = Field(default=None, exclude_if=lambda value: value is None)
    """The classes of the task, in the order of the outputs; None for benign or malignant, which has one output."""

    @property
    def outputs(self) -> int:
        """Return how many logits the classifier has for an image."""
        return len(self.classes) if self.classes else 1

    def canonical(self) -> str:
        """Return the one JSON string of this specification: sorted keys, no spaces, every default written out."""
        return canonical_json(self.model_dump(mode="json"))


class FeatureSpec(Settings):
    """Everything that decides what one frozen backbone makes of images, data and code aside."""

    part: Literal["embeddings", "tokens"] = "embeddings"
    """`embeddings`, one vector per image; or a vision tower's visual `tokens`, which a decoder goes on from."""
    model: ModelSettings
    augmentation: list[Transform]
    views: int = Field(ge=1)
    """Views per image: 1 without augmentation, else one per epoch."""
    magnification: Magnification
    seed: int = Field(ge=0)
    prompt: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """Of `embeddings`: text after the image, without placeholders."""

    canonical = RunSpec.canonical
