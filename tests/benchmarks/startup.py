"""What of the paper's 280 runs is not arithmetic: starting jobs, checkpoints, Snakemake. The demo's is part `demo`."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from histobench.study.config import Config
from histobench.tools.estimate import Estimate, Job
from histobench.tools.rates import Rates, named
from tests.benchmarks import jobs, say, truesize
from tests.benchmarks.jobs import Spent
from tests.workflow.conftest import copy_project

GPU = "H200"
SIDE_BY_SIDE = (1, 2, 4)  # jobs on the GPU: `gpu_slots`
CONTEXT = 1.5  # assumed: seconds in which a job opens the GPU and its libraries load their kernels
TO_DEVICE = 4e9  # assumed: bytes of parameters per second from the page cache to the GPU
BYTES = {"alexnet": 228e6, "vgg19": 558e6, "resnet34": 85e6, "qwen2-vl-2b": 2.6e9, "smolvlm": 3.2e9}  # of a job
ROUNDS = 3

EXPLANATION = f"""
  launch, set-up   from the start of the launcher to the script's first line, and from there to the first batch
  end              from the last batch to the end of the launcher: writing results, ending processes
  copy, write      a checkpoint after each epoch but the last: before, both held training up; now the copy does, and the
                   writing where it takes longer than the next epoch
  processor        processor seconds of launch, set-up and end
  Measured: all of these, with the true scripts, models at true width, weights files of true size in the page cache, the whole
  manifest, frozen parameters in bf16; forward and backward passes are left out. Medians of {ROUNDS} in turn; checkpoints after
  one epoch to warm up. Snakemake runs the paper's true rules, each with a shell command that ends at once.
  Assumed: {CONTEXT} s to open the GPU in every job; parameters go there at {TO_DEVICE / 1e9:.0f} GB/s. Arithmetic by
  histobench.tools.estimate at the rates of `make plan` for one {GPU} (assumed shares of its data sheet's peak); augmentation on
  processors is not in it. Jobs side by side share the GPU without loss, those of vision-language models have it alone, linear
  probes use none; start-up takes the processor as long as on an idle machine. Downloading, decoding, statistics and figures
  are left out.
  share            of the time until all is done, that in which the GPU computes nothing"""


@dataclass(frozen=True)
class Work:
    """A job, to the simulation."""

    before: float
    """Seconds until it computes."""
    computing: float
    """Seconds of arithmetic with the GPU to itself."""
    after: float
    """Seconds in which it holds its place without computing: checkpoints, and its end."""
    whole: bool
    """Needs the GPU to itself."""


def run(folder: Path, _originals: Path | None, _cold: bool) -> None:
    """Measure jobs of every kind, warm and cold, and Snakemake; print the share of the paper's study."""
    place = truesize.Place(folder / "study", truesize.study())
    place.write_dataset()
    spent: dict[tuple[str, str], dict[bool, Spent]] = {}
    say("Jobs of the paper's study, seconds")
    say(
        f"  {'':<30}{'cold: launch':>14}{'set-up':>8}{'end':>7}{'processor':>11}"
        f"{'warm: launch':>15}{'set-up':>8}{'end':>7}{'processor':>11}{'copy':>8}{'write':>7}"
    )
    models: set[str] = set()
    with jobs.warm_server(folder):
        for kind, model, script, arguments in jobs.kinds(place):
            if model not in models:
                place.write_model(model)
                models.add(model)
            both = jobs.measured(place, script, arguments, ROUNDS)
            spent[kind, model] = both
            cold, warm = both[False], both[True]
            say(
                f"  {kind + ', ' + model:<30}{cold.launch:14.2f}{cold.set_up:8.2f}{cold.end:7.2f}{cold.processor:11.2f}"
                f"{warm.launch:15.2f}{warm.set_up:8.2f}{warm.end:7.2f}{warm.processor:11.2f}"
                + (f"{warm.copied:8.2f}{warm.written:7.2f}" if warm.written else "")
            )
    count, seconds, processor = snakemake(folder / "snakemake")
    say(
        f"\nSnakemake: {count} jobs of the paper's study that end at once: {seconds:.1f} s, {1000 * seconds / count:.0f} ms a job, "
        f"{processor:.1f} processor-seconds"
    )
    report(place.study, spent, seconds / count)
    say(EXPLANATION)


def report(study: Config, spent: dict[tuple[str, str], dict[bool, Spent]], overhead: float) -> None:
    """Print the start-up of each kind of job in the study, and its share of the whole."""
    estimate, rates = Estimate(study), Rates(study, named(GPU), {})
    say(f"\nThe paper's study on one {GPU}, one job after another, seconds:")
    say(f"  {'':<30}{'jobs':>5}{'arithmetic':>12}{'start-up before':>17}{'now':>8}")
    rows: dict[tuple[str, str], list[tuple[Work, Work]]] = {}
    for job in estimate.jobs:
        key = kind_of(study, job)
        rows.setdefault(key, []).append(
            (work(study, job, rates, spent[key], overhead, False), work(study, job, rates, spent[key], overhead, True))
        )
    total: list[tuple[Work, Work]] = []
    for (kind, model), pairs in rows.items():
        total += pairs
        line(f"{kind}, {model}", pairs)
    line("all", total)
    say(f"\n  {'':<30}{'before: share':>15}{'hours':>8}{'now: share':>14}{'hours':>8}")
    for slots in SIDE_BY_SIDE:
        text = ""
        for now, width in ((0, 15), (1, 14)):
            works = [pair[now] for pair in total]
            makespan = simulated(works, slots)
            text += f"{1 - computing(works) / makespan:{width}.1%}{makespan / 3600:8.2f}"
        say(f"  {f'{slots} side by side' if slots > 1 else 'one after another':<30}{text}")


def line(name: str, pairs: Sequence[tuple[Work, Work]]) -> None:
    starts = [sum(pair[now].before + pair[now].after for pair in pairs) for now in (0, 1)]
    say(
        f"  {name:<30}{len(pairs):5d}{sum(first.computing for first, _ in pairs):12.0f}{starts[0]:17.0f}{starts[1]:8.0f}"
    )


def computing(works: Sequence[Work]) -> float:
    return sum(work.computing for work in works)


def kind_of(study: Config, job: Job) -> tuple[str, str]:
    """Return kind and model of the job that was measured for this one."""
    match job.kind:
        case "train":
            match study.recipe(job.model, job.mode).trainable:
                case "head":
                    return "linear probe", "qwen2-vl-2b"
                case "lora":
                    return "LoRA", job.model
                case _:
                    assert job.run
                    augmented = bool(study.augmentations[job.run.augmentation]) and job.model == "resnet34"
                    return ("CNN, paper" if augmented else "CNN, none"), job.model
        case "features":
            return "embeddings", job.model
        case kind:
            return kind, job.model


def work(study: Config, job: Job, rates: Rates, spent: dict[bool, Spent], overhead: float, now: bool) -> Work:
    """Return a job of the study: as plain Snakemake and checkpoints that training waits for would have it, or as it is now."""
    took, recipe = spent[now], study.recipe(job.model, job.mode)
    kind, _ = kind_of(study, job)
    seconds = job.operations / rates(job)
    gpu = 0 if kind == "linear probe" else CONTEXT + BYTES[job.model] / TO_DEVICE
    waits = 0.0
    if job.kind == "train":
        epoch = seconds / recipe.epochs
        written = max(0.0, took.written - epoch) if now else took.written
        waits = (recipe.epochs - 1) * (took.copied + written)
    vlm = study.models[job.model].family != "cnn" and kind != "linear probe"
    return Work(overhead + took.launch + took.set_up + gpu, seconds, waits + took.end, vlm)


def simulated(works: Sequence[Work], slots: int) -> float:
    """Return the seconds until all jobs are done, `slots` of them side by side on one GPU that they share without loss."""
    waiting, clock = list(works), 0.0
    running: list[tuple[Work, list[float]]] = []
    while waiting or running:
        while waiting:
            taken = sum(slots if work.whole else 1 for work, _ in running)
            if taken + (slots if waiting[0].whole else 1) > slots:
                break
            work = waiting.pop(0)
            running.append((work, [work.before, work.computing, work.after]))
        sharing = sum(left[0] <= 0 < left[1] for _, left in running)
        phases = [next((number for number in range(3) if left[number] > 0), 2) for _, left in running]
        rates = [1 / sharing if phase == 1 else 1.0 for phase in phases]
        step = min(left[phase] / rate for (_, left), phase, rate in zip(running, phases, rates, strict=True))
        clock += step
        for (_, left), phase, rate in zip(running, phases, rates, strict=True):
            left[phase] -= step * rate
            if left[phase] < 1e-9:
                left[phase] = 0
        running = [item for item in running if any(item[1])]
    return clock


def snakemake(place: Path) -> tuple[int, float, float]:
    """Run the paper's rules with jobs that end at once; return the jobs, and Snakemake's seconds of clock and processor."""
    place.mkdir()
    copy_project(place)
    for file in (place / "workflow" / "rules").glob("*.smk"):
        text = re.sub(
            r"^    shell:\n(?:        .*\n)+", '    shell:\n        "touch {output}"\n', file.read_text(), flags=re.M
        )
        file.write_text(text)
    command = [sys.executable, "-m", "snakemake", "--set-threads", "train=1", "predict=1", "features=1", "tokens=1"]
    began = time.monotonic()
    with subprocess.Popen(
        command, cwd=place, env=jobs.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        output = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"snakemake failed\n{output[-3000:]}")
    found = re.findall(r"(\d+) of \1 steps", output)
    return int(found[-1]), time.monotonic() - began, usage.ru_utime + usage.ru_stime
