"""What the tools share: the study that the configuration files describe, and text for a terminal."""

import argparse
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

from histobench.io.errors import HistoBenchError, run_script

if TYPE_CHECKING:
    from histobench.study.config import Config

DEFAULT = Path("config/config.yaml")
"""The configuration that others are laid over, as in the Snakefile."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that knows ``--configfile``."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--configfile", nargs="+", action="extend", type=Path, default=[], metavar="FILE", help="as Snakemake takes it"
    )
    return made


def study(configfiles: Sequence[Path] = ()) -> "Config":
    """Return the configuration of config/config.yaml with `configfiles` merged over it.

    Raises:
        HistoBenchError: a file is missing or cannot be read, or the configuration is not usable.
    """
    from snakemake.utils import update_config

    from histobench.study.config import load

    given: dict = {}
    for path in configfiles:
        update_config(given, _read(path))
    # Snakemake merges in this order, which decides the order of the keys: those of `given` come first.
    merged = deepcopy(given)
    update_config(merged, _read(DEFAULT))
    update_config(merged, given)
    return load(merged)


def _read(path: Path) -> dict:
    import yaml

    from histobench.study.checks import unambiguous

    try:
        unambiguous(path)
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise HistoBenchError(f"{path}: there is no such configuration file; correct the path") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise HistoBenchError(f"{path}: cannot be read as YAML ({reason}); correct the file") from error
    if not isinstance(content, dict):
        raise HistoBenchError(f"{path}: holds no keys, expected a configuration such as {DEFAULT}; correct the file")
    return content


def device(wanted: str) -> str:
    """Return the name of this machine's GPU, or `cpu`, for `device: WANTED` of a configuration."""
    if wanted == "auto" or wanted.startswith("cuda"):
        with suppress(OSError, subprocess.SubprocessError, IndexError):
            asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
            return subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True).stdout.splitlines()[0]
    return wanted if wanted in ("cpu", "mps") else "cpu"


def run_tool(main: Callable[[], None]) -> None:
    """Run a tool's main function as :func:`run_script` does; a closed pipe, as of ``| head``, ends it quietly."""
    try:
        run_script(main)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def amount(size: float) -> str:
    """Return bytes as text: `4.0 GB`, `12 MB`; `?` for NaN."""
    if math.isnan(size):
        return "?"
    for unit, each in (("TB", 1e12), ("GB", 1e9)):
        if size >= each:
            return f"{size / each:.1f} {unit}"
    return f"{size / 1e6:.1f} MB"


def duration(seconds: float) -> str:
    """Return a time as text: `40 s`, `12 min`, `3.4 h`; `?` for NaN."""
    if math.isnan(seconds):
        return "?"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
