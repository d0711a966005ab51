"""Which device a job takes, on pretended machines, and leases among true processes and pretended GPUs."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from histobench.io.errors import HistoBenchError
from histobench.training import gpu_lease
from histobench.training.gpu_lease import Gpu

LIBRARY = Path(__file__).parents[2] / "workflow"
ONE = [Gpu(0, "a")]
TWO = [Gpu(0, "a"), Gpu(1, "b")]
CPU, LEASED = ("cpu", [], False), ("cuda", TWO, True)


@pytest.mark.parametrize(
    ("name", "share", "seen", "mps", "expected"),
    [
        ("auto", 1, TWO, False, LEASED),
        ("auto", 4, TWO, True, LEASED),
        ("auto", 1, [], True, ("mps", [], False)),
        ("auto", 1, [], False, CPU),
        ("auto", 0, TWO, True, CPU),
        ("cuda", 0, TWO, False, CPU),
        ("cuda:1", 1, TWO, False, ("cuda", [TWO[1]], True)),
        ("mps", 1, [], True, ("mps", [], False)),
        ("cpu", 1, TWO, True, CPU),
    ],
)
def test_the_device_of_a_job_outside_a_queue(name, share, seen, mps, expected):
    assert gpu_lease.candidates(name, share, seen, mps, {"CUDA_VISIBLE_DEVICES": "0,1"}) == expected


JOBS = {"SLURM_JOB_ID": "7", "PBS_JOBID": "7.host", "LSB_JOBID": "7", "SGE_TASK_ID": "undefined"}


@pytest.mark.parametrize("variable", JOBS)
def test_the_device_of_a_batch_job(variable, caplog):
    """A single assigned GPU needs no lease, several do; a GPU that was not assigned belongs to somebody else."""
    job = {variable: JOBS[variable]}
    assert gpu_lease.candidates("auto", 1, ONE, False, job | {"CUDA_VISIBLE_DEVICES": "3"}) == ("cuda", ONE, False)
    assert gpu_lease.candidates("auto", 1, TWO, False, job | {"SLURM_JOB_GPUS": "2,3"}) == LEASED
    assert not caplog.records
    assert gpu_lease.candidates("auto", 1, TWO, False, job) == CPU
    assert "no GPU is assigned to this job" in caplog.text
    assert gpu_lease.candidates("cuda", 1, TWO, False, job) == LEASED


def test_a_pod_owns_what_it_sees():
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert gpu_lease.candidates("auto", 1, ONE, False, pod) == ("cuda", ONE, False)
    assert gpu_lease.candidates("auto", 1, [], False, pod) == CPU


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cuda:2", "--device cuda:2: PyTorch finds 2 CUDA GPUs on this machine; choose another, or auto or cpu"),
        ("mps", "--device mps: PyTorch finds no Apple GPU on this machine; choose auto or cpu"),
        ("cuda:", "--device cuda:: is not a known device; write auto, cpu, cuda, cuda:N or mps"),
        ("gpu", "--device gpu: is not a known device; write auto, cpu, cuda, cuda:N or mps"),
    ],
)
def test_an_absent_device_is_named(name, message):
    with pytest.raises(HistoBenchError) as caught:
        gpu_lease.candidates(name, 1, TWO, False, {})
    assert str(caught.value) == message


JOB = """
import os, random, sys, time
from histobench.training.gpu_lease import Gpu, lease

record, uuids, share, seconds, user = sys.argv[1:6]
file = os.open(record, os.O_APPEND | os.O_WRONLY)
def note(event, uuid):  # the time is taken, and the line written, while the lease is held
    os.write(file, f"{time.monotonic_ns()} {event} {uuid} {share} {os.getpid()}\\n".encode())
names = uuids.split(",")
random.shuffle(names)  # as processes with other CUDA_VISIBLE_DEVICES see them
if int(user):
    os.setgroups([])
    os.setuid(int(user))
    os.umask(0o077)
gpu = lease([Gpu(index, uuid) for index, uuid in enumerate(names)], int(share))
assert names[gpu.index] == gpu.uuid
note("enter", gpu.uuid)
time.sleep(float(seconds))
note("leave", gpu.uuid)
"""


class Machine:
    """Pretended GPUs, the folder of their leases, and the record of who was on them."""

    def __init__(self, root: Path) -> None:
        self.root, self.record, self.leases = root, root / "record.txt", root / "leases"
        self.started: list[subprocess.Popen[str]] = []
        self.record.touch()
        (root / "job.py").write_text(JOB)

    def start(self, uuids: str, share: int, seconds: float, user: int = 0) -> subprocess.Popen[str]:
        """Start a job that holds one of the GPUs for some seconds."""
        given = [self.record, uuids, share, seconds, user]
        environment = os.environ | {"PYTHONPATH": str(LIBRARY), "HISTOBENCH_LEASES": str(self.leases)}
        command = [sys.executable, str(self.root / "job.py"), *map(str, given)]
        self.started.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
        return self.started[-1]

    def events(self) -> list[tuple[int, str, str, int, int]]:
        """Return time, event, UUID, share and process of each line, in the order of time."""
        lines = [line.split() for line in self.record.read_text().splitlines()]
        return sorted((int(when), event, uuid, int(share), int(pid)) for when, event, uuid, share, pid in lines)

    def entered(self, process: subprocess.Popen[str]) -> str:
        """Wait until a process is on a GPU, and return that."""
        while True:
            for _, event, uuid, _, pid in self.events():
                if event == "enter" and pid == process.pid:
                    return uuid
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)

    def kill(self, process: subprocess.Popen[str]) -> None:
        """Kill a holder, which is on its GPU until the signal is sent."""
        uuid = self.entered(process)
        with self.record.open("a") as file:
            file.write(f"{time.monotonic_ns()} leave {uuid} 0 {process.pid}\n")
        process.kill()
        process.communicate()

    def most_at_once(self) -> dict[str, int]:
        """Return how many jobs were on each GPU at once at most; require that none had more than it allows."""
        present: dict[str, dict[int, int]] = {}
        most: dict[str, int] = {}
        for _, event, uuid, share, pid in self.events():
            here = present.setdefault(uuid, {})
            if event == "enter":
                here[pid] = share
            else:
                here.pop(pid)
            assert not here or len(here) <= min(here.values()), f"{uuid} is overfull: {here}"
            most[uuid] = max(most.get(uuid, 0), len(here))
        assert not any(present.values()), "a job never left"
        return most


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    for process in machine.started:  # of a test that failed
        process.kill()


def test_eight_jobs_at_a_time_on_three_gpus_with_killed_holders(machine):
    chance = random.Random(5)
    kinds = [chance.choice((1, 2, 2, 2)) for _ in range(40)]
    killed = set(chance.sample(range(40), 12))

    def job(number: int) -> int | None:
        process = machine.start("a,b,c", kinds[number], 0.1 + (number % 4) / 10 + 60 * (number in killed))
        if number in killed:
            machine.kill(process)
        else:
            process.communicate()
        return process.returncode

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(job, range(40)))
    assert codes == [-signal.SIGKILL if number in killed else 0 for number in range(40)]
    most = machine.most_at_once()
    assert set(most) == {"a", "b", "c"}
    assert max(most.values()) == 2  # some did share
    entered = [event for event in machine.events() if event[1] == "enter"]
    assert sorted(share for _, _, _, share, _ in entered) == sorted(kinds)


def test_a_job_waits_for_a_whole_gpu_and_says_so_once(machine):
    small = [machine.start("a", 2, 60) for _ in range(2)]
    for process in small:
        machine.entered(process)
    large = machine.start("a", 1, 0)
    assert large.stderr.readline() == "waiting for a GPU: other jobs hold the leases of all 1\n"
    machine.kill(small[0])
    time.sleep(1)
    assert large.poll() is None
    machine.kill(small[1])
    assert large.communicate()[1] == ""
    assert machine.most_at_once() == {"a": 2}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_users_share_a_machine_whatever_their_masks(machine):
    with tempfile.TemporaryDirectory(dir="/tmp") as place:  # pytest's own is closed to others
        Path(place).chmod(0o777)
        machine.record.chmod(0o666)
        machine.leases = Path(place, "leases")
        holder = machine.start("a", 1, 60, 65534)
        machine.entered(holder)
        waiting = machine.start("a", 1, 0, 65533)
        assert waiting.stderr.readline().startswith("waiting for a GPU")
        machine.kill(holder)
        waiting.communicate()
        assert waiting.returncode == 0
    machine.most_at_once()


def test_a_folder_that_cannot_be_used_is_named(tmp_path, monkeypatch):
    (tmp_path / "leases").touch()
    monkeypatch.setenv("HISTOBENCH_LEASES", str(tmp_path / "leases"))
    with pytest.raises(
        HistoBenchError, match=r"leases: cannot be used for the leases of GPUs .*; set HISTOBENCH_LEASES"
    ):
        gpu_lease.lease(ONE, 1)
