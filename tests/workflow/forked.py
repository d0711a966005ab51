"""Snakemake in a process that has imported its libraries already, so that it starts in half the time.

Nothing of this project is imported there: each Snakemake uses the library of its own folder.
"""

import os
import runpy
import sys
import tempfile
from pathlib import Path

from tests.forking import FORKS, print_to


def snakemake(arguments: tuple[str, ...], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run Snakemake in a folder to its end; return its exit status, and what it printed."""
    with tempfile.NamedTemporaryFile() as output:
        process = FORKS.Process(target=_run, args=(arguments, folder, environment, output.name))
        process.start()
        process.join()
        assert process.exitcode is not None
        return process.exitcode, output.read().decode()


def _run(arguments: tuple[str, ...], folder: Path, environment: dict[str, str], output: str) -> None:
    """Become what `python -m snakemake ARGUMENTS` would be there."""
    print_to(output)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = [
        str(folder),
        *(path for path in sys.path if "site-packages" in path or path.startswith(sys.base_prefix)),
    ]
    sys.argv[1:] = arguments
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
