"""Models and training modes as the configuration names them, and a mode as one model trains with it."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag, ValidationError, model_validator

from histobench.study import checks
from histobench.study.messages import at, messages
from histobench.study.recipes import Lora, Recipe
from histobench.study.spec import CnnSettings, EncoderSettings, VlmSettings, WeightsFile, settings_kind
from histobench.study.values import Name, Settings


class Entry(Settings):
    """What the configuration says of a model beside its settings."""

    label: Annotated[str, StringConstraints(pattern=r"^[^\r\n]*\S[^\r\n]*$", max_length=60)] | None = None
    """Name in tables and figures; the key itself where this is absent."""
    training: dict[Name, dict[str, Any]] = {}
    """Keys of a mode that this model trains with instead, for example `{ft: {learning_rate: 3.0e-5}}`."""
    licence: str | None = None
    """Licence of the weights, shown when they are downloaded or missing."""
    citation: str | None = None
    """What to cite, shown when the weights are downloaded."""


class CnnEntry(CnnSettings, Entry):
    """A torchvision or timm classifier as the configuration names it."""

    @model_validator(mode="after")
    def _weights_fit(self) -> "CnnEntry":
        if self.width < 1 and self.weights != "random":
            raise ValueError("a `width` below 1 has no published weights: set `weights: random`")
        if isinstance(self.weights, WeightsFile):
            checks.weights_file(self.weights.file, self.weights.package)
        return self

    @property
    def settings(self) -> CnnSettings:
        """The part that decides results."""
        return CnnSettings(**self.model_dump(exclude=set(Entry.model_fields)))


def _one_architecture(entry: "EncoderEntry | VlmEntry") -> None:
    """Require a `config` with random weights, and none with published ones."""
    if entry.weights == "random" and not entry.config:
        raise at("config", "this key is required with `weights: random` (config/README.md explains it)")
    if entry.weights != "random" and entry.config is not None:
        raise at("config", "belongs to `weights: random`; published weights bring their own, remove this key")


class EncoderEntry(EncoderSettings, Entry):
    """A published image encoder as the configuration names it."""

    gated: bool = False
    """Whether its repository asks for an account that has accepted the licence: then a token of yours is sent to the Hub."""

    @model_validator(mode="after")
    def _fits(self) -> "EncoderEntry":
        _one_architecture(self)
        return self

    @property
    def settings(self) -> EncoderSettings:
        """The part that decides results."""
        return EncoderSettings(**self.model_dump(exclude={*Entry.model_fields, "gated"}))


class VlmEntry(VlmSettings, Entry):
    """A vision-language model as the configuration names it."""

    @model_validator(mode="after")
    def _fits(self) -> "VlmEntry":
        _one_architecture(self)
        return self

    @property
    def settings(self) -> VlmSettings:
        """The part that decides results."""
        return VlmSettings(**self.model_dump(exclude=set(Entry.model_fields)))


ModelEntry = Annotated[
    Annotated[CnnEntry, Tag("CNN")] | Annotated[EncoderEntry, Tag("Encoder")] | Annotated[VlmEntry, Tag("VLM")],
    Discriminator(settings_kind),
]
"""A classifier as the configuration names it."""


class Mode(Recipe):
    """A named training recipe, and how it is to be carried out: the keys below never change a result's identity."""

    vision: Literal["cached", "live"] = "cached"
    """For vision-language models: the frozen vision tower's tokens are computed once, stored while they are needed, and
    shared by all folds (`cached`), or computed again for each batch (`live`), which needs no disk and more time."""
    micro_batch: int | None = Field(default=None, ge=1, le=65_536)
    """The most images on the device at once; where this is absent, as many of the logical batch as its memory holds."""
    gradient_checkpointing: bool = False
    """For vision-language models: recompute the decoder's activations in the backward pass instead of keeping them."""
    compile: bool = False
    """For vision-language models: compile the decoder's layers by `torch.compile`."""
    gpu: Literal["whole", "shared", "none"] | None = None
    """What training needs: a GPU for itself (`whole`), one of its `gpu_slots` (`shared`), or the processor alone (`none`).
    Where this is absent, `none` for heads and a CLIP's captions, `shared` for CNNs and encoders and `whole` for vision-language models."""

    @model_validator(mode="after")
    def _keys_of_its_kind(self) -> "Mode":
        if self.standardise and self.trainable != "head":
            raise ValueError(f"`standardise` belongs to `trainable: head`, not to `trainable: {self.trainable}`")
        if self.lora is not None and self.trainable == "head":
            raise ValueError("`lora` belongs to `trainable: lora` or `all`; a linear head has no adapters")
        at_once, of_groups = self.classifier != "linear", bool(self.bag or self.scales)
        if (at_once or of_groups) and self.trainable != "head":
            raise ValueError("`classifier`, `bag` and `scales` belong to `trainable: head`; add it, or leave them out")
        if at_once and (self.bag or self.standardise):
            raise ValueError(
                f"`bag` and `standardise` belong to a linear classifier, not to `{self.classifier}`; leave them out"
            )
        if self.neighbours != 20 and self.classifier != "knn":
            raise ValueError("`neighbours` belongs to `classifier: knn`; add it, or leave `neighbours` out")
        if self.keep_weights and (at_once or of_groups):
            raise ValueError(
                "`keep_weights` belongs to a linear classifier of single images, without `bag` and `scales`; leave it out"
            )
        if self.validation and (at_once or self.bag or self.patients_per_class):
            raise ValueError(
                "`validation` belongs to modes without `bag`, `patients_per_class` and `classifier`: it chooses an epoch on "
                "groups that many of these have not; leave one of them out"
            )
        if self.stain and (self.scales or self.patients_per_class or self.prompt or self.prompts):
            raise ValueError(
                "`stain` does not go with `scales`, `patients_per_class`, `prompt` or `prompts`; leave one of them out"
            )
        if self.prompt and self.scales:
            raise ValueError("`prompt` does not go with `scales`; leave one of them out")
        own, others = ("prompts", "answers"), ("prompt", "lora", "validation", "patients_per_class", "keep_weights")
        for key in own if self.trainable == "none" else ():
            if getattr(self, key) is None:
                raise ValueError(f"`{key}` is required with `trainable: none` (config/README.md explains it)")
        for key in others if self.trainable == "none" else own:
            if getattr(self, key):
                use = "nothing is trained; remove it" if key in others else "it belongs to `trainable: none`"
                raise ValueError(f"`{key}` is of no use with `trainable: {self.trainable}`: {use}")
        if self.answers and (both := set(self.answers.malignant) & set(self.answers.benign)):
            raise at("answers", f"{min(both)!r} answers for both classes; leave it out of one")
        return self

    @property
    def recipe(self) -> Recipe:
        """The part that decides results."""
        return Recipe(**self.model_dump(include=set(Recipe.model_fields)))


def place_of(entry: Entry, key: str, mode: str, model: str) -> str:
    """Return where the configuration gives the key of a mode that a model trains with: under its `training`, or in the mode."""
    return f"models.{model}.training.{mode}.{key}" if key in entry.training.get(mode, {}) else f"modes.{mode}.{key}"


def mode_of_model(mode: Mode, entry: CnnEntry | EncoderEntry | VlmEntry, mode_name: str, model_name: str) -> Mode:
    """Return a mode as one model trains with it: with the model's own keys, and without those that mean nothing to it.

    Raises:
        ValueError: the model has no such parameters to train.
    """
    own = entry.training.get(mode_name, {})
    training = f"models.{model_name}.training.{mode_name}"
    try:
        wanted = Mode(**mode.model_dump() | own)
    except ValidationError as error:
        raise ValueError(next(messages(error, training))) from None

    def place(key: str) -> str:
        return place_of(entry, key, mode_name, model_name)

    if wanted.trainable == "none":
        wanted = wanted.model_copy(update={"epochs": 1, "compile": False})
    if not isinstance(entry, VlmEntry):
        lora = None
        if wanted.trainable in ("last", "lora") and not isinstance(entry, CnnEntry):
            raise ValueError(f"{place('trainable')}: {model_name!r} is an encoder; write `all` or `head`")
        if wanted.trainable == "lora":
            if wanted.lora is None:
                raise ValueError(f"{place('lora')}: this key is required to train adapters of {model_name!r}")
            of_cnn = {"rank", "alpha", "dropout"}
            lora = Lora(**wanted.lora.model_dump(include=of_cnn), projections=["conv"])
        return wanted.model_copy(
            update={"lora": lora, "vision": "cached", "gradient_checkpointing": False, "compile": False}
        )
    if wanted.trainable == "last":
        raise ValueError(
            f"{place('trainable')}: `last` is for CNNs, and {model_name!r} is a vision-language model; write `lora` or `head`"
        )
    if wanted.trainable == "head":
        return wanted.model_copy(update={"lora": None, "compile": False})
    if wanted.trainable == "none":
        return wanted
    if wanted.lora is None:
        raise ValueError(f"{place('lora')}: this key is required to train {model_name!r}, a vision-language model")
    if "conv" in wanted.lora.projections:
        raise ValueError(
            f"{place('lora')}.projections: {model_name!r} has no `conv`, which is for CNNs; write some of q, k, v, o, gate, up, down"
        )
    for part in ("vision", "connector", "vision_blocks"):
        if getattr(wanted.lora, part) and wanted.vision != "live":
            raise ValueError(
                f"{place('lora')}.{part}: {model_name!r} cannot train its {part.replace('_', ' ')} on cached visual tokens; "
                "add `vision: live` to the mode"
            )
    return wanted.model_copy(update={"trainable": "lora", "standardise": False})
