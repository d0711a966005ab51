"""A study through the queue of a true Slurm: jobs that it ends too early come back, and the results are the local ones."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

import pytest
import yaml

from histobench.study import paths
from tests.slurm import cluster
from tests.workflow.conftest import TINY, Project, copy_project, loaded

pytestmark = pytest.mark.slow

STUDY = ("--configfile", "config/queue.yaml")
# Snakemake's plugin asks Slurm 11, 21, 31 ... s after a question that found no ended job, which is most of the time here.
SNAKEMAKE = """
from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

RemoteExecutor.next_seconds_between_status_checks = property(lambda self: 2, lambda self, seconds: None)
main()
"""
THREADS = (
    "--set-threads",
    *(f"{rule}=1" for rule in ("train", "features", "tokens", "synthesize", "manifest", "pixels")),
)
SCORES = "results/studies/queue/metrics.csv"
MODES = yaml.safe_load(TINY.read_text())["modes"]
MODES["long"] = MODES["ft"] | {"trainable": "all", "epochs": 40}
NAMES = {
    "dataset": "made-up",
    "mode": "long",
    "split": "patient",
    "magnification": 40,
    "augmentation": "none",
    "seed": 0,
}
QUEUE = loaded(yaml.safe_load(TINY.read_text()) | {"modes": MODES})
LONG = {
    f"{model}/fold{fold}": QUEUE.path(paths.RUN, model=model, fold=fold, **NAMES)
    for model in ("small", "smaller")
    for fold in (1, 2)
}
TIMED_OUT, CANCELLED, REQUEUED, _ = LONG
# No limit is shorter than a minute.
ENDED = {
    TIMED_OUT: "scontrol update JobId={} TimeLimit=1",
    CANCELLED: "scancel {}",
    REQUEUED: "scontrol requeue {}",
}


@pytest.fixture(scope="module")
def slurm() -> Iterator[dict[str, str]]:
    """The environment of a running cluster's users."""
    if reason := cluster.missing():
        pytest.skip(reason)
    with cluster.cluster(cpus=32) as environment:
        yield {name: value for name, value in environment.items() if name != "PYTHONPATH"}


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> Project:
    """A finished study: every kind of submitted rule, and training runs long enough to be ended in the middle."""
    project = copy_project(tmp_path_factory.mktemp("local"))
    blocks = [(["small"], ["lp"]), (["tiny-vlm"], ["ft"]), (["small", "smaller"], ["long"])]
    grid = [
        {"dataset": "made-up", "models": models, "modes": modes, "augmentations": ["none"]}
        | {"splits": ["patient"], "magnifications": [40]}
        for models, modes in blocks
    ]
    project.configure("queue", study="queue", modes=MODES, grid=grid, checkpoint_seconds=0)
    project.snakemake(SCORES, *STUDY, *THREADS, "--cores", "2", "--resources", "gpu=2")
    return project


def training(project: Project, run: str) -> int | None:
    """Return the process that trains a run."""
    for process, words in project.processes().items():
        if any(word.endswith("/train.py") for word in words[:4]) and f"{run}/predictions.csv" in words:
            return process
    return None


def queue(environment: dict[str, str]) -> list[dict[str, str]]:
    """Return the jobs that Slurm has seen, in their order: number, state, limits, and the rule with its wildcards."""
    columns = {"job": "%i", "state": "%T", "time": "%l", "memory": "%m", "comment": "%k"}
    command = ["squeue", "--states=all", "--noheader", "--sort=i", "--format", "|".join(columns.values())]
    lines = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.splitlines()
    return [dict(zip(columns, line.split("|"), strict=True)) for line in lines]


def attempts(environment: dict[str, str], run: str) -> list[dict[str, str]]:
    model, fold = run.split("/fold")
    comment = f"rule_train_wildcards_made-up_\\w+_{model}_long_patient_40_none_\\w+_{fold}"
    return [job for job in queue(environment) if re.fullmatch(comment, job["comment"])]


def test_jobs_that_slurm_ends_too_early_come_back_and_end_as_if_undisturbed(local, slurm, tmp_path):
    project = Project(tmp_path / "queue")
    shutil.copytree(local.folder, project.folder, symlinks=True, ignore=shutil.ignore_patterns("results"))
    started = time.monotonic()
    with (tmp_path / "snakemake.log").open("w") as log:
        snakemake = subprocess.Popen(
            [
                sys.executable, "-c", SNAKEMAKE, SCORES, "--profile", "workflow/profiles/slurm", *STUDY, *THREADS,
                "--slurm-status-command", "squeue", "--jobs", "6", "--latency-wait", "10",
            ],
            cwd=project.folder, env=slurm, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        waiting = set(ENDED)
        while waiting:
            assert time.monotonic() < started + 300, (tmp_path / "snakemake.log").read_text()
            assert snakemake.poll() is None, (tmp_path / "snakemake.log").read_text()
            time.sleep(0.01)
            for run in [run for run in waiting if (project.folder / LONG[run] / "checkpoint.pt").exists()]:
                # It hangs, as on a file system that does not answer, until Slurm ends it.
                process = training(project, LONG[run])
                assert process
                os.kill(process, signal.SIGSTOP)
                job = attempts(slurm, run)[-1]["job"]
                subprocess.run([word.format(job) for word in ENDED[run].split()], env=slurm, check=True)
                waiting.remove(run)
        assert snakemake.wait(600) == 0, (tmp_path / "snakemake.log").read_text()
    finally:
        snakemake.kill()
        snakemake.wait()

    for path in sorted((local.folder / "results").glob("*/runs/**/predictions.csv")):
        assert (project.folder / path.relative_to(local.folder)).read_bytes() == path.read_bytes(), path
    records = {name: json.loads((project.folder / LONG[name] / "run.json").read_text()) for name in LONG}
    for run in ENDED:
        assert records[run]["resumed_from"] is not None, run  # the checkpoint may be of the first epoch
    assert not list((project.folder / "results").rglob("checkpoint.pt"))

    first, second = attempts(slurm, TIMED_OUT)
    command = ["scontrol", "show", "job", first["job"]]
    details = subprocess.run(command, env=slurm, check=True, capture_output=True, text=True).stdout
    assert "TresPerJob=gres:gpu:1" in details
    assert (first["state"], second["state"]) == ("TIMEOUT", "COMPLETED")
    assert (first["time"], second["time"]) == ("1:00", "8:00:00")  # twice the four hours of the profile
    first, second = attempts(slurm, CANCELLED)
    assert (first["state"], second["state"]) == ("CANCELLED", "COMPLETED")
    assert (first["memory"], second["memory"]) == ("24000M", "48000M")
    assert [job["state"] for job in attempts(slurm, REQUEUED)] == ["COMPLETED"]  # the same job, by Slurm itself
    submitted = {job["comment"].partition("_wildcards_")[0] for job in queue(slurm)}
    rules = ("synthesize", "manifest", "pixels", "check_arms", "features", "tokens", "train")
    assert submitted == {f"rule_{name}" for name in rules}
    assert project.jobs(SCORES, *STUDY) == {}  # for a Snakemake without a queue too


@pytest.fixture
def elsewhere(tmp_path) -> dict[str, str]:
    """The environment of a machine that has what Snakemake needs, but neither Slurm nor a GPU."""
    bin = tmp_path / "bin"
    bin.mkdir()
    for name in ("which", "bash", "sh", "env", "git"):
        if path := shutil.which(name):
            (bin / name).symlink_to(path)
    return {**os.environ, "PATH": str(bin), "CUDA_VISIBLE_DEVICES": ""}


def dry_run(project: Project, environment: dict[str, str], *arguments: str) -> dict[tuple[str, str], dict[str, str]]:
    """Return (rule, output) -> threads and resources of every job of the paper's study on Slurm."""
    command = [sys.executable, "-m", "snakemake", "--profile", "workflow/profiles/slurm", "-n", *arguments]
    environment = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
    result = subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    jobs = {}
    for block in re.split(r"^(?:local)?rule (?=\w+:\n)", result.stdout + result.stderr, flags=re.MULTILINE)[1:]:
        facts = dict(re.findall(r"^    (output|threads|resources): (.*)$", block, re.MULTILINE))
        if "resources" in facts:
            asked = dict(item.split("=", 1) for item in facts["resources"].split(", "))
            jobs[block.partition(":")[0], facts.get("output", "")] = asked | {"threads": facts.get("threads", "1")}
    return jobs


def test_the_papers_study_can_be_planned_where_there_is_neither_slurm_nor_a_gpu(project, elsewhere):
    jobs = dry_run(project, elsewhere)
    trained = [asked for (rule, _), asked in jobs.items() if rule == "train"]
    # The cores of this machine do not bound what is asked of another.
    asked = Counter((asked["threads"], asked["gpu"], asked["mem_mb"], asked["runtime"]) for asked in trained)
    assert asked == {("4", "0", "24000", "240"): 120, ("4", "1", "24000", "240"): 220}
    again = dry_run(project, elsewhere, "--attempt", "2")
    assert again.keys() == jobs.keys()
    for job, asked in jobs.items():
        if job[0] != "all":
            assert all(int(again[job][name]) == 2 * int(asked[name]) for name in ("mem_mb", "runtime")), job


def test_only_the_queue_limits_what_is_submitted_at_once(project, monkeypatch):
    """The default profile's single GPU and cores are this machine's."""
    from snakemake.cli import parse_args

    monkeypatch.chdir(project.folder)
    for words, limited in ((["--profile", "workflow/profiles/slurm"], False), ([], True)):
        monkeypatch.setattr(sys, "argv", ["snakemake", *words])
        _, given = parse_args(words)
        assert bool(dict(given.resources)) is limited
        assert given.rerun_triggers == parse_args([])[1].rerun_triggers
        assert given.jobs == (None if limited else 100)
