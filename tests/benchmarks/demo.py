"""Where the time of `make demo` goes: arithmetic, start-up of jobs, Snakemake."""

import csv
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

from tests.benchmarks import cores, say
from tests.workflow.conftest import copy_project

IMAGES = ("synthesize", "manifest", "pixels")
FEATURES = ("features", "tokens")
# As the rules ask; in the demo all others hold one core.
THREADS = dict.fromkeys(IMAGES, 8) | dict.fromkeys(FEATURES, 4)
KINDS = {"all": "CNN", "head": "linear probe", "lora": "LoRA"}  # by what the recipe trains
EXPLANATION = """
  arithmetic  training + validation seconds of each run.json; they include reading and augmenting images
  start-up    wall time of the training jobs, by Snakemake's benchmark files, less their arithmetic: shell, interpreter,
              imports, set-up (building the network, opening files) and writing the results
  images      wall time of these jobs times the cores they hold; their own start-up is in it
  features    the same of what frozen vision-language models compute once for all folds
  other jobs  wall time of folds, score, count_parameters and the tables, which compute next to nothing
  no job      core-seconds in which no job ran: Snakemake's own start and scheduling, and cores that waited
  all told    everything but the training arithmetic, the images and the features
  by arm      the share of training: start-up in the wall time of the training jobs of a kind, and medians of a job"""


def run(folder: Path, _originals: Path | None, cold: bool) -> None:
    """Run the demo in a copy of the project and print the parts of its time; with `cold`, in both ways."""
    report(
        "warm start, as `make demo` has it: training jobs are forked from a process that has PyTorch",
        folder / "warm",
        "1",
    )
    if cold:
        report("\ncold start, HISTOBENCH_WARM=0: every training job imports PyTorch", folder / "cold", "0")
    else:
        say("\ncold start: not run: give --cold")
    say(EXPLANATION)


def report(title: str, place: Path, warm: str) -> None:
    """Run the demo once at `place` with HISTOBENCH_WARM=`warm`, and print where its time went."""
    say(title)
    wall = demo(place, warm)
    held: dict[str, float] = defaultdict(float)  # rule -> wall seconds of its jobs, times the cores that they hold
    steps: dict[str, list[float]] = defaultdict(list)  # step of a training job -> seconds in each
    arms: dict[str, list[tuple[float, float]]] = defaultdict(list)  # kind of arm -> wall and computing seconds of each
    results = place / "results"
    for file in results.rglob("benchmarks/**/*.tsv"):
        with file.open() as lines:
            seconds = float(next(csv.DictReader(lines, delimiter="\t"))["s"])
        # benchmarks/RULE/..., or DATASET/benchmarks/RUN.tsv of a training job, DATASET/benchmarks/predict/... of a prediction
        parts = file.relative_to(results).parts
        rule = parts[1] if parts[0] == "benchmarks" else "predict" if parts[2] == "predict" else "train"
        held[rule] += seconds * min(THREADS.get(rule, 1), cores())
        if rule == "train":
            record = results.joinpath(parts[0], "runs", *parts[2:]).with_suffix("") / "run.json"
            ran = json.loads(record.read_text())
            inside, trainable = ran["seconds"], ran["specification"]["recipe"]["trainable"]
            computing = inside["training"] + inside["validation"]
            arms[KINDS[trainable]].append((seconds, computing))
            steps["before the script"].append(seconds - inside["total"])
            steps["set-up"].append(inside["start_up"])
            steps["arithmetic"].append(computing)
            steps["writing"].append(inside["total"] - inside["start_up"] - computing)
    available, occupied = wall * cores(), sum(held.values())
    arithmetic = sum(steps["arithmetic"])
    images, features = (sum(held[rule] for rule in rules) for rules in (IMAGES, FEATURES))
    rows = {
        "training: arithmetic": arithmetic,
        "training: start-up": held["train"] - arithmetic,
        "images: synthesize, manifest, pixels": images,
        "features: features, tokens": features,
        "other jobs": occupied - held["train"] - images - features,
        "no job": available - occupied,
        "start-up, all told": available - arithmetic - images - features,
    }
    jobs = len(steps["arithmetic"])
    say(f"  {wall:.1f} s of wall time; {jobs} training jobs of {held['train']:.1f} s together, by the wall clock")
    say(f"  {'core-seconds':<38}{available:8.1f}")
    for name, seconds in rows.items():
        say(f"    {name:<36}{seconds:8.1f}  {seconds / available:6.1%}")
    say("  a training job, median seconds: " + ", ".join(f"{name} {median(each):.2f}" for name, each in steps.items()))
    for kind, times in arms.items():
        held_by, inside_of = map(sum, zip(*times, strict=True))
        middle = " + ".join(f"{median(each):.2f}" for each in ([w - c for w, c in times], [c for _, c in times]))
        say(
            f"  {kind:<14}{len(times):4d} jobs, start-up {1 - inside_of / held_by:6.1%} (a job: {middle} s of arithmetic)"
        )


def demo(place: Path, warm: str) -> float:
    """Run the command of `make demo` in a copy of the project; return its wall time in seconds."""
    private = place / "private"  # caches, and the socket of the warm server, which ends soon after the last job
    private.mkdir(parents=True)
    copy_project(place)
    environment = {key: value for key, value in os.environ.items() if key != "XDG_RUNTIME_DIR"} | {
        "TMPDIR": str(private),
        "XDG_CACHE_HOME": str(private),
        "PYTHONPATH": str(place / "workflow"),
        "HISTOBENCH_WARM": warm,
        "HISTOBENCH_WARM_IDLE": "10",
    }
    command = [sys.executable, "-m", "snakemake", "--workflow-profile", "workflow/profiles/demo"]
    began = time.perf_counter()
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    result = subprocess.run(command, cwd=place, env=environment, check=False, **output)
    if result.returncode:
        sys.exit(f"the demo failed\n{result.stdout[-3000:]}")
    return time.perf_counter() - began
