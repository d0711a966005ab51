"""Fixtures for all tests."""

import os
from collections.abc import Iterator

import pytest

# `make test-all ARGS=...` puts its variables in MAKEFLAGS; the `make` that a test starts must not take them.
for name in [name for name in os.environ if name.startswith("MAKE")]:
    del os.environ[name]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Let PyTorch use one thread: tests share the cores, and on tiny tensors threads wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the files that take longest first: at the end, they would run on one core alone."""
    longest = {"test_demo.py": 0, "test_rerun.py": 1}
    items.sort(key=lambda item: longest.get(item.path.name, len(longest)))
