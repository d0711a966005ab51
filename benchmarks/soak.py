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
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import cores, say
from tests.workflow.conftest import copy_project

DEMO = ("--workflow-profile", "workflow/profiles/demo")
KILLS = 20


@dataclass(frozen=True)
class Job:
    """A client of the warm server, or a script that is run directly."""

    process: int
    output: str
    """What it is to write, relative to the project; a training job's is its predictions.csv."""
    age: float
    """Seconds since it was started."""


@dataclass
class Copy:
    """A copy of the project, with caches and sockets of its own, so that its processes can be told from all others."""

    folder: Path
    command: Sequence[str]
    """Arguments of Snakemake."""
    snakemake: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    """When, in seconds since 1970."""

    def __post_init__(self) -> None:
        self.private.mkdir(parents=True)
        copy_project(self.folder)

    @property
    def private(self) -> Path:
        return self.folder / "private"

    def start(self) -> None:
        """Start Snakemake as the leader of a process group, as a shell does; its output is appended to a file."""
        environment = {
            name: value for name, value in os.environ.items() if name not in ("XDG_RUNTIME_DIR", "PYTHONPATH")
        }
        environment |= {
            "TMPDIR": str(self.private),
            "XDG_CACHE_HOME": str(self.private),
            "HISTOBENCH_WARM": "1",
            "HISTOBENCH_WARM_IDLE": "10",
        }
        self.started = time.time()
        with (self.folder / "output.txt").open("ab") as output:
            self.snakemake = subprocess.Popen(
                [sys.executable, "-m", "snakemake", *self.command],
                cwd=self.folder, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def finish(self) -> bool:
        """Wait for Snakemake; tell whether the study is complete."""
        assert self.snakemake
        return self.snakemake.wait() == 0

    def output(self) -> str:
        """Return what Snakemake has written so far, in all its runs."""
        return (self.folder / "output.txt").read_text(errors="replace")

    def processes(self) -> Iterator[tuple[int, list[str]]]:
        """Yield every process of this copy and its command line: Snakemake, shells, jobs, warm servers."""
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
                there = (process / "cwd").readlink() == self.folder
                if there or any(str(self.private) in word for word in words):
                    yield int(process.name), words

    def jobs(self) -> list[Job]:
        """Return the jobs that are running."""
        found = []
        for process, words in self.processes():
            script = next((word for word in words[:4] if word.endswith(".py") and "/scripts/" in word), None)
            if script and "--output" in words:
                with suppress(OSError):
                    started = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19])
                    age = time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")
                    found.append(Job(process, words[words.index("--output") + 1], age))
        return found

    def servers(self) -> list[int]:
        """Return the warm server's processes, also those that became jobs."""
        return [process for process, words in self.processes() if "--serve" in words]

    def results(self) -> dict[str, object]:
        """Return what must not depend on interruptions: every prediction, and every history but for its seconds."""
        found: dict[str, object] = {}
        for path in sorted(self.folder.glob("results/*/**/*.csv")):
            name = str(path.relative_to(self.folder))
            if path.name == "predictions.csv" or "/predictions/" in name:
                found[name] = path.read_bytes()
            elif path.name == "history.csv":
                found[name] = [{k: v for k, v in row.items() if not k.endswith("_seconds")} for row in rows(path)]
        return found


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# ---- ways to be killed; each tells whether there was something to kill ----


def _one(process: int, number: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(process, number)
        return True
    return False


def kill_everything(copy: Copy, _random: random.Random) -> bool:
    """End all processes at once, as a loss of power or an out-of-memory killer does."""
    return sum([_one(process, signal.SIGKILL) for process, _ in list(copy.processes())]) > 0


def kill_snakemake(copy: Copy, _random: random.Random) -> bool:
    """SIGKILL of Snakemake alone; its jobs have lost it."""
    assert copy.snakemake
    return _one(copy.snakemake.pid, signal.SIGKILL)


def kill_server(copy: Copy, _random: random.Random) -> bool:
    """SIGKILL of the warm server; its jobs die with it."""
    servers = copy.servers()
    return len(servers) > 1 and sum([_one(process, signal.SIGKILL) for process in servers]) > 0


def terminate_job(copy: Copy, choice: random.Random) -> bool:
    """SIGTERM of one job, as a queue does."""
    jobs = copy.jobs()
    return bool(jobs) and _one(choice.choice(jobs).process, signal.SIGTERM)


def kill_job(copy: Copy, choice: random.Random) -> bool:
    """SIGKILL of one job."""
    jobs = copy.jobs()
    return bool(jobs) and _one(choice.choice(jobs).process, signal.SIGKILL)


def terminate_snakemake(copy: Copy, _random: random.Random) -> bool:
    """SIGTERM of Snakemake alone, as the end of a container."""
    assert copy.snakemake
    return _one(copy.snakemake.pid, signal.SIGTERM)


def interrupt(copy: Copy, _random: random.Random) -> bool:
    """Ctrl-C: SIGINT to the whole process group."""
    return _group(copy, signal.SIGINT)


def hang_up(copy: Copy, _random: random.Random) -> bool:
    """A closed terminal: SIGHUP to the whole process group."""
    return _group(copy, signal.SIGHUP)


def _group(copy: Copy, number: int) -> bool:
    assert copy.snakemake
    with suppress(ProcessLookupError):
        os.killpg(copy.snakemake.pid, number)
        return True
    return False


Way = Callable[[Copy, random.Random], bool]
WAYS: dict[str, Way] = {
    "SIGKILL of everything": kill_everything,
    "SIGKILL of Snakemake": kill_snakemake,
    "SIGKILL of the warm server": kill_server,
    "SIGTERM of a job": terminate_job,
    "SIGKILL of a job": kill_job,
    "SIGTERM of Snakemake": terminate_snakemake,
    "SIGINT of the group": interrupt,
    "SIGHUP of the group": hang_up,
}


# ---- the soak ----


@dataclass
class Disturbed:
    """What came of a study that was killed again and again."""

    kills: list[tuple[float, str, int]] = field(default_factory=list)
    """When, in seconds since the first start; how; and how many training jobs were running."""
    starts: int = 0
    seconds: float = 0.0
    lost: dict[str, list[float]] = field(default_factory=dict)
    """Run -> seconds of training, each time it was killed, that were in no checkpoint."""
    unclear: list[str] = field(default_factory=list)
    """Tracebacks, and locks that were not freed: there must be none."""


def at_work(copy: Copy) -> bool:
    """Tell whether the first job of this start has begun."""
    return bool(copy.jobs())


def disturb(
    copy: Copy,
    ways: Sequence[str],
    choice: random.Random,
    longest: float,
    ready: Callable[[Copy], bool] = at_work,
) -> Disturbed:
    """Run the study, killing it in these ways, one after another, at random moments, and restarting it.

    A moment is at most `longest` seconds after a start is `ready`. Ends when the study is complete, which may be before
    all ways had their turn.
    """
    disturbed, left, began = Disturbed(), list(ways), time.monotonic()
    while True:
        copy.start()
        disturbed.starts += 1
        training, now = [], 0.0
        if left:
            assert copy.snakemake
            while copy.snakemake.poll() is None and not ready(copy):
                time.sleep(0.1)
            moment = time.monotonic() + choice.uniform(0, longest)
            killed = False
            while copy.snakemake.poll() is None and not killed:
                time.sleep(max(0.05, moment - time.monotonic()))
                training = [job for job in copy.jobs() if job.output.endswith("/predictions.csv")]
                now = time.time()
                killed = copy.snakemake.poll() is None and WAYS[left[0]](copy, choice)
            if killed:
                disturbed.kills.append((time.monotonic() - began, left.pop(0), len(training)))
        complete = copy.finish()
        for job in training:
            run = copy.folder / job.output
            checkpoint = run.with_name("checkpoint.pt")
            if not run.exists():
                # A checkpoint of an earlier start is older than the job, which has not lost what it did not do.
                since = now - checkpoint.stat().st_mtime if checkpoint.exists() else job.age
                disturbed.lost.setdefault(job.output, []).append(max(0.0, min(since, job.age)))
        if complete:
            break
        if not left and disturbed.starts > len(ways) + 3:
            sys.exit(f"the study does not finish\n{copy.output()[-3000:]}")
    disturbed.seconds = time.monotonic() - began
    output = copy.output()
    for text in ("Traceback", "Directory cannot be locked", "IncompleteFiles"):
        found = output.partition(text)[2][:3000]
        if found and "KeyboardInterrupt" not in found:  # which Python's own worker processes print at Ctrl-C
            disturbed.unclear.append(text + found)
    return disturbed


def differences(one: dict[str, object], other: dict[str, object]) -> list[str]:
    """Return the files that only one has, or that differ."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def leftovers(copy: Copy) -> list[str]:
    """Return what a complete study should not hold: parts of files, checkpoints, locks; and processes still at work."""
    names = (".*.partial", "checkpoint.pt", "finished.json")
    left = [
        str(path.relative_to(copy.folder)) for name in names for path in copy.folder.joinpath("results").rglob(name)
    ]
    left += [str(path.relative_to(copy.folder)) for path in copy.folder.glob(".snakemake/jobs.*.lock")]
    return left + [" ".join(words)[:200] for _, words in copy.processes() if any("/scripts/" in word for word in words)]


def soak(folder: Path, command: Sequence[str], kills: int, seed: int) -> bool:
    """Run a study undisturbed and disturbed, print what became of it, and tell whether the results are the same."""
    choice = random.Random(seed)
    calm = Copy(folder / "calm", command)
    began = time.monotonic()
    calm.start()
    if not calm.finish():
        sys.exit(f"the undisturbed study failed\n{calm.output()[-3000:]}")
    wall = time.monotonic() - began
    expected = calm.results()
    runs = [rows(path) for path in calm.folder.glob("results/*/runs/**/history.csv")]
    epochs = sum(map(len, runs))
    training = sum(float(row["train_seconds"]) + float(row["validation_seconds"]) for run in runs for row in run)
    say(f"undisturbed: {wall:.0f} s, {len(runs)} runs of {epochs} epochs together; {cores()} cores, seed {seed}")

    # So that a start gets on with some jobs before it is killed, and the study bears several kills.
    spread = max(5.0, 2.5 * wall / kills)
    same, clean, done, total, lost, starts, copies = True, True, 0, 0.0, [], 0, 0
    counted: Counter[str] = Counter()
    # Every way once, then any.
    ways = choice.sample(list(WAYS), len(WAYS)) + choice.choices(list(WAYS), k=max(0, kills - len(WAYS)))
    while done < kills:
        copies += 1
        copy = Copy(folder / f"disturbed{copies}", command)
        try:
            disturbed = disturb(copy, ways[done:kills], choice, spread)
            left = leftovers(copy)
        finally:
            kill_everything(copy, choice)
        done, total, starts = done + len(disturbed.kills), total + disturbed.seconds, starts + disturbed.starts
        counted.update(way for _, way, _ in disturbed.kills)
        lost += [seconds for each in disturbed.lost.values() for seconds in each]
        moments = ", ".join(f"{seconds:.0f}" for seconds, _, _ in disturbed.kills)
        say(
            f"copy {copies}: killed at {moments} s, {disturbed.starts} starts, complete after {disturbed.seconds:.0f} s"
        )
        for name in differences(expected, copy.results()):
            same = False
            say(f"  DIFFERENT: {name}")
        for text in [*disturbed.unclear, *left]:
            clean = False
            say(f"  LEFT OVER OR UNCLEAR: {text}")
        shutil.rmtree(copy.folder)
    say(f"\n{done} kills, {starts} starts of the same command; {len(expected)} files compared")
    for way, count in counted.most_common():
        say(f"  {count:3d}  {way}")
    pauses = total / copies - wall
    say(f"wall time: {total / copies:.0f} s instead of {wall:.0f} s, {pauses / done * copies:.1f} s for a kill")
    say(f"throughput: {wall * copies / total:.1%} of the undisturbed study's, one kill every {total / done:.0f} s")
    say(
        f"training repeated: about {sum(lost):.1f} s of {training * copies:.1f} s, "
        f"{sum(lost) / training * epochs:.1f} of {epochs * copies} epochs; {len(lost)} jobs were stopped"
    )
    say(f"every prediction and history is {'the same, byte for byte' if same else 'NOT the same'}")
    return same and clean


def run(folder: Path, _originals: Path | None, _cold: bool) -> None:
    """Kill the demo."""
    if not soak(folder, DEMO, KILLS, seed=1):
        sys.exit("interruptions changed the results, or left something behind")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS, help=f"how many, at least ({KILLS})")
    parser.add_argument("--seed", type=int, default=1, help="of the ways and the moments (1)")
    parser.add_argument(
        "snakemake", nargs="*", default=DEMO, help="after --: Snakemake's arguments; the demo's by default"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="histobench-soak-") as folder:
        sys.exit(not soak(Path(folder), given.snakemake, given.kills, given.seed))


if __name__ == "__main__":
    main()
