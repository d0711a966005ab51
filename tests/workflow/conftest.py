"""A copy of the project that a test may edit, and the true Snakemake run in it."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TINY = Path(__file__).with_name("tiny.yaml")


@dataclass
class Project:
    """A copy of the workflow in a folder of its own."""

    folder: Path
    tiny: Path = TINY
    """The smallest study's configuration."""

    def snakemake(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Snakemake there as a user would; its output is returned as one text."""
        result = subprocess.run(
            [sys.executable, "-m", "snakemake", *arguments],
            cwd=self.folder,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert not check or result.returncode == 0, result.stdout
        return result

    def jobs(self, *arguments: str) -> dict[str, int]:
        """Return rule -> number of jobs that a dry run lists."""
        return job_counts(self.snakemake("-n", *arguments).stdout)

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text that occurs in a file of the copy."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} does not hold {old!r}"
        path.write_text(text.replace(old, new, 1))


def job_counts(output: str) -> dict[str, int]:
    """Return the table of jobs that Snakemake prints; empty where it has nothing to do."""
    if "Nothing to be done" in output or "Job stats:" not in output:
        assert "Nothing to be done" in output, output
        return {}
    table = output.split("Job stats:")[1].split("\n\n")[0]
    counts = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
    return {name: count for name, count in counts.items() if name not in ("total", "all")}


def copy_project(folder: Path) -> Project:
    """Copy what git tracks of the workflow, and nothing computed."""
    for name in ("config", "scripts", "workflow", "envs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "resources" / "paper", folder / "resources" / "paper")
    return Project(folder)


@pytest.fixture
def project(tmp_path) -> Project:
    """An untouched copy: no data, no results."""
    return copy_project(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Project:
    """A copy whose tiny study is complete. Tests must leave it as they found it: see `restored`."""
    project = copy_project(tmp_path_factory.mktemp("finished"))
    shutil.copy(TINY, project.folder / "config" / "tiny.yaml")
    project.snakemake(
        "--configfile", "config/tiny.yaml", "--cores", "2", "--resources", "gpu=2", "--set-threads", "train=1"
    )
    return project


@pytest.fixture
def restored(finished) -> Project:
    """The finished project; every file of it that a test edits is put back, with its date, afterwards."""
    kept = {}
    for path in (
        p for name in ("config", "scripts", "workflow", "results") for p in (finished.folder / name).rglob("*")
    ):
        if path.is_file() and path.suffix in (".py", ".yaml", ".smk", ".csv", ".sha256"):
            kept[path] = (path.read_bytes(), path.stat())
    yield finished
    for path, (content, stat) in kept.items():
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
