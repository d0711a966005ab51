"""Which device a job computes on, and leases of GPUs for jobs of one machine.

A GPU is leased by file locks, which the kernel releases when the process ends in whatever way. Each GPU has a file for
each of its slots, named by the GPU's UUID. A job that shares its GPU with at most n - 1 others holds one of the first n
slots, a job that has the GPU for itself holds all slots.
"""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from histobench.io.errors import HistoBenchError

log = logging.getLogger(__name__)

FOLDER = "/tmp/histobench-gpus"  # not TMPDIR, which can differ between users and jobs
SLOTS = 16  # of a GPU, the most that `gpu_slots` allows
SCHEDULERS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "SGE_TASK_ID")
POD = "KUBERNETES_SERVICE_HOST"
"""Environment variables of batch jobs, and of pods, which see only the GPUs that they were given."""
ASSIGNED = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "SLURM_JOB_GPUS", "SLURM_STEP_GPUS")
"""Environment variables that name the GPUs which a scheduler assigned to a job."""


@dataclass(frozen=True)
class Gpu:
    """A CUDA GPU, or AMD's by ROCm, that this process sees."""

    index: int
    """PyTorch's number of it in this process."""
    uuid: str
    """The same in every process."""


def candidates(
    name: str, share: int, gpus: Sequence[Gpu], mps: bool, environment: Mapping[str, str]
) -> tuple[str, list[Gpu], bool]:
    """Return the kind of device (`cuda`, `mps` or `cpu`), GPUs of which any will do, and whether one must be leased.

    `name` and `share` are those of :func:`histobench.training.device.choose`; `gpus` and `mps` what PyTorch finds. A batch
    job uses only GPUs that its scheduler assigned; a single assigned GPU needs no lease.

    Raises:
        HistoBenchError: the device is absent.
    """
    kind, _, index = name.partition(":")
    if kind == "cpu" or not share:
        return "cpu", [], False
    if kind == "mps" and not mps:
        raise HistoBenchError("--device mps: PyTorch finds no Apple GPU on this machine; choose auto or cpu")
    if kind == "mps" or (kind == "auto" and not gpus):
        return "mps" if mps else "cpu", [], False
    allowed = [gpu for gpu in gpus if not index or gpu.index == int(index)]
    if not allowed:
        raise HistoBenchError(
            f"--device {name}: PyTorch finds {len(gpus)} CUDA GPUs on this machine; choose another, or auto or cpu"
        )
    batch = any(variable in environment for variable in SCHEDULERS)
    assigned = POD in environment or any(variable in environment for variable in ASSIGNED)
    if kind == "auto" and batch and not assigned:
        log.warning(
            "no GPU is assigned to this job, so that it computes on the CPU; request one, or set `device: cuda`"
        )
        return "cpu", [], False
    owned = (batch or POD in environment) and assigned and len(gpus) == 1
    return "cuda", allowed, not owned


def lease(gpus: Sequence[Gpu], share: int) -> Gpu:
    """Lease one of `gpus` for the life of this process, and return it; wait until one is free.

    At most `share` jobs, this one included, hold a lease of the GPU at once.

    Raises:
        HistoBenchError: the folder of leases cannot be used.
    """
    folder = Path(os.environ.get("HISTOBENCH_LEASES") or FOLDER)
    waiting = False
    try:
        if not folder.exists():
            folder.mkdir(exist_ok=True)
            folder.chmod(0o777)  # for all users of the machine
        while True:
            for gpu in gpus:
                slots = [FileLock(folder / f"{gpu.uuid}-{slot}.lock", mode=0o666) for slot in range(SLOTS)]
                if locked(slots) if share == 1 else any(locked([slot]) for slot in slots[:share]):
                    return gpu
            if not waiting:
                log.warning("waiting for a GPU: other jobs hold the leases of all %d", len(gpus))
                waiting = True
            time.sleep(0.25)
    except OSError as error:
        raise HistoBenchError(
            f"{folder}: cannot be used for the leases of GPUs ({error.strerror or error}); set HISTOBENCH_LEASES to a "
            "folder on a local disk that all users of this machine may write to"
        ) from error


_held: list[FileLock] = []  # a lock that is no longer referred to is released


def locked(locks: Sequence[FileLock]) -> bool:
    """Acquire all locks for the life of this process, or none of them; tell which."""
    try:
        for lock in locks:
            lock.acquire(blocking=False)
    except Timeout:
        for lock in locks:
            lock.release()
        return False
    _held.extend(locks)
    return True
