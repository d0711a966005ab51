"""A copy of the project that a test may edit, and the true Snakemake run in it."""

import fcntl
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from histobench import launcher
from histobench.study import paths
from histobench.study.config import Config, load
from histobench.study.runs import Run
from tests.workflow import forked

ROOT = Path(__file__).parents[2]
OF_CHECKOUT = ("--snakefile", str(ROOT / "Snakefile"))
"""Runs the rules and the library of this checkout, so that one test's jobs start from the libraries that another's imported."""
EVERY_IMPORT = ",".join((launcher.IMPORTS, launcher.VLM_IMPORTS, launcher.ENCODER_IMPORTS))
TINY = Path(__file__).with_name("tiny.yaml")
SMALL = Path(__file__).with_name("small.yaml")


def loaded(config: dict) -> Config:
    """Return a study laid over the default one, as Snakemake lays it."""
    merged = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    update_config(merged, config)
    return load(merged)


def shared_with_the_paper(study: Config) -> list[Run]:
    """Return the runs of a study that are those of the paper's study: same path, same specification."""
    paper = loaded({})
    return [
        run
        for run in set(paper.runs).intersection(study.runs)
        if study.path(paths.PREDICTIONS, **vars(run)) == paper.path(paths.PREDICTIONS, **vars(run))
        and study.specification(run) == paper.specification(run)
    ]


TINY_STUDY = loaded(yaml.safe_load(TINY.read_text()))


def environment() -> dict[str, str]:
    """Return the environment variables of a Snakemake: the library is not where they say, but beside the rules."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def default_signals() -> None:
    """Let a started process end by these, also where the tests were started with them ignored (`nohup make test &`)."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@dataclass
class Project:
    """A copy of the workflow in a folder of its own."""

    folder: Path
    tiny: Path = TINY
    """The smallest study's configuration."""
    made_in: Path | None = None
    """The folder in which its results were made, where this is a copy of them."""

    def start(self, *arguments: str, **options) -> subprocess.Popen[str]:
        """Start Snakemake there as a user would; its output is one text."""
        return subprocess.Popen(
            [sys.executable, "-m", "snakemake", *arguments],
            cwd=self.folder,
            env=environment(), text=True, preexec_fn=default_signals,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | options,
        )  # fmt: skip

    def snakemake(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Snakemake to its end."""
        # Studies of different kinds of model share one server of the launcher, which waits for the next test.
        shared = {launcher.MODULES: EVERY_IMPORT, "HISTOBENCH_LAUNCHER_IDLE": "180"}
        code, output = forked.snakemake(arguments, self.folder, environment() | shared)
        assert not check or code == 0, output
        return subprocess.CompletedProcess(arguments, code, output)

    def make(self, *arguments: str, **options) -> subprocess.Popen[str]:
        """Start `make` there as a user would, with the Python that runs the tests; its output is one text."""
        (self.folder / ".venv").mkdir(exist_ok=True)
        for name in ("requirements.lock", ".venv/.requirements.lock"):  # the newer one says that .venv is complete
            (self.folder / name).touch()
        shutil.copy(ROOT / "Makefile", self.folder)
        return subprocess.Popen(
            ["make", *arguments], cwd=self.folder, text=True, preexec_fn=default_signals,
            env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | options,
        )  # fmt: skip

    def refusal(self, *arguments: str) -> str:
        """Run a study that must fail without a traceback and without half-written files; return the output."""
        result = self.snakemake(*arguments, check=False)
        assert result.returncode == 1, result.stdout
        assert "Traceback" not in result.stdout, result.stdout
        assert not list((self.folder / "results").rglob(".*.partial"))
        return result.stdout

    def jobs(self, *arguments: str) -> dict[str, int]:
        """Return rule -> number of jobs that a dry run lists."""
        return job_counts(self.snakemake("-n", *arguments).stdout)

    def path(self, pattern: str, name: str = "tiny", **names) -> Path:
        """Return where a file of the study of config/NAME.yaml is: a path of `histobench.study.paths`."""
        config = yaml.safe_load((self.folder / f"config/{name}.yaml").read_text())
        return self.folder / loaded(config).path(pattern, **names)

    def study(self, name: str, *arguments: str, magnifications: Sequence[int] = (200,)) -> str:
        """Run a study of config/studies at a small size, see small.yaml; return the output.

        Synthetic images are made at these magnifications alone.
        """
        small = yaml.safe_load(SMALL.read_text())
        small["datasets"]["breakhis"]["synthetic"]["magnifications"] = list(magnifications)
        (self.folder / "config/small.yaml").write_text(yaml.safe_dump(small))
        files = (*OF_CHECKOUT, "--configfile", f"config/studies/{name}.yaml", "config/small.yaml")
        threads = ("--set-threads", "train=1", "features=1", "tokens=1", "normalised_features=1", "stress=1")
        return self.snakemake(*files, "--cores", "2", "--resources", "gpu=2", *threads, *arguments).stdout

    def configure(self, name: str, **changes) -> dict:
        """Write config/NAME.yaml, the tiny study with these keys replaced; return it."""
        config = yaml.safe_load(self.tiny.read_text()) | changes
        (self.folder / f"config/{name}.yaml").write_text(yaml.safe_dump(config))
        return config

    def configure_given(self, **dataset) -> None:
        """Write config/given.yaml, a study of one dataset, `given`, and one small model."""
        block = yaml.safe_load(self.tiny.read_text())["grid"][0] | {"dataset": "given", "models": ["small"]}
        self.configure("given", datasets={"given": dataset}, grid=[block])

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text that occurs in a file of the copy."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} does not hold {old!r}"
        path.write_text(text.replace(old, new, 1))

    def processes(self) -> dict[int, list[str]]:
        """Return the number and the command line of every process that works in this folder (Linux)."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (process / "cwd").readlink() == self.folder:
                    found[int(process.name)] = (process / "cmdline").read_bytes().decode().split("\0")
        return found


def job_counts(output: str) -> dict[str, int]:
    """Return the table of jobs that Snakemake prints; empty where it has nothing to do."""
    if "Nothing to be done" in output or "Job stats:" not in output:
        assert "Nothing to be done" in output, output
        return {}
    table = output.split("Job stats:")[1].split("\n\n")[0]
    counts = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
    return {name: count for name, count in counts.items() if name not in ("total", "all", "default")}


def copy_project(folder: Path) -> Project:
    """Copy what git tracks of the workflow, and nothing computed."""
    for name in ("config", "scripts", "workflow", "envs", "profiles"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)
    shutil.copytree(ROOT / "resources" / "papers", folder / "resources" / "papers")
    return Project(folder)


def tool(name: str, *arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a tool of this checkout as `make` does; its output is one text."""
    return subprocess.run(
        [sys.executable, "-m", f"histobench.tools.{name}", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow")} | environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def served(tmp_path_factory, monkeypatch) -> Iterator[tuple[Path, str]]:
    """A folder, and the address at which its files can be had."""
    monkeypatch.setenv("no_proxy", "*")
    folder = tmp_path_factory.mktemp("served")
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def project(tmp_path) -> Project:
    """An untouched copy: no data, no results."""
    return copy_project(tmp_path)


def finish_tiny_study(folder: Path) -> None:
    """Copy the project to a folder and run the tiny study there."""
    project = copy_project(folder)
    shutil.copy(TINY, project.folder / "config" / "tiny.yaml")
    # Jobs with the same number of threads share a server of the launcher.
    project.snakemake(
        "--configfile", "config/tiny.yaml", "--cores", "2", "--resources", "gpu=2",
        "--set-threads", "train=1", "features=1", "tokens=1",
    )  # fmt: skip


@pytest.fixture(scope="session")
def finished(tmp_path_factory, worker_id) -> Project:
    """A copy, in a folder with a space in its name, whose tiny study is complete. Tests must leave it as they found it: see
    `restored`. It is made once, by the worker that needs it first; each has a copy of its own."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent  # which all workers of pytest-xdist have
    made = shared / "fertiges Projekt ü"
    with (shared / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            try:
                finish_tiny_study(made)
            except BaseException:
                shutil.rmtree(made, ignore_errors=True)
                raise
    folder = tmp_path_factory.mktemp("mein Projekt") / "Kopie ü"
    return Project(shutil.copytree(made, folder, symlinks=True), made_in=made)


@pytest.fixture
def restored(finished) -> Project:
    """The finished project; every file of it that a test edits is put back, with its date, afterwards."""
    suffixes = (".py", ".yaml", ".smk", ".csv", ".sha256", ".html", ".css", ".js", ".json")
    folders = [finished.folder / name for name in ("config", "scripts", "workflow", "results")]
    paths = [path for folder in folders for path in folder.rglob("*") if path.suffix in suffixes and path.is_file()]
    kept = {path: (path.read_bytes(), path.stat()) for path in paths}
    yield finished
    for path, (content, stat) in kept.items():
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
