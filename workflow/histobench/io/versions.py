"""Whether the installed libraries have the versions that pyproject.toml asks for. Nothing is imported to find out."""

import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"
REMEDY = "install the versions of requirements.lock: rm -f .venv/.requirements.lock && make doctor"


def warn_of_versions(pyproject: Path = PYPROJECT) -> None:
    """Print one warning for each library whose version is outside the bounds. It may still work: a GPU machine has its own."""
    for fault in wrong_versions(pyproject):
        print(f"warning: {fault}; {REMEDY}", file=sys.stderr)


def wrong_versions(pyproject: Path = PYPROJECT) -> list[str]:
    """Return one line for each installed library whose version is outside the bounds, for example one that is too old."""
    found = []
    for wanted in requirements(pyproject):
        version = installed(wanted.name)
        if version and not wanted.specifier.contains(version, prereleases=True):
            found.append(f"{wanted.name} {version} is installed, but HistoBench needs {wanted}")
    return found


def missing(pyproject: Path = PYPROJECT) -> list[str]:
    """Return the names of the libraries that pyproject.toml asks for and that are not installed."""
    return [wanted.name for wanted in requirements(pyproject) if installed(wanted.name) is None]


def requirements(pyproject: Path = PYPROJECT) -> list[Requirement]:
    """Return the dependencies of pyproject.toml that hold for this platform; none where there is no such file."""
    if not pyproject.is_file():
        return []
    listed = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["dependencies"]
    found = [Requirement(line) for line in listed]
    return [wanted for wanted in found if wanted.marker is None or wanted.marker.evaluate()]


def installed(name: str) -> str | None:
    """Return the installed version of a library, None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
