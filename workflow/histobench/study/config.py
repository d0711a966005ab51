"""The configuration of a study, checked before any job starts.

The classes below are the reference for every key; `workflow/schemas/config.schema.json` is generated from them.
"""

import ast
import inspect
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import pairwise, product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from histobench.io.errors import HistoBenchError
from histobench.study import checks, transforms, vlm
from histobench.study.checks import catalogue as _catalogue
from histobench.study.messages import at, sentences, shown
from histobench.study.messages import meant as _meant
from histobench.study.runs import Run
from histobench.study.spec import (
    CnnSettings,
    FeatureSpec,
    Magnification,
    Name,
    Recipe,
    RunSpec,
    Settings,
    Sha256,
    Transform,
    VlmSettings,
    WeightsFile,
    settings_kind,
)
from histobench.study.synthetic_settings import SyntheticSettings

Text = Annotated[str, StringConstraints(min_length=1)]
Names = Annotated[list[Name], Field(min_length=1), AfterValidator(checks.distinct)]
"""Names of one section, each once."""
Magnifications = Annotated[
    list[Annotated[Magnification, BeforeValidator(checks.no_truth_value)]],
    Field(min_length=1),
    AfterValidator(checks.distinct),
]

TAKEN = ("benchmarks", "logs", "studies")
"""Folders of results/ that belong to no dataset."""

Address = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+/\S+$")]


class Dataset(Settings):
    """One dataset: where its images come from and how its tree is read."""

    format: Literal["breakhis", "bach", "csv", "folders"] = "breakhis"
    """How images are found and labelled: by the trees of BreakHis or BACH, by a `csv` table, or by class `folders`."""
    source: Text | None = None
    """Archive (.tar.gz, .tar, .zip) or folder. A synthetic dataset has none: it is generated."""
    table: Text | None = None
    """For `csv`: the table, with columns path (inside `source`), label, patient and, where wanted, magnification, subtype
    and accession."""
    classes: dict[str, Literal["benign", "malignant"]] = {"benign": "benign", "malignant": "malignant"}
    """For `csv` and `folders`: what each label of the table, or each class folder, counts as."""
    patient: str | None = None
    """For `folders`: regular expression with one group, which finds the patient in the path of an image."""
    url: Address | None = None
    """Where `source` is downloaded from when it is not there; `source` must then be resources/DATASET/FILE."""
    mirrors: list[Address] = []
    """Further addresses of the same file, tried in this order when `url` fails for good."""
    licence: str | None = None
    """Licence of the images, shown when they are downloaded or missing."""
    citation: str | None = None
    """What to cite, shown when the images are downloaded."""
    sha256: Sha256 | None = None
    """Pinned SHA-256 of the archive. Without it the hash of a download is recorded beside the file."""
    complete: bool = False
    """Require exactly the official images of the dataset, naming what is missing or surplus."""
    synthetic: SyntheticSettings | None = None
    """Generate the dataset with these settings instead of reading `source`."""

    @model_validator(mode="after")
    def _one_origin(self) -> "Dataset":
        if (self.source is None) == (self.synthetic is None):
            raise ValueError("give either `source` (an archive or folder) or `synthetic` (settings of the generator)")
        if self.synthetic and self.synthetic.kind != self.format:
            raise ValueError(f"synthetic.kind {self.synthetic.kind!r} cannot be read with format {self.format!r}")
        for key in ("url", "sha256", "complete"):
            if getattr(self, key) and self.synthetic:
                raise ValueError(f"`{key}` belongs to a dataset with a `source`, not to a synthetic one")
        if self.mirrors and not self.url:
            raise ValueError("`mirrors` are further addresses beside `url`, which is absent; name the first one `url`")
        return self

    @model_validator(mode="after")
    def _keys_of_its_format(self) -> "Dataset":
        places = {
            "table": ({"csv"}, {"csv"}),
            "patient": ({"folders"}, {"folders"}),
            "classes": ({"csv", "folders"}, set()),
            "complete": ({"breakhis", "bach"}, set()),
        }
        for key, (formats, required) in places.items():
            if key in self.model_fields_set and getattr(self, key) and self.format not in formats:
                raise ValueError(f"`{key}` belongs to format {' or '.join(sorted(formats))}, not to {self.format}")
            if self.format in required and not getattr(self, key):
                raise ValueError(f"format {self.format} needs `{key}` (config/README.md explains it)")
        if set(self.classes.values()) != {"benign", "malignant"}:
            raise ValueError("`classes` must name at least one benign and one malignant class")
        if "" in self.classes:
            raise ValueError("`classes` holds a class that has no name; give it the one in the table or tree")
        if self.patient:
            checks.finds_one_group(self.patient)
        return self


class Split(Settings):
    """A named grouping of images into folds."""

    by: Literal["patient", "accession", "image", "official"]
    """What is never divided: a `patient` (slide id), an `accession` number, nothing (`image`), or the `official` lists."""
    folds: int = Field(default=5, ge=2, le=20)
    seed: int = Field(default=0, ge=0, lt=2**32)
    files: Annotated[list[Text], AfterValidator(checks.distinct)] = []
    """For `official` only: the dsfold1.txt, dsfold2.txt, ... files, one per fold."""

    @model_validator(mode="after")
    def _official_files(self) -> "Split":
        if self.by == "official" and len(self.files) != self.folds:
            raise ValueError(
                f"`official` needs one file per fold: {self.folds} expected in `files`, {len(self.files)} given"
            )
        if self.by != "official" and self.files:
            raise ValueError(f"`files` belongs to `by: official`, not to `by: {self.by}`")
        return self


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
    def _known_architecture(self) -> "CnnEntry":
        library, name = self.architecture.split("/")
        known = _catalogue("architectures")[library]
        if name not in known:
            raise at("architecture", f"{library} has no architecture {name!r}{_meant(name, known)}")
        if self.width < 1 and self.weights != "random":
            raise ValueError("a `width` below 1 has no published weights: set `weights: random`")
        checks.known_size(self.architecture, self.image_size)
        if isinstance(self.weights, WeightsFile):
            checks.weights_file(self.weights.file, self.weights.package)
        return self

    @property
    def settings(self) -> CnnSettings:
        """The part that decides results."""
        return CnnSettings(**self.model_dump(exclude=set(Entry.model_fields)))


class VlmEntry(VlmSettings, Entry):
    """A vision-language model as the configuration names it."""

    @model_validator(mode="after")
    def _known_keys(self) -> "VlmEntry":
        vlm.check(self.family, self.config, self.image_size)
        return self

    @property
    def settings(self) -> VlmSettings:
        """The part that decides results."""
        return VlmSettings(**self.model_dump(exclude=set(Entry.model_fields)))


ModelEntry = Annotated[Annotated[CnnEntry, Tag("CNN")] | Annotated[VlmEntry, Tag("VLM")], Discriminator(settings_kind)]
"""A classifier as the configuration names it."""


class Mode(Recipe):
    """A named training recipe, and how it is to be carried out: the keys below never change a result's identity."""

    vision: Literal["cached", "live"] = "cached"
    """For vision-language models: the frozen vision tower's tokens are computed once, stored while they are needed, and
    shared by all folds (`cached`), or computed again for each batch (`live`), which needs no disk and more time."""
    micro_batch: int | None = Field(default=None, ge=1, le=65_536)
    """Images on the device at once; the logical batch where this is absent."""
    gradient_checkpointing: bool = False
    """For vision-language models: recompute the decoder's activations in the backward pass instead of keeping them."""
    gpu: Literal["whole", "shared", "none"] | None = None
    """What training needs: a GPU for itself (`whole`), one of its `gpu_slots` (`shared`), or the processor alone (`none`).
    Where this is absent, `none` for linear heads, `shared` for CNNs and `whole` for vision-language models."""

    @model_validator(mode="after")
    def _of_use(self) -> "Mode":
        if self.standardise and self.trainable != "head":
            raise ValueError(f"`standardise` belongs to `trainable: head`, not to `trainable: {self.trainable}`")
        if self.lora is not None:
            if self.trainable == "head":
                raise ValueError("`lora` belongs to `trainable: lora` or `all`; a linear head has no adapters")
            for key in ("projections", "layers"):
                try:
                    checks.distinct(getattr(self.lora, key) or [])
                except ValueError as error:
                    raise at(f"lora.{key}", str(error)) from None
        return self

    @property
    def recipe(self) -> Recipe:
        """The part that decides results."""
        return Recipe(**self.model_dump(include=set(Recipe.model_fields)))


class Block(Settings):
    """A block of the grid: every combination of its lists is one run."""

    dataset: Name
    models: Names
    modes: Names
    splits: Names
    magnifications: Magnifications
    augmentations: Names


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

    A block of which the grid has no run at all rests, so that a study laid over another one need not take it away.
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
    headline: Magnification = 40
    """The magnification that Table 6 shows, with the first split and augmentation of the first block that does not rest;
    the full table stands beside it."""

    @model_validator(mode="before")
    @classmethod
    def _yaml_reads_on_as_true(cls, data: Any) -> Any:
        return {"on" if key is True else key: value for key, value in data.items()} if isinstance(data, dict) else data


class Comparisons(Settings):
    """Which arms are compared, and how."""

    pairs: list[tuple[str, str]] = []
    """Pairs of arms, each `MODEL/MODE`: one family for Holm's correction. All pairs of the study where it is empty."""
    magnification: Magnification = 200
    """The magnification of Table 7."""
    draws: int = Field(default=10_000, ge=100, le=1_000_000)
    """Bootstrap draws and sign flips."""
    seed: int = Field(default=0, ge=0, lt=2**63)


class Config(Settings):
    """A study: a set of runs given by grid blocks, and everything their names refer to."""

    study: Name
    """Name of the study; its results stand in results/studies/STUDY."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of weight initialisation, image order, dropout and augmentation."""
    note: str | None = None
    """A sentence that every table, figure and the page show, for example that numbers are a trial's."""
    device: Annotated[str, StringConstraints(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    """Where models run: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`. Never re-runs anything."""
    gpu_slots: int = Field(default=1, ge=1, le=16)
    """How many small jobs may share one GPU. Never re-runs anything."""
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
    comparisons: Comparisons = Comparisons()

    @field_validator("augmentations")
    @classmethod
    def _known_transforms(cls, augmentations: dict[str, list[Transform]]) -> dict[str, list[Transform]]:
        for name, listed in augmentations.items():
            for number, transform in enumerate(listed):
                place = f"{name}.{number}"
                if len(transform) != 1:
                    raise at(place, "each list item is one transform, `- Name: {argument: value}`")
                ((kind, arguments),) = transform.items()
                transforms.check(place, kind, arguments)
        return augmentations

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        for number, block in enumerate(self.grid):
            self._require_names(f"grid.{number}", block)
            format = self.datasets[block.dataset].format
            if format == "bach":
                raise ValueError(
                    f"grid.{number}.dataset: {block.dataset!r} names no patients and no magnification, so that it can be "
                    "evaluated on (`external`) but not trained on"
                )
            for magnification in block.magnifications:
                if (format == "breakhis" and not magnification) or (format == "folders" and magnification):
                    has = (
                        "a magnification of 40, 100, 200 or 400"
                        if format == "breakhis"
                        else "no magnification, write 0"
                    )
                    raise ValueError(
                        f"grid.{number}.magnifications: {magnification}, but images of format {format} have {has}"
                    )
            synthetic = self.datasets[block.dataset].synthetic
            for magnification in block.magnifications:
                if synthetic and magnification not in synthetic.magnifications:
                    raise ValueError(
                        f"grid.{number}.magnifications: {magnification} is not generated by dataset {block.dataset!r}, "
                        f"which has {', '.join(map(str, synthetic.magnifications))}"
                    )
        probes = [run for run in self.runs if self.mode(run.model, run.mode).trainable == "head"]
        if any(self.augmentations[run.augmentation] for run in probes) and all(self.augmentations.values()):
            raise ValueError("augmentations: a linear probe needs an empty one, `none: []`, to be evaluated on")
        if any(self.augmentations[run.augmentation] for run in self.runs if self.tokens(run.model, run.mode)) and all(
            self.augmentations.values()
        ):
            raise ValueError("augmentations: cached visual tokens need an empty one, `none: []`, to be evaluated on")
        for name, dataset in self.datasets.items():
            if name in TAKEN:
                raise ValueError(f"datasets.{name}: results/{name} holds other files; give the dataset another name")
            if dataset.url and Path(dataset.source or "").parent != Path("resources", name):
                raise ValueError(f"datasets.{name}.source: a dataset with a `url` is stored as resources/{name}/FILE")
        for name, model in self.models.items():
            for mode in model.training:
                if mode not in self.modes:
                    raise ValueError(f"models.{name}.training: {mode!r} is not among `modes`{_meant(mode, self.modes)}")
                self.mode(name, mode)
        for number, block in enumerate(self.external):
            self._check_external(f"external.{number}", block)
        self._check_folds()
        self._check_labels()
        self._check_tables()
        self._check_pairs()
        return self

    def _check_folds(self) -> None:
        """Require that a generated dataset has as many patients as folds, and that official lists have theirs."""
        for dataset, split in dict.fromkeys((run.dataset, run.split) for run in self.runs):
            policy, of = self.splits[split], self.datasets[dataset]
            if policy.by == "official" and of.format != "breakhis":
                raise ValueError(
                    f"splits.{split}.by: `official` lists are BreakHis's, but {dataset!r} is of format {of.format}"
                )
            patients = of.synthetic.patients_per_class if of.synthetic else policy.folds
            if policy.by in ("patient", "accession") and patients < policy.folds:
                raise ValueError(
                    f"datasets.{dataset}.synthetic.patients_per_class: {patients} patients cannot be divided into the "
                    f"{policy.folds} folds of split {split!r}; give more patients or fewer folds"
                )

    def _check_labels(self) -> None:
        """Require that tables and figures can tell the models apart."""
        names: dict[str, str] = {}
        for model, label in self.labels.items():
            if label in names:
                raise ValueError(
                    f"models.{model}.label: {label!r} is the name of {names[label]!r} too; change one of them"
                )
            names[label] = model

    def _check_tables(self) -> None:
        """Require that what `tables` and `comparisons` name is there, where the configuration says it and not a default."""
        tables = {"dataset": self.datasets, "split": self.splits}
        tables |= dict.fromkeys(("without_augmentation", "with_augmentation"), self.augmentations)
        for key, known in tables.items():
            name = getattr(self.tables, key)
            if key in self.tables.model_fields_set and name is not None and name not in known:
                section = f"{key.rpartition('_')[2]}s"
                raise ValueError(f"tables.{key}: {name!r} is not among `{section}`{_meant(name, known)}")
        if self.tables.with_augmentation == self.tables.without_augmentation:
            raise ValueError(
                f"tables.with_augmentation: {self.tables.with_augmentation!r} is `without_augmentation` too; they must differ"
            )
        magnifications = sorted({run.magnification for run in self.runs})
        if (
            "magnification" in self.comparisons.model_fields_set
            and self.comparisons.magnification not in magnifications
        ):
            raise ValueError(
                f"comparisons.magnification: {self.comparisons.magnification} is not in the grid, which has "
                f"{', '.join(map(str, magnifications))}"
            )

    def _check_pairs(self) -> None:
        """Require that pairs are of two arms of the study each, and that none is there twice."""
        arms = list(dict.fromkeys(f"{run.model}/{run.mode}" for run in self.runs))
        seen: list[set[str]] = []
        for number, pair in enumerate(self.comparisons.pairs):
            place = f"comparisons.pairs.{number}"
            for arm in pair:
                if arm not in arms:
                    raise ValueError(
                        f"{place}: {shown(arm)} is no arm of the study; write MODEL/MODE{_meant(arm, arms)}"
                    )
            if pair[0] == pair[1]:
                raise ValueError(f"{place}: {pair[0]!r} is compared with itself; name two arms")
            if set(pair) in seen:
                raise ValueError(f"{place}: {' and '.join(pair)} are named twice; name them once")
            seen.append(set(pair))

    def _require_names(self, place: str, block: "Block | External") -> None:
        """Require that every name of a block is known."""
        places = {
            "dataset": ([block.dataset], self.datasets),
            "models": (block.models, self.models),
            "modes": (block.modes, self.modes),
            "splits": (block.splits, self.splits),
            "augmentations": (block.augmentations, self.augmentations),
        }
        if isinstance(block, External):
            places["on"] = ([block.on], self.datasets)
        for key, (names, known) in places.items():
            for name in names:
                if name not in known:
                    table = "datasets" if key in ("dataset", "on") else key
                    raise ValueError(f"{place}.{key}: {name!r} is not among `{table}`{_meant(name, known)}")

    def _check_external(self, place: str, block: External) -> None:
        self._require_names(place, block)
        if block.on == block.dataset:
            raise ValueError(
                f"{place}.on: {block.on!r} is the dataset that the models are trained on; name another one"
            )
        if block.headline not in block.magnifications:
            raise ValueError(
                f"{place}.headline: {block.headline} is not among its `magnifications` "
                f"({', '.join(map(str, block.magnifications))})"
            )
        wanted = list(self._expand(block))
        absent = [run for run in wanted if run not in self.runs]
        if len(absent) == len(wanted):
            return
        if absent:
            raise ValueError(
                f"{place}: {absent[0].folder.partition('/runs/')[2]} is not in the grid (nor are {len(absent) - 1} others "
                f"of its {len(wanted)} runs); add it to `grid`, shorten the block, or write `external: []`"
            )
        for run in wanted:
            if not self.recipe(run.model, run.mode).keep_weights:
                raise ValueError(
                    f"{place}: mode {run.mode!r} does not keep the weights of {run.model!r}; set `keep_weights: true` in "
                    f"the mode, or in models.{run.model}.training.{run.mode}"
                )

    def mode(self, model: str, mode: str) -> Mode:
        """Return a mode as `model` trains with it.

        Raises:
            ValueError: the model has no such parameters to train.
        """
        entry = self.models[model]
        overrides = entry.training.get(mode, {})
        try:
            wanted = Mode(**self.modes[mode].model_dump() | overrides)
        except ValidationError as error:
            raise ValueError(next(sentences(error, f"models.{model}.training.{mode}"))) from None

        def place(key: str) -> str:
            """Return the key that the reader can change."""
            return f"models.{model}.training.{mode}.{key}" if key in overrides else f"modes.{mode}.{key}"

        if isinstance(entry, CnnEntry):
            if wanted.trainable == "lora":
                raise ValueError(
                    f"{place('trainable')}: {model!r} is a CNN and has no `lora` adapters; write `all` or `head`"
                )
            return wanted.model_copy(update={"lora": None, "vision": "cached", "gradient_checkpointing": False})
        if wanted.trainable == "head":
            return wanted.model_copy(update={"lora": None})
        layers = vlm.depth(entry.family, entry.config)
        if wanted.lora is not None and max(wanted.lora.layers or [0]) >= layers:
            raise ValueError(
                f"{place('lora')}.layers: there is no decoder layer {max(wanted.lora.layers or [0])} in {model!r}, "
                f"the last is {layers - 1}; correct the list"
            )
        if wanted.lora is None:
            raise ValueError(f"{place('lora')}: this key is required to train {model!r}, a vision-language model")
        for part in ("vision", "connector"):
            if getattr(wanted.lora, part) and wanted.vision != "live":
                raise ValueError(
                    f"{place('lora')}.{part}: {model!r} cannot train its {part} on cached visual tokens; "
                    f"add `vision: live` to the mode"
                )
        return wanted.model_copy(update={"trainable": "lora", "standardise": False})

    def recipe(self, model: str, mode: str) -> Recipe:
        """Return what decides the results of `mode` as `model` trains with it."""
        return self.mode(model, mode).recipe

    def gpu(self, model: str, mode: str | None = None) -> Literal["whole", "shared", "none"]:
        """Return what training a mode needs; without one, what computing with a model's frozen backbone needs."""
        wanted = self.mode(model, mode) if mode else None
        if wanted and (wanted.gpu or wanted.trainable == "head"):
            return wanted.gpu or "none"
        return "shared" if isinstance(self.models[model], CnnEntry) else "whole"

    def tokens(self, model: str, mode: str) -> bool:
        """Tell whether a mode starts from a model's stored visual tokens."""
        wanted = self.mode(model, mode)
        return isinstance(self.models[model], VlmEntry) and wanted.vision == "cached"

    def embeds_tokens(self, model: str) -> bool:
        """Tell whether a model's embeddings are made from its stored visual tokens: unless a probing mode is live."""
        probes = [name for name, mode in self.modes.items() if mode.trainable == "head"]
        return isinstance(self.models[model], VlmEntry) and all(self.tokens(model, name) for name in probes)

    def specification(self, model: str, mode: str, magnification: int, augmentation: str, fold: int) -> RunSpec:
        """Return everything that decides the result of one run."""
        return RunSpec(
            model=self.models[model].settings,
            recipe=self.recipe(model, mode),
            augmentation=self.augmentations[augmentation],
            magnification=magnification,  # type: ignore[arg-type]
            fold=fold,
            seed=self.seed,
        )

    def feature_specification(
        self, part: str, model: str, magnification: int, augmentation: str, views: int
    ) -> FeatureSpec:
        """Return everything that decides the `embeddings` or visual `tokens` of one frozen backbone."""
        return FeatureSpec(
            part=part,  # type: ignore[arg-type]
            model=self.models[model].settings,
            augmentation=self.augmentations[augmentation],
            views=views,
            magnification=magnification,  # type: ignore[arg-type]
            seed=self.seed,
        )

    def views(self, model: str, mode: str, augmentation: str) -> int:
        """Return how many views per image are computed ahead: one per epoch when images are augmented."""
        return self.mode(model, mode).epochs if self.augmentations[augmentation] else 1

    def source(self, dataset: str) -> str:
        """Return the path of a dataset's archive or folder."""
        return self.datasets[dataset].source or f"results/{dataset}/archive.tar.gz"

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """Every run of the study once, in the order of the grid."""
        return tuple(dict.fromkeys(run for block in self.grid for run in self._expand(block)))

    @cached_property
    def tested(self) -> tuple[External, ...]:
        """Return the blocks of `external` whose runs are in the grid."""
        return tuple(block for block in self.external if next(self._expand(block)) in self.runs)

    @cached_property
    def external_runs(self) -> tuple[tuple[str, Run], ...]:
        """Return each dataset that is evaluated on, with a run that is evaluated on it: every pair once."""
        return tuple(dict.fromkeys((block.on, run) for block in self.tested for run in self._expand(block)))

    @property
    def used_datasets(self) -> list[str]:
        """Return the datasets that are trained or evaluated on."""
        return list(dict.fromkeys([run.dataset for run in self.runs] + [on for on, _ in self.external_runs]))

    @property
    def unaugmented(self) -> str:
        """Return the name of the empty augmentation, whose views are evaluated on."""
        return next(name for name, transforms in self.augmentations.items() if not transforms)

    @property
    def labels(self) -> dict[str, str]:
        """Return the name in print of each model of the grid."""
        return {name: self.models[name].label or name for name in dict.fromkeys(run.model for run in self.runs)}

    @property
    def notes(self) -> list[str]:
        """Return what a reader of any table must know: made-up images, random weights, narrowed models, the study's own note."""
        models = [self.models[name] for name in self.labels]
        notes = {
            "The images are SYNTHETIC.": any(self.datasets[name].synthetic for name in self.used_datasets),
            "Models start from RANDOM weights.": any(model.weights == "random" for model in models),
            "Models are NARROWED to a share of their channels.": any(
                isinstance(model, CnnEntry) and model.width < 1 for model in models
            ),
        }
        return [*(note for note, holds in notes.items() if holds), *([self.note] if self.note else [])]

    def _expand(self, block: Block | External) -> Iterator[Run]:
        for model, mode, split, magnification, augmentation in product(
            block.models, block.modes, block.splits, block.magnifications, block.augmentations
        ):
            for fold in range(1, self.splits[split].folds + 1):
                yield Run(block.dataset, model, mode, split, magnification, augmentation, fold)


def load(config: Mapping[str, Any]) -> Config:
    """Check a configuration as Snakemake merged it from its files.

    Raises:
        HistoBenchError: with one sentence for each mistake, naming the key.
    """
    try:
        return Config.model_validate(dict(config))
    except ValidationError as error:
        raise HistoBenchError("\n".join(sentences(error))) from None


def schema() -> str:
    """Return the JSON schema of the configuration, as the committed file holds it."""
    made, described = Config.model_json_schema(), _docstrings()
    for name, model in [("Config", made), *made["$defs"].items()]:
        for key, value in model.get("properties", {}).items():
            if key in described.get(name, {}):
                value["description"] = described[name][key]
    return json.dumps(made, indent=2, sort_keys=True) + "\n"


def _docstrings() -> dict[str, dict[str, str]]:
    """Return the docstring of each key of each class of settings, those of its base classes among them."""
    found: dict[str, dict[str, str]] = {}
    for module in ("spec", "synthetic_settings", "config"):
        tree = ast.parse(Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8"))
        for item in (item for item in tree.body if isinstance(item, ast.ClassDef)):
            own = found.setdefault(item.name, {})
            for base in item.bases:
                own |= found.get(ast.unparse(base), {})
            for key, text in pairwise(item.body):
                if isinstance(key, ast.AnnAssign) and isinstance(text, ast.Expr):
                    own[ast.unparse(key.target)] = inspect.cleandoc(ast.literal_eval(text.value))
    return found
