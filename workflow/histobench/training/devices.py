"""Where a run computes, in which precision, and what it took."""

import os
import platform
import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch

from histobench.study.errors import HistoBenchError

_MIB = 1024**2


def choose(name: str, threads: int) -> torch.device:
    """Return the device called `name`, and let PyTorch use `threads` processor threads.

    Args:
        name: `auto` (the first of cuda, mps and cpu that is there), `cpu`, `cuda`, `cuda:N` or `mps`.
        threads: number of threads for operations on the CPU, at least 1.

    Raises:
        HistoBenchError: the name is none of these, the device is absent, or `threads` is below 1.
    """
    if threads < 1:
        raise HistoBenchError(f"--threads {threads}: at least 1 thread is needed; give the number of cores to use")
    torch.set_num_threads(threads)
    kind, _, index = name.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (index and (kind != "cuda" or not index.isdecimal())):
        raise HistoBenchError(f"--device {name}: no such kind of device; write auto, cpu, cuda, cuda:N or mps")
    gpus = torch.cuda.device_count() if kind in ("auto", "cuda") else 0
    if kind == "auto":
        kind = "cuda" if gpus else "mps" if torch.backends.mps.is_available() else "cpu"
    if kind == "cuda" and int(index or 0) >= gpus:
        found = f"{gpus} CUDA GPU{'s' if gpus > 1 else ''}" if gpus else "no usable CUDA GPU"
        raise HistoBenchError(f"--device {name}: PyTorch finds {found} on this machine; choose another, or auto or cpu")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise HistoBenchError("--device mps: PyTorch finds no Apple GPU on this machine; choose auto or cpu")
    return torch.device(kind, int(index or 0)) if kind == "cuda" else torch.device(kind)


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
    with suppress(OSError):  # Linux alone tells it there
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"cpu ({name}, {cores} cores)"


def peak_memory_mib(device: torch.device) -> dict[str, float]:
    """Return the peak memory of this process in MiB: `host` (resident) and, on a CUDA GPU, `device` (allocated)."""
    peak = {"host": round(_peak_resident() / _MIB, 1)}
    if device.type == "cuda":
        peak["device"] = round(torch.cuda.max_memory_allocated(device) / _MIB, 1)
    return peak


def _peak_resident() -> int:
    """Return the peak resident size of this process in bytes.

    The kernel's own mark, where it gives one: `getrusage` would count what stood here before this program was started.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
