"""A study that is killed again and again, and restarted by the same command, must end with the very same numbers.

Part `soak` of `make bench` does it with the demo; `python -m benchmarks.soak` with any configuration.
"""

import argparse
import csv
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks import cores, say
from tests.workflow.conftest import Project, copy_project

DEMO = ("--workflow-profile", "workflow/profiles/demo")
KILLS = 20
UNCLEAR = ("Traceback", "Directory cannot be locked", "IncompleteFiles")
"""What Snakemake must not print."""
Snakemake = subprocess.Popen[str]


def start(project: Project, command: Sequence[str]) -> Snakemake:
    """Start Snakemake as the leader of a process group, as a shell does; its output is appended to output.txt.

    Checkpoints are written as often as they can, since the study lasts a minute or two.
    """
    with (project.folder / "output.txt").open("a") as output:
        return project.start(
            "--nolock", *command, "--config", "checkpoint_seconds=0", stdout=output, start_new_session=True
        )


def jobs(project: Project) -> list[int]:
    """Return the processes of jobs: scripts, and clients of the launcher."""
    found = project.processes().items()
    return [process for process, words in found if any("scripts/" in word for word in words[1:4])]


def results(folder: Path) -> dict[str, object]:
    """Return what must not depend on interruptions: every prediction, and every history but for its seconds."""
    found: dict[str, object] = {}
    for path in sorted(folder.glob("results/*/**/*.csv")):
        name = str(path.relative_to(folder))
        if path.name == "predictions.csv" or "/predictions/" in name:
            found[name] = path.read_bytes()
        elif path.name == "history.csv":
            with path.open(newline="") as file:
                rows = list(csv.DictReader(file))
            found[name] = [{key: row[key] for key in row if not key.endswith("_seconds")} for row in rows]
    return found


# ---- ways to be killed; each tells whether there was something to kill ----


def send(number: int, *processes: int, group: bool = False) -> bool:
    """Send a signal to processes, or to process groups; tell whether any of them was there."""
    sent = False
    for process in processes:
        with suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(process, number)
            sent = True
    return sent


def kill_server(project: Project, _snakemake: Snakemake) -> bool:
    """Kill the launcher's server while it has jobs: these are its children, with the same command line."""
    servers = [process for process, words in project.processes().items() if "--serve" in words]
    return len(servers) > 1 and send(signal.SIGKILL, *servers)


def one_job(number: int) -> "Way":
    return lambda project, _: send(number, *random.sample(some := jobs(project), min(1, len(some))))


Way = Callable[[Project, Snakemake], bool]
WAYS: dict[str, Way] = {
    # As a loss of power or an out-of-memory killer does.
    "SIGKILL of everything": lambda project, _: send(signal.SIGKILL, *project.processes()),
    "SIGKILL of Snakemake": lambda _, snakemake: send(signal.SIGKILL, snakemake.pid),
    "SIGKILL of the launcher's server": kill_server,
    "SIGTERM of a job": one_job(signal.SIGTERM),
    "SIGKILL of a job": one_job(signal.SIGKILL),
    # As the end of a container, Ctrl-C, and a closed terminal do.
    "SIGTERM of Snakemake": lambda _, snakemake: send(signal.SIGTERM, snakemake.pid),
    "SIGINT of the group": lambda _, snakemake: send(signal.SIGINT, snakemake.pid, group=True),
    "SIGHUP of the group": lambda _, snakemake: send(signal.SIGHUP, snakemake.pid, group=True),
}


# ---- the soak ----


@dataclass
class Disturbed:
    """What came of a study that was killed again and again."""

    kills: list[tuple[float, str]]
    """When, in seconds since the first start, and how."""
    starts: int
    seconds: float


def disturb(project: Project, command: Sequence[str], ways: Sequence[str], longest: float) -> Disturbed:
    """Run the study, killing it in these ways, one after another, and restarting it until it is complete.

    A kill comes at a random moment, at most `longest` seconds after the first job of a start has begun. The study may be
    complete before all ways were used.
    """
    kills, starts, began = [], 0, time.monotonic()
    while True:
        snakemake = start(project, command)
        starts += 1
        if len(kills) < len(ways):
            while snakemake.poll() is None and not jobs(project):
                time.sleep(0.1)
            time.sleep(random.uniform(0, longest))
            way = ways[len(kills)]
            while snakemake.poll() is None:
                if WAYS[way](project, snakemake):
                    kills.append((time.monotonic() - began, way))
                    break
                time.sleep(0.05)
        if snakemake.wait() == 0:
            return Disturbed(kills, starts, time.monotonic() - began)
        if starts > len(ways) + 3:
            sys.exit(f"the study does not finish\n{(project.folder / 'output.txt').read_text()[-3000:]}")


def leftovers(project: Project) -> list[str]:
    """Return what a complete study must not have: parts of files, checkpoints, jobs, and certain messages."""
    found = [path for name in (".*.partial", "checkpoint.pt") for path in (project.folder / "results").rglob(name)]
    left = [f"left over: {path.relative_to(project.folder)}" for path in found]
    left += [f"still running: {' '.join(project.processes().get(job, []))[:200]}" for job in jobs(project)]
    output = (project.folder / "output.txt").read_text(errors="replace")
    texts = [text + output.partition(text)[2][:3000] for text in UNCLEAR if text in output]
    return left + [text for text in texts if "KeyboardInterrupt" not in text]  # Python's worker processes at Ctrl-C


def soak(folder: Path, command: Sequence[str], kills: int, seed: int) -> bool:
    """Run a study undisturbed and disturbed, print what became of it, and tell whether the results are the same."""
    random.seed(seed)
    os.environ |= {"HISTOBENCH_LAUNCHER": "1", "HISTOBENCH_LAUNCHER_IDLE": "10"}
    calm, began = copy_project(folder / "calm"), time.monotonic()
    if start(calm, command).wait():
        sys.exit(f"the undisturbed study failed\n{(calm.folder / 'output.txt').read_text()[-3000:]}")
    wall, expected = time.monotonic() - began, results(calm.folder)
    say(f"undisturbed: {wall:.0f} s, {len(expected)} predictions and histories; {cores()} cores, seed {seed}")
    # Every way once, then any.
    ways = random.sample(list(WAYS), len(WAYS)) + random.choices(list(WAYS), k=max(0, kills - len(WAYS)))
    done: list[str] = []
    total, copies, faults = 0.0, 0, 0
    while len(done) < kills:
        copies += 1
        project = copy_project(folder / f"disturbed{copies}")
        try:
            # So that a start makes some progress before it is killed, and the study is killed several times.
            disturbed = disturb(project, command, ways[len(done) : kills], max(5.0, 2.5 * wall / kills))
            found = leftovers(project)
        finally:
            send(signal.SIGKILL, *project.processes())
        moments = ", ".join(f"{seconds:.0f}" for seconds, _ in disturbed.kills)
        say(
            f"copy {copies}: killed at {moments} s, complete after {disturbed.seconds:.0f} s, {disturbed.starts} starts"
        )
        ours = results(project.folder)
        found += [
            f"different: {name}" for name in expected.keys() | ours.keys() if expected.get(name) != ours.get(name)
        ]
        for line in sorted(found):
            say(f"  {line}")
        faults += len(found)
        done += [way for _, way in disturbed.kills]
        total += disturbed.seconds
        shutil.rmtree(project.folder)
    for way, count in Counter(done).most_common():
        say(f"  {count:3d}  {way}")
    say(f"wall time: {total / copies:.0f} s for a study instead of {wall:.0f} s, one kill every {total / kills:.0f} s")
    say(
        f"after {len(done)} kills {f'there were {faults} faults' if faults else 'all files are the same, byte for byte'}"
    )
    return not faults


def run(folder: Path, _originals: Path | None, _cold: bool) -> None:
    """Kill the demo."""
    if not soak(folder, DEMO, KILLS, seed=1):
        sys.exit("interruptions changed the results, or left something behind")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS, help=f"how many, at least ({KILLS})")
    parser.add_argument("--seed", type=int, default=1, help="of the ways and the moments (1)")
    parser.add_argument("snakemake", nargs="*", default=DEMO, help="after --: arguments of Snakemake (the demo's)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="histobench-soak-") as folder:
        sys.exit(not soak(Path(folder), given.snakemake, given.kills, given.seed))


if __name__ == "__main__":
    main()
