"""The configuration of a study, checked before any job starts, and the runs that it names.

The classes of settings are the reference for every key; `workflow/schemas/config.schema.json` is generated from them
(:mod:`histobench.study.schema`). What only a library can judge is tried by the first job (scripts/check_arms.py).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property, partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from histobench.io.errors import HistoBenchError
from histobench.study import cross_checks, keys, paths, prompt_text, tasks
from histobench.study.dataset_settings import Dataset, Split
from histobench.study.grid_settings import Block, Comparisons, External, Tables
from histobench.study.messages import at, messages
from histobench.study.model_settings import CnnEntry, Mode, ModelEntry, VlmEntry, mode_of_model
from histobench.study.published_papers import PAPER, ledgers
from histobench.study.published_rows import Published
from histobench.study.recipes import Recipe
from histobench.study.runs import Run
from histobench.study.spec import FeatureSpec, RunSpec, starts_from_embeddings
from histobench.study.stress_settings import Stress
from histobench.study.values import Name, Settings, Transform

Evaluated = TypeVar("Evaluated", External, Stress)


class Config(Settings):
    """A study: a set of runs given by grid blocks, and everything their names refer to."""

    study: Name
    """Name of the study; its results are in results/studies/STUDY."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of weight initialisation, image order, dropout and augmentation, where a block of the grid gives no `seeds`."""
    note: str | None = None
    """A sentence that every table, figure and the page show, for example that numbers are a trial's."""
    paper: bool | None = None
    """Whether the report is about the paper: its numbers of tables and figures, published values and claims. By default it is
    where an arm on BreakHis is the paper's (:mod:`histobench.study.paper`); true for a trial of it on other images or models."""
    ledger: Name = PAPER
    """The paper whose claims `claims_published` checks against its own tables: a folder of resources/papers."""
    task: tasks.Task = "binary"
    """What is classified: `binary`, benign or malignant; `subtype`, every class of BreakHis or BACH; or a list, `{classes: [F, DC]}`."""
    device: Annotated[str, StringConstraints(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    """Where models run: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`. Never re-runs anything."""
    gpu_slots: int = Field(default=1, ge=1, le=16)
    """How many small jobs may share one GPU. Never re-runs anything."""
    checkpoint_seconds: int = Field(default=30, ge=0)
    """Seconds between two checkpoints of a training run, at least; 0 for one after each optimizer step, as far as the disk
    keeps up. Never re-runs anything."""
    datasets: dict[Name, Dataset]
    splits: dict[Name, Split]
    augmentations: dict[Name, list[Transform]]
    """Named lists of Albumentations transforms, each `{Transform: {argument: value}}`."""
    models: dict[Name, ModelEntry]
    modes: dict[Name, Mode]
    """Named training recipes."""
    grid: list[Block] = Field(min_length=1)
    tables: Tables = Tables()
    external: list[External] = []
    """Blocks of arms that are evaluated on another dataset."""
    stress: list[Stress] = []
    """Blocks of arms that are evaluated on altered images of their own evaluation folds."""
    comparisons: Comparisons = Comparisons()
    published: list[Published] = []
    """Published scores of a benchmark with several classes, which stand in one table with those of the study."""

    @field_validator("ledger")
    @classmethod
    def _is_there(cls, ledger: str) -> str:
        if ledger not in ledgers():
            raise ValueError(f"resources/papers has no {ledger}/claims.yaml; choose one of {', '.join(ledgers())}")
        return ledger

    @field_validator("augmentations")
    @classmethod
    def _one_transform_an_item(cls, augmentations: dict[str, list[Transform]]) -> dict[str, list[Transform]]:
        for name, transforms in augmentations.items():
            for number, transform in enumerate(transforms):
                if len(transform) != 1:
                    raise at(f"{name}.{number}", "each list item is one transform, `- Name: {argument: value}`")
        return augmentations

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        cross_checks.check(self)
        return self

    @cached_property
    def classes(self) -> list[str] | None:
        """Return the classes of the runs in order; None where they are benign and malignant."""
        return tasks.classes(self)

    @cached_property
    def mode(self) -> Callable[[str, str], Mode]:
        """Return :func:`histobench.study.model_settings.mode_of_model` of a model and a mode of this study, each computed once."""
        return cache(lambda model, mode: mode_of_model(self.modes[mode], self.models[model], mode, model))

    @cached_property
    def recipe(self) -> Callable[[str, str], Recipe]:
        """Return what decides the results of a mode as a model trains with it, each computed once."""
        return cache(lambda model, mode: self.mode(model, mode).recipe)

    def gpu(self, model: str, mode: str | None = None) -> Literal["whole", "shared", "none"]:
        """Return what training a mode needs; without one, what computing with a model's frozen backbone needs."""
        if mode and (self.mode(model, mode).gpu or self.from_embeddings(model, mode)):
            return self.mode(model, mode).gpu or "none"
        return "whole" if isinstance(self.models[model], VlmEntry) else "shared"

    def from_embeddings(self, model: str, mode: str) -> bool:
        """Tell whether a mode starts from a model's stored embeddings of images."""
        return starts_from_embeddings(self.models[model].family, self.mode(model, mode).trainable)

    def tokens(self, model: str, mode: str) -> bool:
        """Tell whether a mode starts from a model's stored visual tokens, which are those of images as they are."""
        wanted = self.mode(model, mode)
        return isinstance(self.models[model], VlmEntry) and wanted.vision == "cached" and not wanted.stain

    def embeds_tokens(self, model: str) -> bool:
        """Tell whether a model's embeddings are made from its stored visual tokens: unless a probing mode is live."""
        probes = [name for name, mode in self.modes.items() if mode.trainable == "head" and not mode.stain]
        return isinstance(self.models[model], VlmEntry) and all(self.tokens(model, name) for name in probes)

    def specification(self, run: Any) -> RunSpec:
        """Return everything that decides the result of a :class:`Run`, or of the run of a rule's wildcards."""
        return RunSpec(
            model=self.models[run.model].settings,
            recipe=prompt_text.resolve(
                self.recipe(run.model, run.mode), self.datasets[run.dataset], int(run.magnification)
            ),
            augmentation=self.augmentations[run.augmentation],
            magnification=int(run.magnification),  # type: ignore[arg-type]
            fold=int(run.fold),
            seed=int(run.seed),
            classes=self.classes,
        )

    def feature_specification(
        self, part: str, model: str, magnification: int, augmentation: str, seed: int, views: int, prompt: str | None
    ) -> FeatureSpec:
        """Return everything that decides the `embeddings`, of a `prompt` too, or visual `tokens` of one frozen backbone."""
        return FeatureSpec(
            part=part,  # type: ignore[arg-type]
            model=self.models[model].settings,
            augmentation=self.augmentations[augmentation],
            views=views,
            magnification=magnification,  # type: ignore[arg-type]
            seed=seed,
            prompt=prompt,
        )

    def prompt(self, place: Any) -> str | None:
        """Return the text that embeddings are computed with, of a :class:`Run` or of a rule's wildcards; None without one."""
        if hasattr(place, "mode"):
            return self.specification(place).recipe.prompt
        return self.embedding_prompts.get(place.feature_key)

    @cached_property
    def embedding_prompts(self) -> dict[str, str]:
        """Return :func:`histobench.study.prompt_text.of_embeddings` of this study."""
        return prompt_text.of_embeddings(self)

    def text_files(self, model: str, mode: str | None = None) -> dict[str, str]:
        """Return the files beside a model's published weights that its text needs, in a mode or in any of the study's."""
        if self.models[model].weights == "random":
            return {}
        modes = [mode] if mode else dict.fromkeys(run.mode for run in self.runs if run.model == model)
        recipes = [self.recipe(model, name) for name in modes]
        patterns = {
            "tokenizer": paths.TOKENIZER if any(recipe.prompt or recipe.prompts for recipe in recipes) else "",
            "text_weights": paths.TEXT_WEIGHTS if any(recipe.prompts for recipe in recipes) else "",
        }
        return {name: self.path(pattern, model=model) for name, pattern in patterns.items() if pattern}

    def feature_seed(self, model: str, augmentation: str, seed: int) -> int:
        """Return the seed of what a frozen backbone makes of images for a run: 0 where no seed decides it."""
        return seed if self.augmentations[augmentation] or self.models[model].weights == "random" else 0

    @cached_property
    def key(self) -> Callable[..., str]:
        """Return :func:`histobench.study.keys.key` of this study, which computes each key once."""
        return cache(partial(keys.key, self))

    def path(self, pattern: str, **names: Any) -> str:
        """Return a path of :mod:`histobench.study.paths` for names of this study, with the keys that belong to them."""
        wanted = {key: of for key, of in keys.NAMES.items() if f"{{{key}}}" in pattern}
        names = {"prompt": None} | names
        return pattern.format(
            **names | {key: self.key(key, *(names[name] for name in of)) for key, of in wanted.items()}
        )

    def views(self, model: str, mode: str, augmentation: str) -> int:
        """Return how many views per image are computed ahead: one per epoch when images are augmented."""
        return self.mode(model, mode).epochs if self.augmentations[augmentation] else 1

    def magnifications(self, dataset: str, split: str) -> list[int]:
        """Return the magnifications of the runs on a dataset and a split."""
        return sorted({run.magnification for run in self.runs if (run.dataset, run.split) == (dataset, split)})

    def source(self, dataset: str) -> str:
        """Return the path of a dataset's archive or folder."""
        return self.datasets[dataset].source or self.path(paths.ARCHIVE, dataset=dataset)

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """Every run of the study once, in the order of the grid."""
        return tuple(dict.fromkeys(run for block in self.grid for run in self.expand(block)))

    @cached_property
    def tested(self) -> tuple[External, ...]:
        """Return the blocks of `external` whose runs are in the grid."""
        return self._in_grid(self.external)

    @cached_property
    def external_runs(self) -> tuple[tuple[str, str, Run], ...]:
        """Return each dataset that is evaluated on, the scale of its images, and a run that is evaluated on it: every one once."""
        return tuple(
            dict.fromkeys(
                (block.on, scale, run) for block in self.tested for scale in block.scales for run in self.expand(block)
            )
        )

    @cached_property
    def stressed(self) -> tuple[Stress, ...]:
        """Return the blocks of `stress` whose runs are in the grid."""
        return self._in_grid(self.stress)

    @cached_property
    def stress_runs(self) -> tuple[Run, ...]:
        """Return every run that is evaluated on altered images, once."""
        return tuple(dict.fromkeys(run for block in self.stressed for run in self.expand(block)))

    def normalised(self, run: Any) -> dict[str, str]:
        """Return the wildcards of the normalised images of a run, beside its own; none where its stain is left as it is."""
        recipe = self.recipe(run.model, run.mode)
        kept = f"{recipe.validation:g}-seed{run.seed}" if recipe.validation else "none"
        return {"stain": recipe.stain, "kept": kept} if recipe.stain else {}

    @property
    def used_datasets(self) -> list[str]:
        """Return the datasets that are trained or evaluated on."""
        return list(dict.fromkeys([run.dataset for run in self.runs] + [on for on, _, _ in self.external_runs]))

    @property
    def unaugmented(self) -> str:
        """Return the name of the empty augmentation, whose views are evaluated on: `none` where it is one, so that studies with
        other names for it share these views."""
        return next(name for name in ("none", *self.augmentations) if self.augmentations.get(name) == [])

    @property
    def labels(self) -> dict[str, str]:
        """Return the name in print of each model of the grid."""
        return {name: self.models[name].label or name for name in dict.fromkeys(run.model for run in self.runs)}

    @property
    def notes(self) -> list[str]:
        """Return what a reader of any table must know: made-up images, random weights, narrowed models, the study's own note."""
        models = {label: self.models[name] for name, label in self.labels.items()}
        random = [label for label, model in models.items() if model.weights == "random"]
        narrow = [label for label, model in models.items() if isinstance(model, CnnEntry) and model.width < 1]

        def say(what: str, some: list[str]) -> str:
            return f"Models {what}." if len(some) == len(models) else f"Models that {what}: {', '.join(some)}."

        notes = {
            "The images are SYNTHETIC.": any(self.datasets[name].synthetic for name in self.used_datasets),
            say("start from RANDOM weights", random): random,
            say("are NARROWED to a share of their channels", narrow): narrow,
        }
        return [*(note for note, holds in notes.items() if holds), *([self.note] if self.note else [])]

    def _in_grid(self, blocks: Sequence[Evaluated]) -> tuple[Evaluated, ...]:
        return tuple(block for block in blocks if next(self.expand(block)) in self.runs)

    def expand(self, block: Block | External) -> Iterator[Run]:
        """Yield the runs of a block in order."""
        for model, mode, split, magnification, augmentation, seed in product(
            block.models,
            block.modes,
            block.splits,
            block.magnifications,
            block.augmentations,
            block.seeds or [self.seed],
        ):
            for fold in range(1, self.splits[split].folds + 1):
                yield Run(block.dataset, model, mode, split, magnification, augmentation, seed, fold)


def load(config: Mapping[str, Any]) -> Config:
    """Check a configuration as Snakemake merged it from its files.

    Raises:
        HistoBenchError: with one sentence for each mistake, naming the key.
    """
    absent = [name for name, field in Config.model_fields.items() if field.is_required() and name not in config]
    if absent and not Path(paths.CONFIGURATION).exists():
        raise HistoBenchError(
            f"{absent[0]}: this key is required, and {paths.CONFIGURATION}, over which a study is laid, is not in this folder, "
            f"{Path.cwd()}; start in the folder of the project, where it is"
        )
    try:
        return Config.model_validate(dict(config))
    except ValidationError as error:
        raise HistoBenchError("\n".join(messages(error))) from None
