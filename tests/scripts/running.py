"""Scripts run in this process, and the tables that they write."""

import contextlib
import csv
import io
import runpy
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Ended(NamedTuple):
    """How a script ended."""

    returncode: int
    stderr: str


def run(name: str, folder: Path, *arguments: object, **options: object) -> Ended:
    """Run a script in a folder; an option that is None is left out."""
    given = [f"--{key.replace('_', '-')}={value}" for key, value in options.items() if value is not None]
    kept, sys.argv = sys.argv, [str(ROOT / "scripts" / f"{name}.py"), *map(str, arguments), *given]
    status = 0
    with contextlib.chdir(folder), contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            sys.argv = kept
    return Ended(status, errors.getvalue())


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
