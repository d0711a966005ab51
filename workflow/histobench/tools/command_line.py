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
from histobench.study import paths

if TYPE_CHECKING:
    from histobench.study.config import Config

DEFAULT = Path(paths.CONFIGURATION)


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that knows ``--configfile``, and does not take Snakemake's ``--config`` for it."""
    formatter = argparse.RawDescriptionHelpFormatter
    made = argparse.ArgumentParser(description=description, formatter_class=formatter, allow_abbrev=False)
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
        update_config(given, read(path))
    # Snakemake merges in this order, which decides the order of the keys: those of `given` come first.
    merged = deepcopy(given)
    update_config(merged, read(DEFAULT))
    update_config(merged, given)
    return load(merged)


def read(path: Path) -> dict:
    """Return what a configuration file holds.

    Raises:
        HistoBenchError: with one sentence that names the file and, where one is wrong, the line.
    """
    import yaml

    from histobench.study.checks import unambiguous

    def fault(what: str, line: int = 0, remedy: str = "correct the file") -> HistoBenchError:
        return HistoBenchError(f"{path}{f', line {line}' if line else ''}: {' '.join(what.split())}; {remedy}")

    try:
        content = path.read_bytes()
        settings = yaml.safe_load(content.decode("utf-8"))
    except FileNotFoundError:
        raise fault("there is no such configuration file", remedy="correct the path") from None
    except IsADirectoryError:
        raise fault("is a folder, expected a configuration file", remedy="name the file") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise fault("is not in UTF-8", line, "save it as UTF-8 in your editor") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        begun = f"{error.context} in line {error.context_mark.line + 1}, " if error.context_mark else ""
        raise fault(f"cannot be read as YAML: {begun}{error.problem}", line) from None
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise fault(f"cannot be read as YAML ({error})") from error
    if not isinstance(settings, dict):
        raise fault(f"holds no keys, expected a configuration such as {DEFAULT}")
    unambiguous(path)
    return settings


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
