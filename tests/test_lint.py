"""Style, types and Snakemake's own linter, as `make lint` runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "ruff check --no-cache .",
        "ruff format --no-cache --check .",
        "snakefmt --check Snakefile workflow",
        "basedpyright",
        "snakemake --lint",
    ],
)
def test_clean(command):
    tool, *arguments = command.split()
    ended = subprocess.run(
        [BIN / tool, *arguments],
        cwd=ROOT, env=os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
