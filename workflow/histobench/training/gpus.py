"""Which GPUs a job may use: decisions on plain data, without PyTorch, so that any machine can be pretended."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from histobench.io.errors import HistoBenchError

SCHEDULERS = {
    "SLURM_JOB_ID": "Slurm",
    "PBS_JOBID": "PBS",
    "LSB_JOBID": "LSF",
    "SGE_TASK_ID": "SGE",  # it says "undefined" outside an array, but is there
    "KUBERNETES_SERVICE_HOST": "Kubernetes",
}
"""Environment variables that tell of a batch job, and of whose."""

ASSIGNED = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "SLURM_JOB_GPUS", "SLURM_STEP_GPUS")
"""Environment variables by which schedulers tell a job which GPUs are its own."""


@dataclass(frozen=True)
class Gpu:
    """A CUDA GPU (or AMD's, by ROCm) that this process sees."""

    index: int
    """As PyTorch counts it in this process."""
    uuid: str
    """The same in every process, however its visible devices are numbered."""


@dataclass(frozen=True)
class Plan:
    """Where to compute."""

    kind: Literal["cuda", "mps", "cpu"]
    gpus: tuple[Gpu, ...] = ()
    """For `cuda`: any of these will do."""
    leased: bool = False
    """For `cuda`: others may want them too, so that one must be leased; else the first is this job's own."""
    why: str = ""
    """What a reader of the log should know."""


def plan(name: str, share: int, gpus: Sequence[Gpu], mps: bool, environment: Mapping[str, str]) -> Plan:
    """Return where a job computes that was told to use the device `name`.

    A user's own CUDA_VISIBLE_DEVICES has limited `gpus` already. In a batch job, GPUs that the scheduler did not assign
    are somebody else's, and a single assigned one is nobody else's; of several, jobs side by side still lease one each.

    Args:
        name: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        share: how many such jobs may share one GPU; 0 for a job that needs none.
        gpus: what PyTorch sees.
        mps: whether PyTorch finds an Apple GPU.
        environment: the process's variables.

    Raises:
        HistoBenchError: the name is none of these, or the device is absent.
    """
    kind, _, index = name.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (":" in name and (kind != "cuda" or not index.isdecimal())):
        raise HistoBenchError(f"--device {name}: no such kind of device; write auto, cpu, cuda, cuda:N or mps")
    if share < 0:
        raise HistoBenchError(f"--share {share}: the jobs that may share a GPU are counted from 1, or 0 to use none")
    if kind == "cpu" or not share:
        return Plan("cpu")
    if kind == "mps" or (kind == "auto" and not gpus):
        if kind == "mps" and not mps:
            raise HistoBenchError("--device mps: PyTorch finds no Apple GPU on this machine; choose auto or cpu")
        return Plan("mps" if mps else "cpu")
    allowed = [gpu for gpu in gpus if not index or gpu.index == int(index)]
    if not allowed:
        found = f"{len(gpus)} CUDA GPU{'s' if len(gpus) > 1 else ''}" if gpus else "no usable CUDA GPU"
        raise HistoBenchError(f"--device {name}: PyTorch finds {found} on this machine; choose another, or auto or cpu")
    scheduler = next((told for variable, told in SCHEDULERS.items() if variable in environment), None)
    # A pod sees what it was given, whether or not a variable names it.
    assigned = scheduler == "Kubernetes" or any(variable in environment for variable in ASSIGNED)
    if kind == "auto" and scheduler and not assigned:
        why = f"{scheduler} assigned no GPU to this job: it computes on the CPU, though {len(gpus)} can be seen"
        return Plan("cpu", why=f"{why}; ask for one, or set `device: cuda`")
    return Plan("cuda", tuple(allowed), leased=not (scheduler and assigned and len(gpus) == 1))


def crowded(free: int, total: int, own: int) -> str:
    """Return what to do about the memory that other processes have on a GPU, where it is a tenth or more of it.

    Args:
        free: bytes that nobody has.
        total: bytes of the GPU.
        own: bytes that this process has, but for a CUDA context of about half a GiB.
    """
    others = total - free - own - 2**29
    if others < total / 10:
        return ""
    return (
        f"other processes have {others / 2**30:.1f} of its {total / 2**30:.1f} GiB: lower `gpu_slots`, or set `gpu: whole` "
        "in the mode, where they are jobs of this study"
    )


def count(device: str, environment: Mapping[str, str], root: Path = Path("/")) -> int:
    """Return how many GPUs jobs told to use `device` will find here, in milliseconds rather than PyTorch's seconds."""
    if device not in ("auto", "cuda"):
        return int(device.startswith("cuda:"))
    visible = environment.get("CUDA_VISIBLE_DEVICES", environment.get("HIP_VISIBLE_DEVICES"))
    installed = _installed(root)
    return installed if visible is None else min(installed, _named(visible))


def _named(visible: str) -> int:
    """Return how many devices a list such as `0,2` or `GPU-5a1c...` names; it ends at the first that is none."""
    names = [name.strip() for name in visible.split(",")]
    valid = [name.startswith(("GPU-", "MIG-")) or name.isdecimal() for name in names]
    return valid.index(False) if False in valid else len(names)


def _installed(root: Path) -> int:
    """Return the number of GPUs that the drivers of NVIDIA and AMD list."""
    if found := len(list(root.glob("proc/driver/nvidia/gpus/*"))):
        return found
    # Nodes of AMD's list that are processors have the id 0.
    nodes = [path.read_text().strip() for path in root.glob("sys/class/kfd/kfd/topology/nodes/*/gpu_id")]
    if found := sum(node not in ("", "0") for node in nodes):
        return found
    if not shutil.which("nvidia-smi"):
        return 0
    try:  # Windows' Linux subsystem has no such folders
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listed.splitlines())
