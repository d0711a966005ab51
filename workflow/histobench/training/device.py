"""Where a run computes, in which precision, and how much memory it took."""

import os
import platform
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from histobench.io.errors import HistoBenchError
from histobench.training import gpu_lease
from histobench.training.gpu_lease import Gpu

_MIB = 1024**2


def is_out_of_memory(error: RuntimeError) -> bool:
    """Tell whether PyTorch, or a library that it calls, ran out of the memory of a GPU."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    # CUDA itself, cuBLAS and cuDNN have no class of their own for it, and cuDNN finds no engine whose memory it gets.
    signs = (
        "error: out of memory",
        "ran out of memory",
        "ALLOC_FAILED",
        "NOT_INITIALIZED when",
        "unable to find an engine",
    )
    return any(sign in str(error) for sign in signs)


def memory_error(what: str, error: RuntimeError) -> HistoBenchError:
    """Return the message that the memory of the GPU does not hold `what`, with PyTorch's own first words."""
    reason = str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".")
    return HistoBenchError(
        f"the GPU's memory does not hold {what} ({reason}); end other processes on the GPU, lower `gpu_slots`, or choose a "
        "smaller batch_size or image_size"
    )


@contextmanager
def memory_errors(what: str) -> Iterator[None]:
    """Turn running out of the memory of a GPU into one sentence; `what` does not fit there and cannot be cut."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise memory_error(what, error) from error


def free_memory(device: torch.device) -> int | None:
    """Return how many bytes of a CUDA GPU this process holds for tensors or could get; None for another device."""
    if device.type != "cuda":
        return None
    return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)


@memory_errors("even PyTorch itself")
def choose(name: str, threads: int, share: int = 1) -> torch.device:
    """Return the device called `name`, and let PyTorch use `threads` processor threads.

    The name is `auto` (the first of cuda, mps and cpu that there is), `cpu`, `cuda`, `cuda:N` or `mps`. A CUDA GPU that
    other jobs may use too is leased for the life of this process, which waits until one is free: at most `share` jobs are
    on it at once, this one included; 0 if no GPU is needed.

    Raises:
        HistoBenchError: the device is absent or full, or GPUs cannot be leased.
    """
    torch.set_num_threads(threads)
    wanted = share > 0 and name.partition(":")[0] in ("auto", "cuda")
    mps = torch.backends.mps.is_available()
    kind, gpus, shared = gpu_lease.candidates(name, share, _visible() if wanted else [], mps, os.environ)
    if kind != "cuda":
        return torch.device(kind)
    gpu = gpu_lease.lease(gpus, share) if shared else gpus[0]
    torch.cuda.set_device(gpu.index)  # else page-locked memory would start a context on the first GPU
    return torch.device("cuda", gpu.index)


def _visible() -> list[Gpu]:
    """Return the GPUs that PyTorch sees, without starting a context on any."""
    try:
        count = torch.cuda.device_count()
        return [Gpu(index, str(torch.cuda.get_device_properties(index).uuid)) for index in range(count)]
    except RuntimeError as error:
        reason = str(error).splitlines()[0].rstrip(". ")
        raise HistoBenchError(
            f"PyTorch cannot use the GPUs of this machine ({reason}); check the driver, or set `device: cpu`"
        ) from error


def precision(device: torch.device) -> str:
    """Return `bf16` (autocast; parameters, loss and optimizer stay fp32) on a GPU that has it, else `fp32`."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0):
        return "bf16"
    return "fp32"


def autocast(device: torch.device) -> torch.autocast:
    """Return the context in which forward passes on `device` run."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision(device) == "bf16")


def describe(device: torch.device) -> str:
    """Return the device's name for a reader, for example `NVIDIA H100` or `cpu (AMD EPYC 9654, 8 cores)`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return f"{device.type} ({platform.machine()})"
    name = platform.processor() or platform.machine()
    with suppress(OSError):  # Linux has it only there
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"cpu ({name}, {cores} cores)"


def peak_memory_mib(device: torch.device) -> dict[str, float]:
    """Return the peak memory of this process in MiB: `host` (resident) and, on a CUDA GPU, `device` (allocated)."""
    # The kernel counts in KiB, on macOS in bytes.
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    peak = {"host": round(resident / _MIB, 1)}
    if device.type == "cuda":
        peak["device"] = round(torch.cuda.max_memory_allocated(device) / _MIB, 1)
    return peak
