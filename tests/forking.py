"""Processes that are forked from one which has imported large libraries: many starts for the imports of one.

Each worker of pytest has one such server, whatever it is used for. It imports nothing of this project.
"""

import multiprocessing
import os
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        # What training imports.
        *("torch", "torchvision", "albumentations"),
        # What Snakemake and the rules import.
        *("snakemake.api", "snakemake.cli", "snakemake.report.html_reporter", "smart_open", "requests"),
        *("docutils.core", "docutils.parsers.rst.directives.images", "numpy", "pydantic", "tabulate"),
    ]
)


def print_to(path: Path | str) -> None:
    """Send all that this process prints to the end of a file."""
    output = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    os.close(output)
