"""A job ends with the Snakemake that started it."""

import ctypes
import os
import signal
import sys

SNAKEMAKE = "HISTOBENCH_SNAKEMAKE"
"""Environment variable with the process number of the Snakemake that started this job."""

_PR_SET_PDEATHSIG = 1
_INIT = 1


def end_with_parent() -> None:
    """Have Linux send SIGTERM to this process when its parent dies; do nothing elsewhere, or outside a Snakemake job.

    The parent is Snakemake itself where the rule's shell command begins with `exec`.
    """
    snakemake = os.environ.get(SNAKEMAKE)
    if sys.platform != "linux" or snakemake is None:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == _INIT and snakemake != str(_INIT):  # the parent died before the line above
        signal.raise_signal(signal.SIGTERM)
