"""Which device a job takes, on pretended machines, and leases among true processes and pretended GPUs."""

import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
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
    ],
)
def test_an_absent_device_is_named(name, message):
    with pytest.raises(HistoBenchError) as caught:
        gpu_lease.candidates(name, 1, TWO, False, {})
    assert str(caught.value) == message


JOB = """
import os, sys, time
from pathlib import Path
from histobench.training.gpu_lease import Gpu, lease

uuids, share, user, alone = sys.argv[1:]
if int(user):
    os.setgroups([])
    os.setuid(int(user))
    os.umask(0o077)
gpu = lease([Gpu(index, uuid) for index, uuid in enumerate(uuids.split(","))], int(share))
print(gpu.uuid, flush=True)
if alone:  # nobody else is on the GPU
    (folder := Path(alone, gpu.uuid)).mkdir()
    time.sleep(0.05)
    folder.rmdir()
else:
    sys.stdin.read()
"""
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def leases(tmp_path: Path) -> Path:
    return tmp_path / "leases"


@pytest.fixture
def start(leases: Path) -> Iterator[Start]:
    """Start a job that prints the GPU that it has leased, and holds it until it is killed."""
    started = []

    def job(uuids: str, share: int, user: int = 0, alone: str = "", folder: Path = leases) -> "subprocess.Popen[str]":
        environment = os.environ | {"PYTHONPATH": str(LIBRARY), "HISTOBENCH_LEASES": str(folder)}
        command, pipe = [sys.executable, "-c", JOB, uuids, str(share), str(user), alone], subprocess.PIPE
        started.append(subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield job
    for process in started:
        process.kill()
        process.communicate()


def waits(process: "subprocess.Popen[str]", gpus: int = 1) -> None:
    """Require that a job says that it waits, and that it goes on waiting."""
    assert process.stderr.readline() == f"waiting for a GPU: other jobs hold the leases of all {gpus}\n"
    time.sleep(0.6)  # it tries again each quarter of a second
    assert not select.select([process.stdout, process.stderr], [], [], 0)[0]


def test_jobs_share_gpus_and_wait_for_a_free_slot_until_a_holder_is_killed(start):
    holders = [start("a,b", 2) for _ in range(4)]
    assert sorted(process.stdout.readline() for process in holders) == ["a\n", "a\n", "b\n", "b\n"]
    fifth = start("a,b", 2)
    waits(fifth, 2)
    holders[2].kill()
    assert fifth.stdout.readline() in ("a\n", "b\n")


def test_a_job_waits_for_a_whole_gpu_and_says_so_once(start):
    small = [start("a", 2) for _ in range(2)]
    assert [process.stdout.readline() for process in small] == ["a\n", "a\n"]
    large = start("a", 1)
    waits(large)
    small[0].kill()
    time.sleep(0.6)
    waiting = start("a", 2)
    assert waiting.stdout.readline() == "a\n"  # a whole GPU is not reserved
    small[1].kill()
    waiting.kill()
    assert large.stdout.readline() == "a\n"
    waits(start("a", 2))


def test_jobs_that_start_at_once_are_alone_on_whole_gpus(start, tmp_path):
    jobs = [start("a,b", 1, alone=str(tmp_path)) for _ in range(8)]
    assert [process.wait(60) for process in jobs] == [0] * 8


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_users_share_a_machine_whatever_their_masks(start):
    with tempfile.TemporaryDirectory(dir="/tmp") as place:  # pytest's own is closed to others
        Path(place).chmod(0o777)
        holder = start("a", 1, 65534, folder=Path(place, "leases"))
        assert holder.stdout.readline() == "a\n"
        waiting = start("a", 1, 65533, folder=Path(place, "leases"))
        waits(waiting)
        holder.kill()
        assert waiting.stdout.readline() == "a\n"


def test_a_folder_that_cannot_be_used_is_named(tmp_path, monkeypatch):
    (tmp_path / "leases").touch()
    monkeypatch.setenv("HISTOBENCH_LEASES", str(tmp_path / "leases"))
    with pytest.raises(
        HistoBenchError, match=r"leases: cannot be used for the leases of GPUs .*; set HISTOBENCH_LEASES"
    ):
        gpu_lease.lease(ONE, 1)
