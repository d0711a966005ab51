"""Training runs: their identity, and whether their results are up to date."""

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from histobench.study import paths
from histobench.study.spec import RunSpec

ARM = ("dataset", "model", "mode", "split", "magnification", "augmentation")
"""The columns that name an arm of a study, whose seeds and folds are averaged."""


@dataclass(frozen=True, order=True)
class Run:
    """The identity of a training run in its study: the names in the path of its results, the key of every table."""

    dataset: str
    model: str
    mode: str
    split: str
    magnification: int
    augmentation: str
    seed: int
    fold: int

    @property
    def arm(self) -> str:
        """Name of the run's arm, whose seeds and folds are averaged: `breakhis/vgg19/ft/patient/40/none`."""
        return "/".join(str(getattr(self, name)) for name in ARM)

    def __str__(self) -> str:
        """Return the run in words of its path: `breakhis/vgg19/ft/patient/40/none/seed0/fold1`."""
        return f"{self.arm}/seed{self.seed}/fold{self.fold}"

    @classmethod
    def of(cls, predictions: str) -> "Run":
        """Return the run that a predictions path belongs to."""
        dataset, _, model, mode, split, scale, augmentation, seed, fold, _ = PurePosixPath(predictions).parts[-10:]
        numbers = int(seed.removeprefix("seed")), int(fold.removeprefix("fold"))
        names = paths.name_of(dataset), model, mode, split
        return cls(*names, int(scale.removesuffix("x")), paths.name_of(augmentation), *numbers)


def of_external(path: str) -> tuple[str, str, Run]:
    """Return the dataset, the scale and the run that a path of :data:`histobench.study.paths.EXTERNAL` belongs to."""
    on, _, scale, *parts, file = PurePosixPath(path).parts[-11:]
    run = Run.of("/".join([parts[0], "runs", *parts[1:], file.removesuffix(".csv"), "predictions.csv"]))
    return paths.name_of(on), paths.name_of(scale), run


def of_stress(path: str) -> Run:
    """Return the run that a path of :data:`histobench.study.paths.STRESS` belongs to."""
    *parts, file = PurePosixPath(path).parts
    return Run.of("/".join([*parts, file.removesuffix(".csv"), "predictions.csv"]))


def is_up_to_date(folder: Path, specification: RunSpec) -> bool:
    """Tell whether a run's results are in `folder` and were made with these settings.

    Snakemake, not this function, sees changes of data and code.
    """
    recorded = record(folder).get("specification")
    return recorded == specification.model_dump(mode="json") and (Path(folder) / "predictions.csv").exists()


def record(folder: Path) -> dict:
    """Return the content of a run's run.json; an empty dictionary where there is none or it cannot be read."""
    try:
        content = json.loads((Path(folder) / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
