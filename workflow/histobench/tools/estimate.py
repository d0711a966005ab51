"""What a study computes: its jobs, the images that go through each, and the seconds of arithmetic at a given rate.

Starting jobs, reading and augmenting images, statistics and figures are no part of it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from histobench.study import paths
from histobench.study.config import Config, Mode
from histobench.study.runs import Run, is_up_to_date
from histobench.tools.arms import cost
from histobench.tools.images import Images, images

OFFICIAL_SHARE = 0.7
"""Share of the images that BreakHis's published hold-outs train on."""

Rate = float | Callable[["Job"], float]
"""Operations per second: of all jobs alike, or of each."""


@dataclass(frozen=True)
class Job:
    """One job with arithmetic in it."""

    kind: Literal["train", "tokens", "features", "predict"]
    name: str
    """The file that it makes."""
    dataset: str
    """Whose images go through it."""
    model: str
    mode: str
    """Of training, or the one that its result is used in."""
    run: Run | None
    """What a training job trains, or a predicting one asks."""
    passes: int
    """Images that go through a network, each time counted: training and evaluation of all epochs, or views."""
    operations: float
    augmented: int
    """Views that are made on the way to the network, on processors."""
    done: bool
    """Its result is there and, for a training job, was made with the present settings."""


@dataclass(frozen=True)
class Estimate:
    """The jobs of a study."""

    config: Config

    @cached_property
    def images(self) -> dict[str, Images]:
        """Number of images of every dataset."""
        return {name: images(self.config, name) for name in self.config.used_datasets}

    @property
    def unknown(self) -> list[str]:
        """Datasets whose images cannot be counted yet; their jobs count as none."""
        return [name for name, found in self.images.items() if found.at is None]

    @cached_property
    def training(self) -> list[Job]:
        """The training runs, in the order of the grid."""
        return [self._run(run) for run in self.config.runs]

    @cached_property
    def shared(self) -> list[Job]:
        """What runs share, each once: visual tokens, embeddings; and predictions on other datasets."""
        jobs: dict[str, Job] = {}
        for job in self.training:
            for store in self._stores(job):
                other = jobs.get(store.name)
                # Tokens are temporary: they are computed for those that still need them.
                if other is None or (other.done and not store.done):
                    jobs[store.name] = store
        predicted = (self._prediction(on, run) for on, run in self.config.external_runs)
        return [*jobs.values(), *predicted]

    @property
    def jobs(self) -> list[Job]:
        """All of them."""
        return [*self.shared, *self.training]

    def _run(self, run: Run) -> Job:
        config = self.config
        recipe, counted = config.recipe(run.model, run.mode), cost(config, run.model, run.mode)
        here = (self.images[run.dataset].at or {}).get(run.magnification, 0)
        split = config.splits[run.split]
        train = round(here * (OFFICIAL_SHARE if split.by == "official" else 1 - 1 / split.folds))
        specification = config.specification(run.model, run.mode, run.magnification, run.augmentation, run.fold)
        return Job(
            "train", run.predictions, run.dataset, run.model, run.mode, run,
            here * recipe.epochs,
            recipe.epochs * (train * counted.training + (here - train) * counted.evaluation),
            train * recipe.epochs if config.augmentations[run.augmentation] and not self._stored(run) else 0,
            is_up_to_date(Path(run.folder), specification),
        )  # fmt: skip

    def _stored(self, run: Run) -> bool:
        """Tell whether a run reads what was made of its images before, and not the images."""
        head = self.config.recipe(run.model, run.mode).trainable == "head"
        return head or self.config.tokens(run.model, run.mode)

    def _stores(self, job: Job) -> Iterator[Job]:
        """Yield the embeddings and visual tokens that a run is trained on and evaluated with."""
        run, config = job.run, self.config
        assert run is not None
        if not self._stored(run):
            return
        head = config.recipe(run.model, run.mode).trainable == "head"
        counted = cost(config, run.model, run.mode)
        here = (self.images[run.dataset].at or {}).get(run.magnification, 0)
        views = config.views(run.model, run.mode, run.augmentation)
        wanted = {(run.augmentation, views)}
        if config.augmentations[run.augmentation]:
            wanted.add((config.unaugmented, 1))
        for augmentation, count in sorted(wanted):
            place = {
                "dataset": run.dataset, "model": run.model, "magnification": run.magnification,
                "augmentation": augmentation, "views": count,
            }  # fmt: skip
            embeddings, passes = paths.FEATURES.format(**place), here * count
            there = Path(embeddings).exists()
            of = (run.dataset, run.model, run.mode, None, passes)
            augmented = passes if config.augmentations[augmentation] else 0
            from_tokens = not head or config.embeds_tokens(run.model)
            if from_tokens:
                needed = not there if head else not job.done
                yield Job("tokens", paths.TOKENS.format(**place), *of, passes * counted.tower, augmented, not needed)
            if head:
                each = counted.embedding + (0 if from_tokens else counted.tower)
                yield Job("features", embeddings, *of, passes * each, 0 if from_tokens else augmented, there)

    def _prediction(self, on: str, run: Run) -> Job:
        path, there = paths.external(on, run), self.images[on].total
        each = cost(self.config, run.model, run.mode).prediction
        return Job("predict", path, on, run.model, run.mode, run, there, there * each, 0, Path(path).exists())


def training_seconds(config: Config, operations_per_second: Rate) -> dict[Run, float]:
    """Return the seconds of arithmetic of each run of a study, whether it is done or not."""
    rate = _each(operations_per_second)
    return {job.run: job.operations / rate(job) for job in Estimate(config).training if job.run}


def shared_seconds(config: Config, operations_per_second: Rate) -> dict[str, float]:
    """Return the seconds of arithmetic of each store of tokens or embeddings, and of each prediction on other datasets.

    Their names are the files that are made.
    """
    rate = _each(operations_per_second)
    return {job.name: job.operations / rate(job) for job in Estimate(config).shared}


def _each(rate: Rate) -> Callable[[Job], float]:
    return rate if callable(rate) else lambda _: rate


def kind_of(config: Config, job: Job) -> str:
    """Return what kind of arithmetic a job does: `head`, `cnn` or `vlm`."""
    mode: Mode = config.mode(job.model, job.mode)
    if job.kind == "train" and mode.trainable == "head":
        return "head"
    return "cnn" if config.models[job.model].family == "cnn" else "vlm"
