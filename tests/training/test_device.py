import re
from types import SimpleNamespace

import pytest
import torch

from histobench.io.errors import HistoBenchError
from histobench.training import device as devices
from histobench.training import gpu_lease


@pytest.fixture(autouse=True)
def own_machine(monkeypatch, tmp_path):
    before = torch.get_num_threads()
    for variable in (*gpu_lease.SCHEDULERS, *gpu_lease.ASSIGNED, gpu_lease.POD):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HISTOBENCH_LEASES", str(tmp_path / "leases"))
    yield
    torch.set_num_threads(before)


def test_choose_sets_the_threads_and_finds_the_cpu():
    assert devices.choose("cpu", 1) == torch.device("cpu")
    assert torch.get_num_threads() == 1
    assert devices.choose("auto", 2).type in ("cuda", "mps", "cpu")
    assert torch.get_num_threads() == 2


def pretend(monkeypatch, *uuids: str) -> list[int]:
    """Let PyTorch see GPUs that are not there; return the list of those that are made the current one."""
    current: list[int] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(uuids))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=uuids[index]))
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    return current


def test_a_gpu_is_leased_and_made_the_current_one(monkeypatch, tmp_path):
    current = pretend(monkeypatch, "a", "b")
    assert devices.choose("cuda:1", 1, 3) == torch.device("cuda", 1)
    assert current == [1]
    assert [path.name for path in (tmp_path / "leases").iterdir()] == ["b-0.lock"]


def test_a_job_that_needs_no_gpu_does_not_ask_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: pytest.fail("CUDA was asked"))
    assert devices.choose("auto", 1, 0) == devices.choose("cuda", 1, 0) == torch.device("cpu")


def test_a_broken_driver_is_one_sentence(monkeypatch):
    def broken(index):
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).\nPlease update.")

    pretend(monkeypatch, "a")
    monkeypatch.setattr(torch.cuda, "get_device_properties", broken)
    with pytest.raises(HistoBenchError) as caught:
        devices.choose("auto", 1)
    assert str(caught.value) == (
        "PyTorch cannot use the GPUs of this machine (The NVIDIA driver on your system is too old (found version 11040)); "
        "check the driver, or set `device: cpu`"
    )


def test_the_cpu_computes_in_full_precision():
    cpu = torch.device("cpu")
    assert devices.precision(cpu) == "fp32"
    with devices.autocast(cpu):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    assert re.fullmatch(r"cpu \(.+, \d+ cores\)", devices.describe(cpu))
    assert 10 < devices.peak_memory_mib(cpu)["host"] < 1e6
