"""Show a study as a table: which jobs it has, which of them are done, and what the rest takes in time and disk space.

A rate in images per second is that of finished runs of the same model and mode on this device, else that of
resources/rates.csv. Where neither has one, the time is not known.
"""

import csv
import math
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median

import numpy as np
from tabulate import tabulate

from histobench.datasets import breakhis, tiles
from histobench.io.files import read_csv
from histobench.study import paths
from histobench.study.config import Config
from histobench.study.paper import counted
from histobench.study.resolved import resolve
from histobench.study.runs import Run, is_up_to_date, record
from histobench.study.spec import CnnSettings, is_vlm
from histobench.study.stress_settings import CONDITIONS
from histobench.tools.command_line import amount, device, duration, parser, run_tool, study

UNKNOWN = math.nan
"""A number, time, rate or size that is not known; sums with it are not known either."""
RATES = Path(__file__).parents[3] / "resources" / "rates.csv"
RATES_SIZE = 336
"""Image size, in pixels, of every rate in rates.csv."""
BACH = 400
"""Labelled photographs of BACH."""
ARCHIVES = {"breakhis": 4.0e9, "bach": 10.4e9}
"""Bytes of the published archives."""
WEIGHTS = {
    "torchvision/alexnet": 0.24e9,
    "torchvision/vgg19": 0.57e9,
    "torchvision/resnet34": 0.09e9,
    "Qwen/Qwen2-VL-2B-Instruct": 4.4e9,
    "HuggingFaceTB/SmolVLM-Instruct": 4.5e9,
    "Qwen/Qwen2.5-VL-3B-Instruct": 7.5e9,
    "Qwen/Qwen3-VL-2B-Instruct": 4.3e9,
    "HuggingFaceTB/SmolVLM2-2.2B-Instruct": 9.0e9,
}
"""Bytes of published weights."""
TOKENS = {
    "Qwen/Qwen2-VL-2B-Instruct": 2.0 * 144 * 1536,
    "HuggingFaceTB/SmolVLM-Instruct": 2.0 * 64 * 2048,
    "Qwen/Qwen2.5-VL-3B-Instruct": 2.0 * 144 * 2048,
    "Qwen/Qwen3-VL-2B-Instruct": 2.0 * 100 * 4 * 2048,
    "HuggingFaceTB/SmolVLM2-2.2B-Instruct": 2.0 * 64 * 2048,
}
"""Bytes of an image's visual tokens in bf16, at 336 px (Qwen3-VL: 320 px)."""


@dataclass(frozen=True)
class Job:
    """A job that computes with a model."""

    what: str
    """`training`, what runs share (`visual tokens`, `embeddings`), or what trained models predict (`predictions on DATASET`,
    `altered images`)."""
    path: str
    """The file it makes."""
    run: Run
    """What it trains, or the first run that needs it."""
    done: bool
    images: float
    """Images that pass through the model, each epoch or view counted."""
    seconds: float


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--gpu", help="estimate for this GPU, for example H200, instead of this machine")
    given = arguments.parse_args()
    config = study(given.configfile)
    print("\n".join(plan(config, given.gpu or device(config.device))))


def plan(config: Config, device: str) -> list[str]:
    """Return the lines to print."""
    jobs = [*shared_work(config, device), *training(config, device)]
    waiting = [job for job in jobs if not job.done]
    several = [key for key in ("dataset", "split") if len({getattr(run, key) for run in config.runs}) > 1]
    groups = defaultdict(list)
    for job in jobs:
        parts = [job.run.mode, job.run.augmentation, *(getattr(job.run, key) for key in several)]
        groups[job.what, job.run.model, *(parts if job.what == "training" else [""] * len(parts))].append(job)
    rows = [[*key, *_numbers(group)] for key, group in groups.items()]
    keys = ["work", "model", "mode", "augmentation", *several]
    to_do = sum(job.what == "training" for job in waiting)
    lines = [f"Study {config.study}: {counted(resolve(config))}, {to_do} to do", ""]
    sides = ["left"] * len(keys) + ["right"] * 5
    header = [*keys, "jobs", "done", "to do", "images", "time"]
    lines.append(tabulate(rows, header, "simple", colalign=sides, disable_numparse=True))
    return [*lines, "", *time_left(waiting, device), "", *disk(config)]


def _numbers(jobs: Sequence[Job]) -> list[str]:
    waiting = [job for job in jobs if not job.done]
    images = sum(job.images for job in waiting)
    numbers = [str(number) for number in (len(jobs), len(jobs) - len(waiting), len(waiting))]
    return [*numbers, *(["?" if math.isnan(images) else f"{images:,}", total(waiting)] if waiting else ["-", "-"])]


def total(jobs: Sequence[Job]) -> str:
    """Return the time that jobs take, one after another."""
    return duration(sum(job.seconds for job in jobs))


def time_left(waiting: Sequence[Job], device: str) -> list[str]:
    """Return what is known of the time that jobs take."""
    if not waiting:
        return ["Time: nothing is left to train; tables, figures and the page take minutes."]
    known = [job for job in waiting if not math.isnan(job.seconds)]
    if not known:
        return [f"Time: not known. No run on {device} is finished, and rates.csv has no rates for these models."]
    lines = [f"Time: {total(known)} on {device}, one job after another. Each start adds seconds."]
    if len(known) < len(waiting):
        unknown = len(waiting) - len(known)
        lines.append(f"      Not counted: {unknown} of {len(waiting)} jobs, whose rates are not known.")
    return [*lines, "      Rates: of finished runs on this device, else of resources/rates.csv."]


# ---- images ----


def images(config: Config, dataset: str) -> dict[int, int]:
    """Return magnification -> number of images, by the manifest or by what the dataset will hold; empty if not known."""
    settings = config.datasets[dataset]
    if found := _manifest(Path(config.path(paths.MANIFEST, dataset=dataset))):
        return found
    made = settings.synthetic
    if settings.format == "bach":
        return {0: 4 * made.patients_per_class * made.images_per_patient if made else BACH}
    if made:
        return dict.fromkeys(made.magnifications, 2 * made.patients_per_class * made.images_per_patient)
    return _official() if settings.format == "breakhis" and settings.complete else {}


@cache
def _official() -> dict[int, int]:
    return Counter(identity.magnification for identity in breakhis.official())


@cache
def _manifest(path: Path) -> dict[int, int]:
    try:
        return Counter(int(row["magnification"]) for row in read_csv(path, ["magnification"])) if path.exists() else {}
    except (TypeError, ValueError):  # the job that reads it says what is wrong
        return {}


def sides(config: Config, run: Run) -> tuple[float, float]:
    """Return how many images a run trains on and how many it evaluates."""
    found = images(config, run.dataset)
    if not found:
        return UNKNOWN, UNKNOWN
    here = found.get(run.magnification, 0)
    tested = round(here / max(config.splits[run.split].folds, 2))
    return here - tested, tested


# ---- jobs ----


def training(config: Config, device: str) -> Iterator[Job]:
    """Yield every training run."""
    for run in config.runs:
        counts, mode = sides(config, run), config.mode(run.model, run.mode)
        if mode.prompts:  # nothing is trained
            # A CLIP compares one stored embedding with every caption.
            counts = 0, counts[1] * (1 if config.from_embeddings(run.model, run.mode) else len(mode.prompts))
        epochs = mode.epochs if mode.classifier == "linear" else 1  # others are computed at once
        done = is_up_to_date(Path(config.path(paths.RUN, **vars(run))), config.specification(run))
        # Evaluating is faster than training, but no run records its rate.
        found = measured(config, run, device)
        train, evaluate = (found, found) if found else tabled(config, run, device)
        seconds = epochs * (counts[0] / train + counts[1] / evaluate)
        yield Job("training", config.path(paths.PREDICTIONS, **vars(run)), run, done, epochs * sum(counts), seconds)


def shared_work(config: Config, device: str) -> list[Job]:
    """Return what runs share, each once: visual tokens, embeddings, predictions on other datasets."""
    jobs: dict[str, Job] = {}
    steps_of = {True: ["evaluation"], False: ["tokens", "evaluation"]}

    def add(what: str, path: str, run: Run, done: bool, passes: float, *steps: str) -> None:
        seconds = sum(passes / rate(config, run.model, step, device) for step in steps)
        if path not in jobs or jobs[path].done:  # tokens are done for one run and not for another
            jobs[path] = Job(what, path, run, done, passes, seconds)

    for run in config.runs:
        counts, head = sides(config, run), config.from_embeddings(run.model, run.mode)
        tokens = config.tokens(run.model, run.mode) and (not head or config.embeds_tokens(run.model))
        views = {(run.augmentation, config.views(run.model, run.mode, run.augmentation)), (config.unaugmented, 1)}
        for augmentation, count in sorted(views) if head or tokens else ():
            seed = config.feature_seed(run.model, augmentation, run.seed)
            place = vars(run) | {"augmentation": augmentation, "seed": seed, "views": count}
            place["prompt"] = config.prompt(run) if head else None
            normal = config.normalised(run)
            pattern = paths.NORMALISED_FEATURES if normal else paths.FEATURES
            passes, embeddings = sum(counts) * count, config.path(pattern, **place, **normal)
            if tokens:  # deleted when no job needs them any more
                done = Path(embeddings if head else config.path(paths.PREDICTIONS, **vars(run))).exists()
                add("visual tokens", config.path(paths.TOKENS, **place), run, done, passes, "tokens")
            if head:
                steps = steps_of[not is_vlm(config.models[run.model].family) or tokens]
                add("embeddings", embeddings, run, Path(embeddings).exists(), passes, *steps)
    for on, scale, run in config.external_runs:
        path = config.path(paths.EXTERNAL, on=on, scale=scale, **vars(run))
        passes = (sum(images(config, on).values()) or UNKNOWN) * (tiles.MOST**2 if scale == "matched" else 1)
        steps = steps_of[not is_vlm(config.models[run.model].family)]
        add(f"predictions on {on}", path, run, Path(path).exists(), passes, *steps)
    for run in config.stress_runs:
        path, passes = config.path(paths.STRESS, **vars(run)), sides(config, run)[1] * len(CONDITIONS)
        steps = steps_of[not is_vlm(config.models[run.model].family)]
        add("altered images", path, run, Path(path).exists(), passes, *steps)
    return list(jobs.values())


# ---- rates, in images per second ----


@cache
def _rows() -> list[dict[str, str]]:
    lines = RATES.read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def forget_rates() -> None:
    """Read rates.csv again when a rate is next asked for."""
    _rows.cache_clear()


def is_device(name: str, wanted: str) -> bool:
    """Tell whether a device is the wanted one, which may be given by a part of its name, for example `H200`."""
    return name == wanted or f" {wanted.upper()} " in f" {name.upper()} "


def published(config: Config, model: str) -> str:
    """Return what a model is known by, `torchvision/vgg19` or its repository; empty for a narrowed one or another size."""
    settings = config.models[model].settings
    name = getattr(settings.weights, "hub", "")
    if isinstance(settings, CnnSettings):
        name = settings.architecture if settings.width == 1 else ""
    return name if settings.image_size == RATES_SIZE else ""


def rate(config: Config, model: str, mode: str, device: str, micro_batch: int = 0) -> float:
    """Return the rate that rates.csv has for a model; of several micro-batches, that of the largest up to `micro_batch`."""
    key, best = (published(config, model), mode), UNKNOWN
    for row in _rows():
        if (row["model"], row["mode"]) == key and is_device(row["device"], device):
            best = float(row["images_per_second"]) if int(row["micro_batch"] or 0) <= micro_batch else best
    return best


def tabled(config: Config, run: Run, device: str) -> tuple[float, float]:
    """Return a run's rates of training and evaluation by rates.csv."""
    mode = config.mode(run.model, run.mode)
    tuned = "lora live" if mode.vision == "live" else "lora"
    kind = tuned if is_vlm(config.models[run.model].family) else "training"  # at most, where a part is trained
    kind = {"head": "head", "none": "evaluation"}.get(mode.trainable, kind)
    train = rate(config, run.model, kind, device, mode.micro_batch or mode.batch_size)
    if kind == "training" and config.augmentations[run.augmentation]:  # which goes on beside training
        train = float(np.minimum(train, rate(config, run.model, "augmented", device)))  # NaN if either is
    return train, rate(config, run.model, "evaluation", device)


KIND = ("trainable", "lora", "classifier", "bag")
"""Keys of a recipe that decide how fast it trains."""


@cache
def _records(model: str, mode: str) -> list[dict]:
    rest = ("dataset", "data_key", "split", "magnification", "augmentation", "run_key", "seed", "fold")
    pattern = paths.RECORD.format(model=model, mode=mode, **dict.fromkeys(rest, "*"))
    return [record(path.parent) for path in Path().glob(pattern)]


def measured(config: Config, run: Run, device: str) -> float | None:
    """Return the median rate of training of the finished runs like this one on a device; None if there are none."""
    like = config.specification(run).model_dump(mode="json")
    rates = []
    for content in _records(run.model, run.mode):
        made = content.get("specification", {})
        same = all(made.get(key) == like[key] for key in ("model", "augmentation"))
        same = same and all(made["recipe"].get(key) == like["recipe"].get(key) for key in KIND)
        if same and is_device(content.get("device", ""), device) and content.get("images_per_second"):
            rates.append(content["images_per_second"])
    return median(rates) if rates else None


# ---- disk ----


def needs(config: Config) -> dict[str, float]:
    """Return how many bytes of each kind are still to come."""
    parts = defaultdict(list)
    for name in config.used_datasets:
        if config.datasets[name].url and not Path(config.source(name)).exists():
            parts["archives of images"].append(ARCHIVES.get(config.datasets[name].format, UNKNOWN))
    for model in dict.fromkeys(run.model for run in config.runs):
        if config.models[model].weights != "random" and not Path(config.path(paths.WEIGHTS, model=model)).exists():
            parts["pretrained weights"].append(WEIGHTS.get(published(config, model), UNKNOWN))
    stores: dict[str, tuple[str, int, int]] = {}
    for on, scale, run in [*((run.dataset, "squashed", run) for run in config.runs), *config.external_runs]:
        size = config.models[run.model].image_size
        if scale == "matched":
            path, each = config.path(paths.TILES, **vars(run), size=size, on=on, scale=scale), tiles.MOST**2
        else:
            path, each = config.path(paths.PIXELS, dataset=on, size=size), 1
        stores[path] = on, size, each
    normalised = {}
    for run in config.runs:
        if normal := config.normalised(run):
            size = config.models[run.model].image_size
            path = config.path(paths.NORMALISED, **vars(run), **normal, size=size)
            normalised[path] = 3.0 * size**2 * sum(sides(config, run))
    parts["normalised pixels"] = [size for path, size in normalised.items() if not Path(path).exists()]
    for path, (dataset, size, each) in stores.items():
        if not Path(path).exists():
            parts["pixels"].append(3.0 * size**2 * each * (sum(images(config, dataset).values()) or UNKNOWN))
    for job in shared_work(config, ""):
        if job.what == "visual tokens" and not job.done:
            parts["visual tokens"].append(TOKENS.get(published(config, job.run.model), UNKNOWN) * job.images)
    # Each store of tokens is deleted before the next one is made.
    return {
        what: float(np.max(sizes) if what == "visual tokens" else sum(sizes)) for what, sizes in parts.items() if sizes
    }


def disk(config: Config) -> list[str]:
    """Return what a study still needs on the disk as a table, and what is free."""
    rows = [[what, amount(size)] for what, size in needs(config).items()]
    free = f"Disk: {amount(shutil.disk_usage(Path()).free)} free in this folder."
    return [tabulate(rows, ["disk", "to come"], "simple", colalign=["left", "right"]), "", free] if rows else [free]


if __name__ == "__main__":
    run_tool(main)
