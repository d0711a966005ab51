"""Training recipes: what of a model is trained, how, and on what."""

from string import Formatter
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from histobench.study.values import Magnification, Settings, distinct


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


Text = StringConstraints(min_length=1, max_length=4000)  # a run's specification is one argument of its command
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


Prompt = Annotated[str, Text, AfterValidator(_known_placeholders)]
"""Text that a vision-language model reads after the image."""


def _no_placeholder(text: str) -> str:
    for name in PLACEHOLDERS:
        if f"{{{name}}}" in text:
            raise ValueError(
                f"{{{name}}} is filled in only in prompts; move it to the prompt, or write what it stands for"
            )
    return text


Word = Annotated[str, Text, AfterValidator(_no_placeholder)]
Words = Annotated[list[Word], Field(min_length=1), AfterValidator(distinct)]


class Answers(Settings):
    """Words that answer for a class when nothing is trained; as they are written, with a space before where one belongs."""

    malignant: Words
    benign: Words


class Recipe(Settings):
    """A training recipe."""

    trainable: Literal["all", "head", "last", "lora", "none"] = "all"
    """`all` parameters (for a vision-language model: what `lora` says), only a linear `head` on embeddings of the frozen
    backbone, a CNN's `last` block and all that follows it, `lora` adapters and the head, or `none`: a vision-language model's
    own answers to `prompts`, or a CLIP's comparison of images with captions."""
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
    """For `none` only: several such texts, with which captions of a CLIP begin. A run's logit is the mean of theirs."""
    answers: Answers | None = Field(default=None, exclude_if=lambda value: value is None)
    """For `none` only: the words whose probabilities after a prompt are compared, or with which captions of a CLIP end."""
