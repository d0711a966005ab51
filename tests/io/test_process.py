"""A job ends with the Snakemake that started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from histobench.io import process

LIBRARY = Path(process.__file__).parents[2]
JOB = "import time; from histobench.io.errors import run_script; run_script(lambda: (print('began', flush=True), time.sleep(60)))"
# As Snakemake starts jobs: by a shell that the rule's command replaces, in a thread that waits for it.
SNAKEMAKE = """
import os, subprocess, sys
os.environ["HISTOBENCH_SNAKEMAKE"] = str(os.getpid())
print(os.getpid(), flush=True)
subprocess.run(["bash", "-c", f"set -euo pipefail; exec {sys.executable} -c '$JOB' 2> >(cat >&2)".replace("$JOB", sys.argv[1].replace("'", chr(34)))])
"""

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="Linux sends a signal to the children of a dead process"
)


def environment(**variables: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if name != process.SNAKEMAKE}
    return clean | {"PYTHONPATH": str(LIBRARY)} | variables


def test_a_job_ends_when_its_snakemake_is_killed():
    command = [sys.executable, "-c", SNAKEMAKE, JOB]
    snakemake = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    assert snakemake.stdout
    assert int(snakemake.stdout.readline()) == snakemake.pid
    assert snakemake.stdout.readline() == "began\n"
    (job,) = Path(f"/proc/{snakemake.pid}/task/{snakemake.pid}/children").read_text().split()
    snakemake.kill()
    snakemake.wait()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{job}/cmdline").exists() and Path(f"/proc/{job}/cmdline").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_script_run_by_hand_outlives_its_shell():
    code = "import ctypes; from histobench.io.process import end_with_parent; end_with_parent(); n = ctypes.c_int();"
    code += "ctypes.CDLL(None).prctl(2, ctypes.byref(n)); print(n.value)"  # PR_GET_PDEATHSIG

    def asked(**variables: str) -> int:
        return int(subprocess.check_output([sys.executable, "-c", code], env=environment(**variables), text=True))

    assert asked() == 0
    assert asked(HISTOBENCH_SNAKEMAKE=str(os.getpid())) == signal.SIGTERM
