"""A study that is killed, and started again by the same command: it goes on, to the numbers of an undisturbed run."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from histobench.study import paths
from tests.workflow.conftest import TINY, Project, copy_project, loaded

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")]

MODES = {"ft": {"epochs": 60, "batch_size": 4}, "ft-other": {"epochs": 40, "batch_size": 8}}
NAMES = {
    "dataset": "made-up",
    "model": "small",
    "split": "patient",
    "augmentation": "none",
    "magnification": 40,
    "seed": 0,
    "fold": 1,
}
LONG = yaml.safe_load(TINY.read_text())
LONG["modes"] |= MODES
RUNS = [loaded(LONG).path(paths.RUN, mode=mode, **NAMES) for mode in MODES]
COMMAND = ["--configfile", "config/long.yaml", "--set-threads", "train=1", "--resources", "gpu=2", "--cores", "2"]
COMMAND += ["--nolock", *(f"{run}/predictions.csv" for run in RUNS)]


def wait_for(condition, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def long(tmp_path):
    """Make copies of the project that train two networks for many short epochs; end what is left of them."""
    made: list[Project] = []

    def copy(name: str) -> Project:
        project = copy_project(tmp_path / name)
        made.append(project)
        grid = [LONG["grid"][0] | {"models": ["small"], "modes": [*MODES]}]
        project.configure("long", modes=LONG["modes"], grid=grid, checkpoint_seconds=0)
        return project

    yield copy
    for project in made:
        for process in project.processes():
            os.kill(process, signal.SIGKILL)


def jobs(project: Project) -> list[int]:
    return [
        number for number, words in project.processes().items() if any("scripts/train.py" in word for word in words)
    ]


def results(project: Project) -> dict[str, object]:
    """Return what must not depend on interruptions: predictions, and histories without their columns of seconds."""
    found: dict[str, object] = {}
    for run in RUNS:
        found[f"{run}/predictions"] = (project.folder / run / "predictions.csv").read_bytes()
        lines = [line.split(",") for line in (project.folder / run / "history.csv").read_text().splitlines()]
        columns = [number for number, name in enumerate(lines[0]) if not name.endswith("seconds")]
        found[f"{run}/history"] = [[line[number] for number in columns] for line in lines]
    return found


def kill_everything(project: Project, snakemake: subprocess.Popen[str]) -> None:
    for process in project.processes():
        os.kill(process, signal.SIGKILL)


def kill_snakemake(project: Project, snakemake: subprocess.Popen[str]) -> None:
    """Its jobs must not outlive it."""
    snakemake.kill()
    wait_for(lambda: not jobs(project), 20)


def terminate_a_job(project: Project, snakemake: subprocess.Popen[str]) -> None:
    os.kill(jobs(project)[0], signal.SIGTERM)


def interrupt(project: Project, snakemake: subprocess.Popen[str]) -> None:
    os.killpg(snakemake.pid, signal.SIGINT)


def test_a_study_killed_in_every_way_ends_as_if_nothing_had_happened(long):
    calm, disturbed = long("calm"), long("disturbed")
    calm.snakemake(*COMMAND)
    output = disturbed.folder / "output.txt"
    for kill in (kill_everything, kill_snakemake, terminate_a_job, interrupt, None):
        began = time.time()
        with output.open("a") as file:
            snakemake = disturbed.start(*COMMAND, stdout=file, start_new_session=True)
        checkpoints = [disturbed.folder / run / "checkpoint.pt" for run in RUNS]

        def is_training(paths=checkpoints, since=began):
            return any(path.exists() and path.stat().st_mtime > since for path in paths)

        if kill:
            wait_for(is_training)
            assert snakemake.poll() is None, output.read_text()
            kill(disturbed, snakemake)
        assert (snakemake.wait() == 0) == (kill is None), output.read_text()
    assert results(disturbed) == results(calm)
    records = [json.loads((disturbed.folder / run / "run.json").read_text()) for run in RUNS]
    assert max(record["resumed_from"] or 0 for record in records) >= 1
    assert not list((disturbed.folder / "results").rglob("checkpoint.pt"))
    text = output.read_text()
    assert "Directory cannot be locked" not in text
    assert "IncompleteFiles" not in text
    assert jobs(disturbed) == []


def test_a_second_make_ends_with_a_message_and_the_first_finishes(long):
    project = long("one")
    command = ("reproduce", "ARGS=" + " ".join(word for word in COMMAND if word != "--nolock"))
    first = project.make(*command, start_new_session=True)
    wait_for(lambda: bool(jobs(project)))
    second = project.make(*command)
    assert "error: another make is running jobs in this folder" in second.communicate()[0]
    assert second.returncode != 0
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()

    def is_running() -> bool:
        return any("histobench.tools.run" in words for words in project.processes().values())

    wait_for(lambda: not is_running())  # make's children are killed with it, but end a moment later
    third = project.make(*command)  # nothing has to be unlocked
    assert "error" not in third.communicate()[0]
    assert third.returncode == 0
