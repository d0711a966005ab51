"""Whose turn it is, with true processes: what holds a kernel lock must be able to die."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from histobench.io.errors import HistoBenchError
from histobench.study import lifetime

LIBRARY = Path(lifetime.__file__).parents[2]

# A stand-in for Snakemake: it takes its turn, starts jobs, says so, and waits.
SNAKEMAKE = """
import os, subprocess, sys, time
from pathlib import Path
from histobench.study import lifetime
folder = Path(sys.argv[1])
turn = lifetime.take(folder)
(folder / "locks").mkdir()
(folder / "locks/0.input.lock").write_text("a")
environment = os.environ | {lifetime.JOBS: str(turn.jobs)}
jobs = [subprocess.Popen([sys.executable, "-c", job], env=environment) for job in sys.argv[2:]]
print(*(job.pid for job in jobs), flush=True)
time.sleep(60)
"""
# A job that takes its time to end: it says when it is asked to, and ends when it may.
SLOW = """
import signal, sys, time
from pathlib import Path
from histobench.io.errors import run_script
def asked(number, frame):
    Path("{folder}/asked").write_text(signal.Signals(number).name)
    while not Path("{folder}/may-end").exists():
        time.sleep(0.01)
    sys.exit()
def main():
    Path("{folder}/began").touch()
    time.sleep(60)
signal.signal(signal.SIGUSR1, asked)
run_script(main)
"""
QUICK = "import time; from histobench.io.errors import run_script; run_script(lambda: time.sleep(60))"


@pytest.fixture
def start(tmp_path):
    """Start a stand-in for Snakemake; return it and the processes of its jobs."""
    started = []

    def start(*jobs):
        command = [
            sys.executable,
            "-c",
            SNAKEMAKE,
            str(tmp_path),
            *(job.replace("{folder}", str(tmp_path)) for job in jobs),
        ]
        environment = os.environ | {"PYTHONPATH": str(LIBRARY)}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        numbers = list(map(int, process.stdout.readline().split()))
        started.extend([process.pid, *numbers])
        return process, numbers

    yield start
    for process in started:
        if Path(f"/proc/{process}/cmdline").exists():
            os.kill(process, signal.SIGKILL)


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ended(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def holder(folder):
    return (folder / "histobench.lock").read_text()


def test_a_turn_is_taken_and_given_back(tmp_path):
    turn = lifetime.take(tmp_path)
    assert json.loads(holder(tmp_path))["process"] == os.getpid()
    with pytest.raises(HistoBenchError, match=f"another Snakemake is running jobs .*process {os.getpid()} on "):
        lifetime.take(tmp_path)
    turn.end()
    assert [path.name for path in tmp_path.iterdir()] == ["histobench.lock"]
    assert holder(tmp_path) == ""
    lifetime.take(tmp_path).end()


def test_a_living_snakemake_is_named_and_nothing_of_it_is_touched(tmp_path, start):
    process, _ = start()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(
        HistoBenchError, match=rf"end it with `kill -INT {process.pid}`, and run the same command again$"
    ):
        lifetime.take(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_locks_of_a_dead_one_are_removed(tmp_path, start):
    process, _ = start()
    process.kill()
    process.wait()
    assert (tmp_path / "locks/0.input.lock").exists()
    turn = lifetime.take(tmp_path)
    assert not (tmp_path / "locks").exists()
    assert len(list(tmp_path.glob("jobs.*"))) == 1
    turn.end()


@pytest.mark.parametrize("host", ["here", "elsewhere"])
def test_another_machines_locks_are_left_to_snakemake(tmp_path, start, host):
    process, _ = start()
    process.kill()
    process.wait()
    record = json.loads(holder(tmp_path)) | {"boot": "of another time"}
    if host == "elsewhere":
        record["host"] = "another machine"
    (tmp_path / "histobench.lock").write_text(json.dumps(record))
    turn = lifetime.take(tmp_path)
    # The same machine after a restart is still the same machine.
    assert (turn is None) == (host == "elsewhere")
    assert (tmp_path / "locks").exists() == (host == "elsewhere")
    if host == "elsewhere":
        assert json.loads(holder(tmp_path)) == record


def test_locks_that_a_dead_one_did_not_leave_are_left_to_snakemake(tmp_path):
    lifetime.take(tmp_path).end()
    (tmp_path / "locks").mkdir()
    lifetime.take(tmp_path).end()
    assert (tmp_path / "locks").exists()


def test_without_kernel_locks_snakemakes_own_decide(tmp_path, monkeypatch):
    def refused(descriptor, operation):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(lifetime.fcntl, "flock", refused)
    assert lifetime.take(tmp_path) is None
    monkeypatch.setattr(lifetime.fcntl, "flock", lambda descriptor, operation: None)  # a pretender keeps nobody out
    assert lifetime.take(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == ["histobench.lock"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_jobs_end_when_their_snakemake_dies_and_the_next_waits_until_they_have(tmp_path, start):
    process, (quick, slow) = start(QUICK, SLOW)
    wait_for((tmp_path / "began").exists)
    assert not ended(quick)
    process.kill()
    process.wait()
    wait_for(lambda: ended(quick))
    wait_for((tmp_path / "asked").exists)
    assert (tmp_path / "asked").read_text() == "SIGUSR1"

    said = []
    monkey = lifetime._ENDING_SECONDS
    lifetime._ENDING_SECONDS = 0.2
    try:
        with pytest.raises(HistoBenchError, match="jobs of a Snakemake that was killed are still running"):
            lifetime.take(tmp_path, said.append)
    finally:
        lifetime._ENDING_SECONDS = monkey
    assert said == ["Jobs of a Snakemake that was killed are ending; waiting for them."]
    assert (tmp_path / "locks").exists()
    (tmp_path / "may-end").touch()
    turn = lifetime.take(tmp_path, said.append)
    assert ended(slow)
    turn.end()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_job_that_begins_after_its_snakemake_has_ended_ends_at_once(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(LIBRARY), lifetime.JOBS: str(tmp_path / "jobs.gone.lock")}
    job = subprocess.run([sys.executable, "-c", QUICK], env=environment, check=False)
    assert job.returncode == -signal.SIGUSR1


def test_a_script_run_by_hand_follows_nobody(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != lifetime.JOBS}
    code = "from histobench.io.errors import run_script; import threading; run_script(lambda: print(threading.active_count()))"
    environment |= {"PYTHONPATH": str(LIBRARY)}
    assert subprocess.check_output([sys.executable, "-c", code], env=environment, text=True) == "1\n"
