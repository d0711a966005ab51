"""The resolved study: what tables, figures, claims and page need of a configuration, as one JSON file.

It is written while the workflow is read, to results/studies/STUDY/study.json, and only when its content has changed.
Scripts are given it as `--study FILE`. It holds no path of this machine and nothing of the hardware.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from histobench.io.errors import HistoBenchError
from histobench.io.files import atomic_path
from histobench.study.run_files import unit_of
from histobench.study.runs import ARM, Run
from histobench.study.spec import is_vlm

if TYPE_CHECKING:
    from histobench.study.config import Config

Settings = Mapping[str, Any]

STRICTNESS = {"accession": 0, "patient": 1, "official": 1, "file": 1, "image": 2}
"""Order of split policies by what they keep on one side of a fold, the strictest first."""

ORIGIN = {"source", "table", "url", "mirrors", "sha256", "licence", "citation"}
"""Keys of a dataset that say where its images come from, not which they are."""


@dataclass(frozen=True)
class Arm:
    """A model in one of its modes."""

    model: str
    mode: str
    label: str
    """Name of the model in print."""
    family: str
    """`cnn`, `encoder`, or a family of vision-language models."""
    trainable: str
    """`all`, `head`, `last`, `lora` or `none`."""

    @property
    def key(self) -> tuple[str, str]:
        """Return the values of `model` and `mode` in the study's CSVs."""
        return self.model, self.mode

    @property
    def is_vlm(self) -> bool:
        """Tell whether the model is a vision-language model."""
        return is_vlm(self.family)

    @property
    def name(self) -> str:
        """Return the name of the arm in print, for example `ResNet34 FT`."""
        return f"{self.label} {printed_mode(self.mode)}"


def printed_mode(mode: str) -> str:
    """Return the name of a mode in print."""
    return {"ft": "FT", "lp": "LP"}.get(mode, mode)


@dataclass(frozen=True)
class Study:
    """A resolved study. Mappings hold the settings as the configuration has them, every default written out."""

    name: str
    seed: int
    notes: Sequence[str]
    """Sentences that every caption shows, for example that images are synthetic or weights random."""
    arms: Sequence[Arm]
    """The arms of the study, in the order of the grid."""
    models: Mapping[str, Settings]
    """Settings of each model of the grid, by its name."""
    recipes: Mapping[str, Mapping[str, Settings]]
    """Model -> mode -> recipe."""
    datasets: Mapping[str, Settings]
    """Settings of each dataset of the grid, of `external` and of `tables`, without the keys of `ORIGIN`."""
    splits: Mapping[str, Settings]
    """`by`, `folds` and `seed` of each split policy of the grid, and the `unit` that statistics resample."""
    augmentations: Mapping[str, Sequence[Settings]]
    """The transforms of each augmentation of the grid."""
    grid: Sequence[Settings]
    tables: Settings
    """`dataset`, `split`, `without_augmentation` (Table 4) and `with_augmentation` (Table 5)."""
    external: Sequence[Settings]
    """Blocks of arms that are evaluated on another dataset."""
    comparisons: Settings
    """`pairs`, `magnification`, `draws` and `seed`."""
    paper: bool
    """Whether the report is about the paper: its numbers of tables and figures, published values and claims."""
    stress: Sequence[Settings] = ()
    """Blocks of arms that are evaluated on altered images."""
    classes: Sequence[str] = ()
    """The classes of its task in order; empty where they are benign and malignant."""
    benchmark: Sequence[Settings] = ()
    """`published`: which published scores stand beside the study's own, without the files that hold them."""

    @cached_property
    def labels(self) -> dict[str, str]:
        """Return the name in print of each model."""
        return {arm.model: arm.label for arm in self.arms}

    @cached_property
    def cells(self) -> list[dict[str, Any]]:
        """Return each combination of the grid's blocks: the columns that identify a run, but its seed and fold."""
        return [dict(zip(ARM, cell, strict=True)) for cell in self.seeds]

    @cached_property
    def seeds(self) -> dict[tuple[object, ...], int]:
        """Return with how many seeds each of :attr:`cells`, as a tuple of its values, is trained."""
        known: dict[tuple[object, ...], set[int]] = {}
        for block in self.grid:
            lists = (block[f"{name}s"] for name in ARM[1:])
            for values in product([block["dataset"]], *lists):
                known.setdefault(values, set()).update(block["seeds"])
        return {cell: len(seeds) for cell, seeds in known.items()}

    @property
    def dataset(self) -> str:
        """Return the dataset of Tables 1, 4 and 5."""
        return self.tables["dataset"]

    @property
    def split(self) -> str:
        """Return the split policy of Tables 1, 4 and 5."""
        return self.tables["split"]

    @property
    def augmentation(self) -> str:
        """Return the augmentation of Table 4, which the figures show too."""
        return self.tables["without_augmentation"]

    @property
    def numbered(self) -> dict[int, str]:
        """Return the augmentation of Table 4 and that of Table 5."""
        return {4: self.tables["without_augmentation"], 5: self.tables["with_augmentation"]}

    @property
    def panels(self) -> dict[int, str]:
        """Return those of :attr:`numbered` that the grid has on the dataset and split of the tables."""
        place = (self.dataset, self.split)
        main = {cell["augmentation"] for cell in self.cells if (cell["dataset"], cell["split"]) == place}
        return {number: augmentation for number, augmentation in self.numbered.items() if augmentation in main}

    @property
    def main(self) -> dict[str, str]:
        """Return the columns that select the rows of Table 4, which the figures show too, from a CSV of the study."""
        return {"dataset": self.dataset, "split": self.split, "augmentation": self.augmentation}

    @cached_property
    def main_cells(self) -> list[dict[str, Any]]:
        """Return those of :attr:`cells` that Table 4 shows."""
        return [cell for cell in self.cells if self.main.items() <= cell.items()]

    @property
    def stricter(self) -> list[str]:
        """Return the splits stricter than that of Table 4 under which some of its cells are trained too, the strictest first."""
        cells: dict[str, set[tuple[Any, ...]]] = {}
        for cell in self.cells:
            if (cell["dataset"], cell["augmentation"]) == (self.dataset, self.augmentation):
                cells.setdefault(cell["split"], set()).add((cell["model"], cell["mode"], cell["magnification"]))
        rank = {name: STRICTNESS[self.splits[name]["by"]] for name in cells}
        main = cells.get(self.split, set())
        found = [name for name in cells if rank[name] < rank.get(self.split, 0) and main & cells[name]]
        return sorted(found, key=lambda name: rank[name])

    def chooses(self, **place: Any) -> bool:
        """Tell whether an arm at a place of the grid (columns of :attr:`cells`) keeps training groups for choosing."""
        return any(
            self.recipes[cell["model"]][cell["mode"]].get("validation")
            for cell in self.cells
            if place.items() <= cell.items()
        )

    def has_epochs(self, model: str, mode: str) -> bool:
        """Tell whether an arm is trained over epochs: not zero-shot, nor by what is computed at once."""
        recipe = self.recipes[model][mode]
        return "classifier" not in recipe and recipe["trainable"] != "none"

    def classifies_bags(self, model: str, mode: str) -> bool:
        """Tell whether an arm classifies groups of images instead of images."""
        return "bag" in self.recipes[model][mode]

    def few_shot_curves(self) -> dict[tuple[str, str], dict[int, str]]:
        """Return for each curve of accuracy against patients per class its modes by that number, ascending; 0 stands for all.

        A curve is a model with the modes of Table 4's cells that share everything else of their recipes, at least two with
        such a number, and is named by the mode with all patients or else by the first without its number.
        """
        found: dict[tuple[str, str], dict[int, str]] = {}
        for cell in self.main_cells:
            recipe = dict(self.recipes[cell["model"]][cell["mode"]])
            count = recipe.pop("patients_per_class", 0)
            found.setdefault((cell["model"], json.dumps(recipe, sort_keys=True)), {})[count] = cell["mode"]
        curves = {}
        for (model, _), modes in found.items():
            if len(modes.keys() - {0}) > 1:
                numbers = sorted(modes, key=lambda count: count or math.inf)
                first = modes[numbers[0]]
                curves[model, modes.get(0, first.removesuffix(f"-{numbers[0]}"))] = {n: modes[n] for n in numbers}
        return curves

    @property
    def magnification(self) -> int:
        """Return the magnification of Table 7 and Figure 6: that of `comparisons`, or else the highest of Table 4."""
        known = {cell["magnification"] for cell in self.main_cells}
        wanted = self.comparisons["magnification"]
        return wanted if wanted in known else max(known, default=0)

    @property
    def table6(self) -> dict[str, str]:
        """Return the columns that select the rows of Table 6 from the external test; empty without one."""
        if not self.external:
            return {}
        block = self.external[0]
        return {
            "on": block["on"],
            "scale": "squashed" if "squashed" in block["scales"] else "matched",
            "dataset": block["dataset"],
            "split": block["splits"][0],
            "magnification": str(block["headline"]),
            "augmentation": block["augmentations"][0],
        }

    def shifts(self, run: Run) -> list[str]:
        """Return how images are altered for the stress test of a run, in the order of the blocks that name it."""
        place = {f"{name}s": getattr(run, name) for name in ARM[1:]}
        own = [
            block["shifts"]
            for block in self.stress
            if block["dataset"] == run.dataset and all(value in block[key] for key, value in place.items())
        ]
        return list(dict.fromkeys(shift for shifts in own for shift in shifts))

    def unit(self, split: str) -> str:
        """Return what statistics resample under a split policy: `patient` or `accession number`."""
        return self.splits[split]["unit"]

    def label(self, model: str) -> str:
        """Return a model's name in print; the name itself where the study has no such model."""
        return self.labels.get(model, model)

    def caption(self, *sentences: str) -> str:
        """Return `sentences`, the study's name and its notes as one caption."""
        return " ".join([*sentences, f"Study: {self.name}.", *self.notes])


def resolve(config: "Config") -> Study:
    """Return the resolved study of a configuration."""
    from histobench.study import paper  # which needs this module

    arms = dict.fromkeys((run.model, run.mode) for run in config.runs)
    recipes: dict[str, dict[str, Any]] = {}
    for model, mode in arms:
        recipes.setdefault(model, {})[mode] = config.recipe(model, mode).model_dump(mode="json")
    splits = dict.fromkeys(run.split for run in config.runs)
    augmentations = dict.fromkeys(run.augmentation for run in config.runs)
    dataset = config.tables.dataset or config.runs[0].dataset
    datasets = dict.fromkeys([*config.used_datasets, dataset])
    study = Study(
        name=config.study,
        seed=config.seed,
        notes=config.notes,
        arms=[
            Arm(model, mode, config.labels[model], config.models[model].family, config.recipe(model, mode).trainable)
            for model, mode in arms
        ],
        models={model: config.models[model].settings.model_dump(mode="json") for model in config.labels},
        recipes=recipes,
        datasets={name: config.datasets[name].model_dump(mode="json", exclude=ORIGIN) for name in datasets},
        splits={
            name: config.splits[name].model_dump(mode="json", include={"by", "folds", "seed"})
            | {"unit": unit_of(config.splits[name].by)}
            for name in splits
        },
        augmentations={name: config.augmentations[name] for name in augmentations},
        grid=[block.model_dump(mode="json") | {"seeds": block.seeds or [config.seed]} for block in config.grid],
        tables=config.tables.model_dump(mode="json") | {"dataset": dataset},
        external=[block.model_dump(mode="json") for block in config.tested],
        comparisons=config.comparisons.model_dump(mode="json"),
        paper=bool(config.paper),
        stress=[block.model_dump(mode="json") for block in config.stressed],
        classes=config.classes or (),
        benchmark=[one.model_dump(mode="json", exclude={"file"}) for one in config.published],
    )
    study = replace(
        study,
        notes=[*study.notes, *_of_seeds(study), *_of_bags(study)],
        comparisons={**study.comparisons, "magnification": study.magnification},
    )
    return replace(study, paper=bool(paper.arms(study))) if config.paper is None else study


def _of_seeds(study: Study) -> list[str]:
    """Return which arms are trained with several seeds, as a note."""
    several = {cell[1:3] for cell, seeds in study.seeds.items() if seeds > 1}
    if not several:
        return []
    numbers = {seeds for cell, seeds in study.seeds.items() if cell[1:3] in several}
    most = f"{'up to ' if len(numbers) > 1 else ''}{max(numbers)}"
    names = ", ".join(arm.name for arm in study.arms if arm.key in several)
    which = "" if min(study.seeds.values()) > 1 else f" ({names})"
    return [f"A fold's score is the mean over {most} seeds{which}."]


def _of_bags(study: Study) -> list[str]:
    """Return which arms classify groups, as a note."""
    names = ", ".join(arm.name for arm in study.arms if study.classifies_bags(*arm.key))
    return (
        [f"Arms that classify all images of a patient at once, so that each has the patient's score: {names}."]
        if names
        else []
    )


def write(study: Study, path: Path) -> None:
    """Write a resolved study, unless `path` holds just that already."""
    text = json.dumps(asdict(study), indent=1, ensure_ascii=False) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def load(path: Path) -> Study:
    """Return the resolved study that a file holds.

    Raises:
        HistoBenchError: the file is missing, or is none.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        return Study(**content | {"arms": [Arm(**arm) for arm in content["arms"]]})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HistoBenchError(f"{path}: is no resolved study ({error}); run the workflow again") from error
