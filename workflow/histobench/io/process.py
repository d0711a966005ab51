"""A job ends with the Snakemake that started it."""

import ctypes
import os
import signal
import sys

SNAKEMAKE = "HISTOBENCH_SNAKEMAKE"
"""Environment variable with the process number of the Snakemake that started this job."""

_INIT = 1


def signal_when_parent_ends(number: int) -> None:
    """Have Linux send a signal to this process when its parent ends; do nothing elsewhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, number)  # PR_SET_PDEATHSIG


def end_with_parent() -> None:
    """Have Linux send SIGTERM to a Snakemake job when its parent dies; do nothing elsewhere, or outside such a job.

    The parent is Snakemake itself where the rule's shell command begins with `exec`.
    """
    snakemake = os.environ.get(SNAKEMAKE)
    if sys.platform == "linux" and snakemake is not None:
        signal_when_parent_ends(signal.SIGTERM)
        if os.getppid() == _INIT and snakemake != str(_INIT):  # the parent died before the line above
            signal.raise_signal(signal.SIGTERM)
