"""Tests of what only a CUDA GPU shows. HISTOBENCH_TEST_DEVICE=cpu tries those that the CPU can run too."""

import os

import pytest
import torch


@pytest.fixture
def device() -> torch.device:
    """The device under test."""
    name = os.environ.get("HISTOBENCH_TEST_DEVICE", "cuda")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA GPU on this machine")
    return torch.device("cuda", 0) if name == "cuda" else torch.device(name)


@pytest.fixture
def cuda(device: torch.device) -> torch.device:
    """The same, for what the CPU cannot try."""
    if device.type != "cuda":
        pytest.skip("only a CUDA GPU can try this")
    return device
