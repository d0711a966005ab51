"""The demo from nothing to the page: wall time, core-seconds of all its processes, and how they divide among the jobs."""

import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

from benchmarks import say
from tests.workflow.conftest import copy_project

PR_SET_CHILD_SUBREAPER = 36


def run(place: Path, originals: Path | None, cold: bool) -> None:
    """Run the demo, and once more without the launcher if `cold`."""
    report("with the launcher", place / "demo", "1")
    if cold:
        report("without it, HISTOBENCH_LAUNCHER=0", place / "cold", "0")


def report(title: str, folder: Path, launcher: str) -> None:
    """Run the demo in a copy of the project and print what it took."""
    project = copy_project(folder)
    # The launcher's processes leave their parents; a subreaper inherits them, and so their processor time.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "snakemake", "--workflow-profile", "workflow/profiles/demo"],
        cwd=project.folder,
        env=os.environ | {"HISTOBENCH_LAUNCHER": launcher, "HISTOBENCH_LAUNCHER_IDLE": "2"},
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wall = time.perf_counter() - start
    while True:  # until the last of the launcher's processes has ended
        try:
            os.wait()
        except ChildProcessError:
            break
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    say(f"make demo, {title}: {wall:.0f} s, {spent:.0f} core-seconds")
    kinds = defaultdict(list)
    for path in project.folder.glob("results/*/runs/*/*/*/*/*/*/run.json"):
        record = json.loads(path.read_text())
        kinds[path.parts[-7], path.parts[-6]].append(record["seconds"])
    for (model, mode), seconds in sorted(kinds.items()):
        total, start_up, training = (median(job[key] for job in seconds) for key in ("total", "start_up", "training"))
        say(
            f"  {model:20} {mode:4} {len(seconds):3} runs: {total:6.2f} s, start {start_up:5.2f}, training {training:6.2f}"
        )
