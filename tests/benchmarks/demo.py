"""Where the time of `make demo` goes: arithmetic, start-up of jobs, Snakemake."""

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

from tests.benchmarks import ROOT, cores, say

PROJECT = ("config", "scripts", "workflow", "envs", "resources/paper")
WIDE = ("synthesize", "manifest", "pixels")  # the rules that ask for 8 threads; in the demo all others hold one core
EXPLANATION = """
  arithmetic  training + validation seconds of each run.json; they include reading and augmenting images
  start-up    wall time of the training jobs, by Snakemake's benchmark files, less their arithmetic: shell, interpreter,
              imports, set-up (building the network, opening files) and writing the results
  images      wall time of these jobs times the cores they hold; their own start-up is in it
  other jobs  wall time of folds, score, count_parameters and the tables, which compute next to nothing
  no job      core-seconds in which no job ran: Snakemake's own start and scheduling, and cores that waited
  all told    everything but the training arithmetic and the images"""


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
    results = place / "results"
    for file in results.rglob("benchmarks/**/*.tsv"):
        with file.open() as lines:
            seconds = float(next(csv.DictReader(lines, delimiter="\t"))["s"])
        parts = file.relative_to(results).parts  # benchmarks/RULE/... or, of a training job, DATASET/benchmarks/RUN.tsv
        rule = parts[1] if parts[0] == "benchmarks" else "train"
        held[rule] += seconds * (min(8, cores()) if rule in WIDE else 1)
        if rule == "train":
            record = results.joinpath(parts[0], "runs", *parts[2:]).with_suffix("") / "run.json"
            inside = json.loads(record.read_text())["seconds"]
            computing = inside["training"] + inside["validation"]
            steps["before the script"].append(seconds - inside["total"])
            steps["set-up"].append(inside["start_up"])
            steps["arithmetic"].append(computing)
            steps["writing"].append(inside["total"] - inside["start_up"] - computing)
    available, occupied = wall * cores(), sum(held.values())
    arithmetic, images = sum(steps["arithmetic"]), sum(held[rule] for rule in WIDE)
    rows = {
        "training: arithmetic": arithmetic,
        "training: start-up": held["train"] - arithmetic,
        "images: synthesize, manifest, pixels": images,
        "other jobs": occupied - held["train"] - images,
        "no job": available - occupied,
        "start-up, all told": available - arithmetic - images,
    }
    jobs = len(steps["arithmetic"])
    say(f"  {wall:.1f} s of wall time; {jobs} training jobs of {held['train']:.1f} s together, by the wall clock")
    say(f"  {'core-seconds':<38}{available:8.1f}")
    for name, seconds in rows.items():
        say(f"    {name:<36}{seconds:8.1f}  {seconds / available:6.1%}")
    say("  a training job, median seconds: " + ", ".join(f"{name} {median(each):.2f}" for name, each in steps.items()))


def demo(place: Path, warm: str) -> float:
    """Run the command of `make demo` in a copy of the project; return its wall time in seconds."""
    private = place / "private"  # caches, and the socket of the warm server, which ends soon after the last job
    private.mkdir(parents=True)
    for name in PROJECT:
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
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
