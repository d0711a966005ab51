import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from histobench.io.errors import HistoBenchError
from histobench.training import devices, gpus


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_choose_sets_the_threads_and_finds_the_cpu():
    assert devices.choose("cpu", 1) == torch.device("cpu")
    assert torch.get_num_threads() == 1
    assert devices.choose("auto", 2).type in ("cuda", "mps", "cpu")
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("name", "threads", "message"),
    [
        ("cuda:99", 1, r"--device cuda:99: PyTorch finds .* on this machine; choose another, or auto or cpu"),
        ("gpu", 1, r"--device gpu: no such kind of device; write auto, cpu, cuda, cuda:N or mps"),
        ("cpu:1", 1, r"--device cpu:1: no such kind of device"),
        ("cuda:x", 1, r"--device cuda:x: no such kind of device"),
        ("cpu", 0, r"--threads 0: at least 1 thread"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(name, threads, message):
    with pytest.raises(HistoBenchError, match=message) as caught:
        devices.choose(name, threads)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a CUDA GPU")
def test_an_absent_gpu_is_named():
    with pytest.raises(HistoBenchError, match="--device cuda: PyTorch finds no usable CUDA GPU on this machine"):
        devices.choose("cuda", 1)


class Pretended:
    """PyTorch's CUDA calls on a machine with GPUs that are not there."""

    def __init__(self, monkeypatch, uuids: dict[int, str]) -> None:
        self.current: list[int] = []
        properties = {index: SimpleNamespace(uuid=uuid) for index, uuid in uuids.items()}
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(uuids))
        monkeypatch.setattr(torch.cuda, "get_device_properties", properties.__getitem__)
        monkeypatch.setattr(torch.cuda, "set_device", self.current.append)


@pytest.fixture
def own_machine(monkeypatch, tmp_path):
    for variable in (*gpus.SCHEDULERS, *gpus.ASSIGNED):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HISTOBENCH_LEASES", str(tmp_path / "leases"))


HOLDS = """
import sys
from histobench.training import lease
from histobench.training.gpus import Gpu
print(lease.take([Gpu(0, sys.argv[1])], 1).uuid, flush=True)
sys.stdin.read()
"""


def test_a_free_gpu_is_leased_and_made_the_current_one(monkeypatch, own_machine):
    cuda = Pretended(monkeypatch, {0: "held", 1: "free"})
    command = [sys.executable, "-c", HOLDS, "held"]
    environment = os.environ | {"PYTHONPATH": str(Path(gpus.__file__).parents[2])}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert devices.choose("auto", 1) == torch.device("cuda", 1)
        assert cuda.current == [1]
        holder.kill()


def test_the_scheduler_s_gpu_is_made_the_current_one_without_a_lease(monkeypatch, own_machine, tmp_path):
    cuda = Pretended(monkeypatch, {0: "assigned"})
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    assert devices.choose("auto", 1, 3) == torch.device("cuda", 0)
    assert cuda.current == [0]
    assert not (tmp_path / "leases").exists()


def test_a_job_that_needs_no_gpu_asks_for_none(monkeypatch, own_machine, tmp_path):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: pytest.fail("CUDA was asked"))
    assert devices.choose("auto", 1, 0) == devices.choose("cuda", 1, 0) == torch.device("cpu")
    assert not (tmp_path / "leases").exists()


def test_a_broken_driver_is_one_sentence(monkeypatch, own_machine):
    def broken(index):
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).\nPlease update.")

    Pretended(monkeypatch, {0: "a"})
    monkeypatch.setattr(torch.cuda, "get_device_properties", broken)
    with pytest.raises(HistoBenchError) as caught:
        devices.choose("auto", 1)
    assert str(caught.value) == (
        "PyTorch cannot use the GPUs of this machine (The NVIDIA driver on your system is too old (found version 11040)); "
        "look at the driver, or set `device: cpu`"
    )


def test_the_cpu_computes_in_full_precision():
    cpu = torch.device("cpu")
    assert devices.precision(cpu) == "fp32"
    with devices.autocast(cpu):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    assert re.fullmatch(r"cpu \(.+, \d+ cores\)", devices.describe(cpu))
    assert 10 < devices.peak_memory_mib(cpu)["host"] < 1e6
