"""Settings that name arms of the study: blocks of the grid, external tests, tables and comparisons."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from histobench.study import checks
from histobench.study.values import Magnification, Name, Settings, distinct

Names = Annotated[list[Name], Field(min_length=1), AfterValidator(distinct)]
"""Names of one section, each once."""
Magnifications = Annotated[
    list[Annotated[Magnification, BeforeValidator(checks.not_boolean)]],
    Field(min_length=1),
    AfterValidator(distinct),
]


Seeds = Annotated[
    list[Annotated[int, Field(strict=True, ge=0, lt=2**63)]],
    Field(min_length=1),
    AfterValidator(distinct),
]


class Block(Settings):
    """A block of the grid: every combination of its lists is one run."""

    dataset: Name
    models: Names
    modes: Names
    splits: Names
    magnifications: Magnifications
    augmentations: Names
    seeds: Seeds | None = None
    """Each run is trained once with each; that of the study where this is absent."""


class Tables(Settings):
    """Which runs the paper's tables are made of."""

    dataset: Name | None = None
    """Dataset of Tables 1, 4 and 5; the first of the grid where this is absent."""
    split: Name = "patient"
    """Split policy of Tables 1, 4 and 5."""
    without_augmentation: Name = "none"
    """Augmentation of Table 4."""
    with_augmentation: Name = "paper"
    """Augmentation of Table 5."""


class External(Settings):
    """Arms of the study that are evaluated on another dataset, without fine-tuning. Their modes must keep weights.

    A block without any run in the grid is ignored, so that a study laid over another one need not remove it.
    """

    dataset: Name
    """The dataset that they were trained on."""
    on: Name
    """The dataset that they are evaluated on."""
    models: Names
    modes: Names
    splits: Names
    magnifications: Magnifications
    """Magnifications of the training images; each has models of its own."""
    augmentations: Names
    seeds: Seeds | None = None
    """Seeds of the runs; that of the study where this is absent."""
    scales: Annotated[list[Literal["squashed", "matched"]], Field(min_length=1), AfterValidator(distinct)] = [
        "squashed"
    ]
    """How images are brought to the models' square: the whole image `squashed`, or in tiles at a `matched` scale, where a pixel
    covers as many micrometres as in training."""
    headline: Magnification = 40
    """The magnification that Table 6 shows, with the first split and augmentation of the first block that is used;
    the full table is beside it."""

    @model_validator(mode="before")
    @classmethod
    def _yaml_reads_on_as_true(cls, data: Any) -> Any:
        return {"on" if key is True else key: value for key, value in data.items()} if isinstance(data, dict) else data


class Comparisons(Settings):
    """Which arms are compared, and how."""

    pairs: list[tuple[str, str]] = []
    """Pairs of arms, each `MODEL/MODE`: one family for Holm's correction. All pairs of the study where it is empty."""
    magnification: Magnification = 200
    """The magnification of Table 7 and of the answer; where the grid does not have the default, the highest of the grid."""
    draws: int = Field(default=10_000, ge=100, le=1_000_000)
    """Bootstrap draws and sign flips."""
    seed: int = Field(default=0, ge=0, lt=2**63)
