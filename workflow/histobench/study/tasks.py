"""What a study classifies: benign or malignant, or several classes of its datasets."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, StringConstraints, Tag

from histobench.study.messages import meant
from histobench.study.model_settings import place_of
from histobench.study.values import Settings, distinct

if TYPE_CHECKING:
    from histobench.study.config import Config

SUBTYPES = {
    "breakhis": ["A", "F", "PT", "TA", "DC", "LC", "MC", "PC"],
    "bach": ["normal", "benign", "insitu", "invasive"],
}
"""The classes of `task: subtype` in the format of a dataset: the values of `subtype` in its manifest."""

ClassName = Annotated[str, StringConstraints(pattern=r'^[^\s,"]+( [^\s,"]+)*$', max_length=60)]


class Classes(Settings):
    """Some classes of the datasets; images of other classes neither train nor evaluate."""

    classes: Annotated[list[ClassName], Field(min_length=2), AfterValidator(distinct)]
    """Values of `subtype` in the manifest, in the order of tables and figures."""


Task = Annotated[
    Annotated[Literal["binary", "subtype"], Tag("word")] | Annotated[Classes, Tag("mapping")],
    Discriminator(lambda value: "word" if isinstance(value, str) else "mapping"),
]
"""`binary` (benign or malignant), `subtype` (every class of BreakHis or BACH), or a list of classes."""


def classes(config: "Config") -> list[str] | None:
    """Return the classes of a study's runs in order; None where they are benign and malignant."""
    if isinstance(config.task, Classes):
        return config.task.classes
    return SUBTYPES.get(config.datasets[config.grid[0].dataset].format) if config.task == "subtype" else None


def check(config: "Config") -> None:
    """Require that the datasets have the classes of a study, and that it has nothing that is about two classes alone.

    Raises:
        ValueError: at the first fault, with one sentence that begins with the key.
    """
    if config.task == "binary":
        if config.published:
            raise ValueError(
                "published: stands beside scores of several classes; name them in `task`, or remove this key"
            )
        return
    formats = {name: config.datasets[name].format for name in dict.fromkeys(block.dataset for block in config.grid)}
    for name, format in formats.items():
        known = SUBTYPES.get(format)
        if config.task == "subtype" and (not known or len(set(formats.values())) > 1):
            raise ValueError(
                f"task: `subtype` has the classes of one format, breakhis or bach, but the grid has {name!r} of format {format}; "
                "name the classes, `task: {classes: [...]}`"
            )
        for one in classes(config) or []:
            if known and one not in known:
                raise ValueError(f"task.classes: {name!r} has no class {one!r}{meant(one, known)}")
    binary = "is about benign or malignant, not about the classes of `task`"
    for model, mode in dict.fromkeys((run.model, run.mode) for run in config.runs):
        recipe = config.recipe(model, mode)
        place = partial(place_of, config.models[model], mode=mode, model=model)
        if recipe.validation:
            raise ValueError(f"{place('validation')}: choosing epoch and threshold {binary}; use a mode without it")
        for key in ("prompts", "bag", "patients_per_class"):
            if getattr(recipe, key):
                raise ValueError(f"{place(key)}: it {binary}; use a mode without it")
        if recipe.classifier != "linear":
            raise ValueError(f"{place('classifier')}: {recipe.classifier} {binary}; use a linear one")
    if config.tested:
        raise ValueError(f"external: the test on another dataset {binary}; write `external: []`")
    if config.stressed:
        raise ValueError(f"stress: the test on altered images {binary}; write `stress: []`")
    place = (config.tables.dataset or config.grid[0].dataset, config.tables.split, config.tables.without_augmentation)
    if config.published and place not in ((run.dataset, run.split, run.augmentation) for run in config.runs):
        raise ValueError(
            f"published: the grid has no run on the dataset, split and augmentation of the study's own scores beside these, "
            f"{', '.join(place)}; correct `dataset`, `split` or `without_augmentation` of `tables`"
        )
    if config.paper:
        raise ValueError(f"paper: the paper {binary}; remove this key")
    if config.comparisons.pairs:
        raise ValueError(f"comparisons.pairs: the comparison of arms {binary}; remove this key")
