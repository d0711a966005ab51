"""What a study needs on the disk, and what of it is there."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from histobench.fetch.hub import folder_name
from histobench.study import paths
from histobench.study.config import Config, VlmEntry
from histobench.study.runs import Run
from histobench.study.spec import FolderWeights, WeightsFile
from histobench.tools.arms import cost
from histobench.tools.estimate import Estimate

ARCHIVES = {"breakhis": 4.0e9, "bach": 10.4e9}
"""Bytes of the published archives, by format: about, and by Zenodo's record 3632035."""
SYNTHETIC = 2.0
"""Bytes for each pixel of a generated image in its archive: PNG and TIFF of 3 bytes a pixel, compressed."""
RESULTS = 2e5
"""Bytes of a run's predictions, history, record and logs, and its share of tables and figures, at BreakHis's size: about."""
ENVIRONMENT = 6e9
"""Bytes of `.venv` with PyTorch's CUDA build."""


@dataclass(frozen=True)
class Need:
    """Something that takes room."""

    what: str
    place: str
    """`resources`, `results` or `.venv`."""
    size: float
    """Bytes when the study is done or, of what is temporary, at most at once."""
    there: float = 0
    """Bytes that are there already."""

    @property
    def missing(self) -> float:
        """Bytes still to come."""
        return max(0.0, self.size - self.there)


def needs(estimate: Estimate, bf16: bool) -> list[Need]:
    """Return what a study needs on the disk.

    Args:
        estimate: the study.
        bf16: visual tokens are stored in bf16, as on a GPU that has it, not in fp32.
    """
    runs = [job.run for job in estimate.training if job.run]
    found = [
        _sum("archives of the datasets", "resources", (_archive(estimate, name) for name in estimate.images)),
        _sum("pretrained weights, as downloaded and joined", "resources", _weights(estimate.config)),
        _sum("pixel stores", "results", _pixels(estimate)),
        _sum("embeddings", "results", _embeddings(estimate)),
        _sum("trained weights that are kept", "results", (_kept(estimate.config, run) for run in runs)),
        _sum("predictions, tables, figures", "results", map(_results, runs)),
        Need("Python packages", ".venv", ENVIRONMENT, ENVIRONMENT if Path(".venv").exists() else 0),
        Need("visual tokens of one model, while LoRA needs them", "results", _tokens(estimate, 2 if bf16 else 4)),
        Need("checkpoint of a running job, old and new", "results", _checkpoint(estimate)),
    ]
    return [need for need in found if need.size]


Sizes = Iterable[tuple[float, float]]
"""What each part of a need takes in all, and how much of it is there, in bytes."""


def _sum(what: str, place: str, parts: Sizes) -> Need:
    # A part that is there takes what it takes, whatever was expected of it.
    sizes = [(there or size, there) for size, there in parts]
    return Need(what, place, sum(size for size, _ in sizes), sum(there for _, there in sizes))


def size_of(*places: Path | str) -> int:
    """Return the bytes of files, and of all files in folders; 0 for what is not there."""
    total = 0
    for place in map(Path, places):
        files = place.rglob("*") if place.is_dir() else [place]
        for file in files:
            with suppress(OSError):
                total += file.stat().st_size if file.is_file() else 0
    return total


def _archive(estimate: Estimate, name: str) -> tuple[float, float]:
    dataset, source = estimate.config.datasets[name], Path(estimate.config.source(name))
    if made := dataset.synthetic:
        return SYNTHETIC * made.width * made.height * estimate.images[name].total, size_of(source)
    # Images of the user's own are where they are.
    return (ARCHIVES.get(dataset.format, 0.0), size_of(source)) if dataset.url else (0, 0)


def _weights(config: Config) -> Sizes:
    """Yield the sizes of published weights, and of what is made of them: one file for each model."""
    for model in dict.fromkeys(run.model for run in config.runs):
        entry, mode = config.models[model], next(run.mode for run in config.runs if run.model == model)
        if entry.weights == "random":
            continue
        counted, joined = cost(config, model, mode), Path(paths.WEIGHTS.format(model=model))
        each = 4 if entry.family == "cnn" else 2  # VLMs are published in bf16
        yield each * min(counted.published, counted.total), size_of(joined)
        if isinstance(entry.weights, WeightsFile | FolderWeights):
            continue  # the user's own, and where they are
        if isinstance(entry, VlmEntry):
            downloaded = size_of(joined.with_name(folder_name(entry.weights)))
        else:
            downloaded = size_of(*joined.parent.glob(f"{entry.architecture.rpartition('/')[2]}*-*.*"))
        # What was joined needs its parts no more.
        yield (0, downloaded) if joined.exists() else (each * counted.published, downloaded)


def _pixels(estimate: Estimate) -> Sizes:
    config = estimate.config
    trained = ((run.dataset, run.model) for run in config.runs)
    predicted = ((on, run.model) for on, run in config.external_runs)
    for dataset, size in dict.fromkeys(
        (name, config.models[model].image_size) for name, model in [*trained, *predicted]
    ):
        place = paths.PIXELS.format(dataset=dataset, size=size)
        yield 3.0 * size**2 * estimate.images[dataset].total, size_of(place)


def _embeddings(estimate: Estimate) -> Sizes:
    for job in estimate.shared:
        if job.kind == "features":
            yield 4.0 * job.passes * cost(estimate.config, job.model, job.mode).dimensions, size_of(job.name)


def _kept(config: Config, run: Run) -> tuple[float, float]:
    if not config.recipe(run.model, run.mode).keep_weights:
        return 0, 0
    return 4.0 * cost(config, run.model, run.mode).trainable, size_of(Path(run.folder) / Path(paths.TRAINED).name)


def _results(run: Run) -> tuple[float, float]:
    return RESULTS, RESULTS if Path(run.predictions).exists() else 0


def _tokens(estimate: Estimate, bytes_each: int) -> float:
    """Return the largest that the stores of one model and magnification are together, of those still to be made.

    Priorities see to it that they are removed before others are begun.
    """
    together: dict[Path, float] = {}
    for job in estimate.shared:
        if job.kind == "tokens" and not job.done:
            counted = cost(estimate.config, job.model, job.mode)
            folder = Path(job.name).parents[1]
            size = float(bytes_each * job.passes * counted.tokens * counted.dimensions)
            together[folder] = together.get(folder, 0) + size
    return max(together.values(), default=0)


def _checkpoint(estimate: Estimate) -> float:
    """Return the size of the largest checkpoint of the runs to do, twice: a new one is whole before the old one goes."""
    # Parameters and AdamW's two moments of each, in fp32.
    sizes = [
        3 * 4.0 * cost(estimate.config, job.model, job.mode).trainable for job in estimate.training if not job.done
    ]
    return 2 * max(sizes, default=0)
