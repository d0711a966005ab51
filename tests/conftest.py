"""Fixtures for all tests."""

import os
from collections.abc import Iterator

import pytest

# `make test-all ARGS=...` passes its variables on, by name and in MAKEFLAGS; the `make` that a test starts must not take them.
OWN = ("ARGS", "ARCHIVE", "ARCHIVES", "ARM", "CONFIG", "IMAGES", "RUN", "SAMPLE")
for name in [name for name in os.environ if name.startswith("MAKE") or name in OWN]:
    del os.environ[name]
# Tests share the cores, and on tiny tensors threads wait for each other: one thread, and no busy waiting where a job has more.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compute in float64: parameters are made so, and what is turned into float32 is turned into float64.

    What must be equal but for rounding can be compared so. In float32 it could not: AdamW divides a gradient by its own
    size, so where a gradient is only rounding error, the step that it causes is as large as any other.
    """
    import torch

    from histobench.models import vlm

    build, adapt = vlm.build, vlm.VisionLanguageClassifier.adapt
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    monkeypatch.setattr(vlm, "build", lambda *arguments, **more: build(*arguments, **more).double())
    monkeypatch.setattr(
        vlm.VisionLanguageClassifier, "adapt", lambda self, *arguments: (adapt(self, *arguments), self.double())[0]
    )
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the files that take longest first: at the end, they would run on one core alone.

    Small studies follow one another: they share a process that has imported what their kind of model needs.

    Workers begin with the first two files, and `make demo` can use the cores while a study waits for Slurm.
    `--no-loadscope-reorder` keeps this order; pytest-xdist would start files with many tests first.
    """
    longest = ["demo", "slurm", "external", "rerun", "kill", "sharing", "sample", "terminal"]
    longest += ["lora", "newer_vlms", "prompts", "stress", "subtype", "augmentation", "few_shot", "bags", "foundation"]
    longest += ["train", "fetch", "gpu", "hostile", "lint"]
    place = {name: number for number, name in enumerate(longest)}
    items.sort(key=lambda item: place.get(item.path.stem.removeprefix("test_"), len(longest)))
