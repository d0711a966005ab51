"""The settings of one training run: everything that may change its result, and nothing else.

A job gets its run as one canonical JSON string (:meth:`RunSpec.canonical`), which the workflow tracks: the run is
repeated when the string changes, and only then.
"""

import json
import re
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    TypeAdapter,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticKnownError

Magnification = Literal[0, 40, 100, 200, 400]
"""Optical magnification (x) as BreakHis has it, or 0 for images of which none is known."""
MAGNIFICATIONS: tuple[int, ...] = get_args(Magnification)

FAMILIES = Path(__file__).parents[1] / "models" / "families"
"""One file for each family of vision-language models."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=80)]
"""A name that is also a folder: lower case letters, digits, dot, dash and underscore."""


PathText = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^{}<>]+$")]
"""A path without braces: Snakemake replaces `{wildcards}` and `<pathvars>` in an input, and they cannot be escaped."""


def canonical_json(value: object) -> str:
    """Return `value` as JSON with sorted keys and no spaces, so that equal values give equal strings."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def distinct(values: list[Any]) -> list[Any]:
    """Return a list as it is, if no value occurs twice in it."""
    for number, value in enumerate(values):
        if value in values[:number]:
            raise ValueError(f"{value!r} is named twice; name it once")
    return values


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse what JSON cannot hold, for example dates."""
    try:
        canonical_json(value)
    except (TypeError, ValueError, RecursionError):
        raise ValueError(
            "holds a value that is no finite number, text, true, false, null, list or keys and values; correct it"
        ) from None
    return value


Plain = Annotated[dict[str, Any], AfterValidator(_plain)]
"""Keys and values that are passed on to a library, as JSON can hold them."""

Transform = dict[str, Plain]
"""One Albumentations transform: its class name, and its keyword arguments."""

EXPONENT = r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+"
"""Numbers that YAML 1.1 reads as text, for want of a dot or sign: 1e-4, 1.0e4."""

Number = Annotated[float, Field(strict=True)]
"""A number in a list, which text or a truth value is not."""


def _digits(count: int) -> BeforeValidator:
    """Return what turns a number of `count` digits into text: so YAML reads a hash that has no letter."""
    least = 10 ** (count - 1)
    return BeforeValidator(lambda value: str(value) if type(value) is int and least <= value < 10 * least else value)


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$"), _digits(64)]
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$"), _digits(40)]


class Settings(BaseModel):
    """Base of every settings block: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _of_its_type(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse what pydantic would turn into numbers or truth values: yes for 1, "20" for 20, "on" for true.

        Keys are text: where YAML reads a whole number, such as a class 0, its digits are.
        """
        if isinstance(value, dict):
            # Python prints no number of more than 4300 digits
            return {str(k) if type(k) is int and abs(k) < 10**30 else k: item for k, item in value.items()}
        annotation = cls.model_fields[str(info.field_name)].annotation
        kinds = {*get_args(annotation), annotation}
        if value is None and type(None) in kinds:
            return value
        if bool in kinds and not isinstance(value, bool):
            raise PydanticKnownError("bool_type")
        exponent = float in kinds and isinstance(value, str) and re.fullmatch(EXPONENT, value)
        if kinds & {int, float} and bool not in kinds and isinstance(value, bool | str) and not exponent:
            raise PydanticKnownError("int_type" if int in kinds else "float_type")
        return value


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
    """Path of a folder with config.json, tokenizer tables (not for encoders) and safetensors, as a repository on the Hugging Face Hub has them."""
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


class Lora(Settings):
    """Low-rank adapters (Hu et al., ICLR 2022). Those of a CNN have rank, alpha and dropout, and are on its convolutions."""

    rank: int = Field(default=16, ge=1, le=1024)
    alpha: int = Field(default=32, ge=1, le=65536)
    """Adapters are scaled by alpha / rank."""
    dropout: float = Field(default=0.05, ge=0, lt=1)
    """Dropout before each adapter."""
    projections: Annotated[
        list[Literal["q", "k", "v", "o", "gate", "up", "down", "conv"]], AfterValidator(distinct)
    ] = Field(default=["q", "k", "v", "o"], min_length=1)
    """Which linear layers of a decoder layer have one: attention's q, k, v, o, or those of its MLP. Of a CNN always `conv`."""
    layers: (
        Annotated[list[Annotated[int, Field(ge=0, strict=True)]], Field(min_length=1), AfterValidator(distinct)] | None
    ) = None
    """Which decoder layers have them, counted from 0; all where absent."""
    vision: bool = False
    """Adapters on the attention of every layer of the vision tower too; needs `vision: live`."""
    connector: bool = False
    """Train the connector between vision tower and decoder too, all of it; needs `vision: live`."""
    vision_blocks: int | None = Field(default=None, ge=1, exclude_if=lambda value: value is None)
    """How many of the last blocks of the vision tower are trained, all of them; needs `vision: live`. None where it is absent."""


PLACEHOLDERS = ("magnification", "microns", "stain")
"""What a prompt may name in braces; :mod:`histobench.study.prompt_text` says what stands there instead."""


def _known_placeholders(text: str) -> str:
    try:
        parts = list(Formatter().parse(text))
    except ValueError:
        raise ValueError("has a brace without its other one; write {{ or }} for a brace of the text") from None
    for _, name, form, conversion in parts:
        if name is not None and (name not in PLACEHOLDERS or form or conversion):
            known = ", ".join(f"{{{known}}}" for known in PLACEHOLDERS)
            raise ValueError(f"there is no placeholder {{{name}}} in this form; known: {known}; write {{{{ for a brace")
    return text


Prompt = Annotated[str, StringConstraints(min_length=1), AfterValidator(_known_placeholders)]
"""Text that a vision-language model reads after the image."""
Words = Annotated[list[Annotated[str, StringConstraints(min_length=1)]], Field(min_length=1), AfterValidator(distinct)]


class Answers(Settings):
    """Words that answer for a class when nothing is trained; as they are written, with a space before where one belongs."""

    malignant: Words
    benign: Words


class Recipe(Settings):
    """A training recipe."""

    trainable: Literal["all", "head", "last", "lora", "none"] = "all"
    """`all` parameters (for a vision-language model: what `lora` says), only a linear `head` on embeddings of the frozen
    backbone, a CNN's `last` block and all that follows it, `lora` adapters and the head, or `none`: a vision-language model's
    own answers to `prompts`."""
    epochs: int = Field(default=20, ge=1, le=10_000)
    batch_size: int = Field(default=64, ge=1, le=65_536)
    """Images per optimizer step (the logical batch)."""
    learning_rate: float = Field(default=1e-4, gt=0, le=100)
    """Peak learning rate; cosine annealing to 0 over all optimizer steps."""
    weight_decay: float = Field(default=0.01, ge=0, le=100)
    """AdamW's decoupled weight decay."""
    standardise: bool = False
    """For `head` only: scale each embedding dimension to mean 0 and deviation 1 on the training fold."""
    lora: Lora | None = None
    """How a vision-language model is fine-tuned, and a CNN by `trainable: lora`."""
    keep_weights: bool = False
    """Keep the trained weights beside the predictions."""
    validation: float | None = Field(default=None, gt=0, le=0.5, exclude_if=lambda value: value is None)
    """Share of the training groups of each class that does not train: on them epoch, threshold and temperature are chosen.
    Where it is absent, nothing is chosen; it is then left out of specifications, so that those of finished runs stay valid."""
    classifier: Literal["linear", "knn", "simpleshot"] = Field(
        default="linear", exclude_if=lambda value: value == "linear"
    )
    """For `head` only: a `linear` head, or what has no epochs, nearest neighbours (`knn`) or nearest class means (`simpleshot`)."""
    neighbours: int = Field(default=20, ge=1, le=10_000, exclude_if=lambda value: value == 20)
    """For `knn` only: how many training images vote on an image; all where there are fewer."""
    patients_per_class: int | None = Field(default=None, ge=1, le=10_000, exclude_if=lambda value: value is None)
    """Of how many groups of each class the images train; of all where it is absent. Evaluation is the same."""
    bag: Literal["attention", "mean"] | None = Field(default=None, exclude_if=lambda value: value is None)
    """For `head` only: classify groups, not images, by the mean of a group's embeddings or their attention pooling."""
    scales: Annotated[list[Magnification], AfterValidator(distinct), AfterValidator(sorted)] | None = Field(
        default=None, min_length=2, exclude_if=lambda value: value is None
    )
    """For `head` only: join each embedding with the mean ones of the same group's images at the other of these magnifications."""
    stain: Literal["macenko", "reinhard"] | None = Field(default=None, exclude_if=lambda value: value is None)
    """Normalise the stain of all images to that of the training images of the fold, by Macenko et al. or Reinhard et al."""
    prompt: Prompt | None = Field(default=None, exclude_if=lambda value: value is None)
    """Text that a vision-language model reads after the image; in a run's specification its placeholders are replaced."""
    prompts: Annotated[list[Prompt], Field(min_length=1), AfterValidator(distinct)] | None = Field(
        default=None, exclude_if=lambda value: value is None
    )
    """For `none` only: several such texts. A run's logit is the mean of theirs."""
    answers: Answers | None = Field(default=None, exclude_if=lambda value: value is None)
    """For `none` only: the words whose probabilities after a prompt are compared."""


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
