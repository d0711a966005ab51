import re

import pytest
import torch

from histobench.study.errors import HistoBenchError
from histobench.training import devices


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


def test_the_cpu_computes_in_full_precision():
    cpu = torch.device("cpu")
    assert devices.precision(cpu) == "fp32"
    with devices.autocast(cpu):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    assert re.fullmatch(r"cpu \(.+, \d+ cores\)", devices.describe(cpu))
    assert 10 < devices.peak_memory_mib(cpu)["host"] < 1e6
