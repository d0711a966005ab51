"""What stands in the archive of a study, and how the workflow is asked what a study is made of.

An archive is laid out as the project is: an unpacked one is the project's code with the finished results of one study,
without images, without weights and without logs.
"""

import base64
import binascii
import csv
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote_to_bytes

from histobench.io.checkout import commit
from histobench.io.errors import HistoBenchError
from histobench.study import paths
from histobench.study.config import Config

ROOT = Path(__file__).parents[3]
"""The checkout whose workflow makes, packs and verifies studies."""
README, CHECKSUMS = "README.md", "CHECKSUMS.sha256"
CONFIGURATION, ENVIRONMENT = "configuration.json", "environment.json"
CONFIG = "config"
"""Folder of the configuration files as they were given."""
CODE = (
    *("Makefile", "LICENSE", "pyproject.toml", "requirements.lock"),
    *("workflow", "scripts", "envs", "resources/paper"),
)
"""The project's code, as files and folders."""
CODE_SUFFIXES = ("", ".py", ".smk", ".yaml", ".json", ".csv", ".md", ".rst", ".html", ".css", ".js", ".toml", ".lock")
PATHS = ("source", "table", "files", "file", "folder")
"""Keys of the configuration whose values are paths."""
SAMPLES, PAGE = "figure_samples", "page"
"""The one rule whose figures show images, and that of the report page."""
_CARRIED = re.compile(r"data:([\w.+/-]*(?:;[\w.+=-]+)*),([\w.+/=%~-]{32,})")
"""An address that carries data: its kind, and the data. Shorter ones hold no image."""


def inputs(config: Config) -> dict[str, str]:
    """Return what every number of a study is computed from, by path, with its kind in the plural."""
    found: dict[str, str] = {}
    for dataset in config.used_datasets:
        found |= dict.fromkeys((path.format(dataset=dataset) for path in (paths.MANIFEST, paths.CENSUS)), "manifests")
    for dataset, split in dict.fromkeys((run.dataset, run.split) for run in config.runs):
        for pattern in (paths.FOLDS, paths.FOLDS_DIGEST, paths.FOLDS_CENSUS):
            found[pattern.format(dataset=dataset, split=split)] = "folds"
    for run in config.runs:
        for pattern in (paths.PREDICTIONS, paths.HISTORY, paths.RECORD):
            found[pattern.format(**vars(run))] = "runs"
    return found | {paths.external(on, run): "external predictions" for on, run in config.external_runs}


def digests(config: Config) -> list[str]:
    """Return where the SHA-256 of each dataset's archive is recorded; one that was a folder has none worth a record."""
    return [paths.ARCHIVE_DIGEST.format(dataset=dataset) for dataset in config.used_datasets]


@dataclass(frozen=True)
class Made:
    """What the workflow makes of a study's inputs: each path with the rule that makes it."""

    tables: Mapping[str, str]
    """What is computed from predictions and records alone: scores, comparisons, claims, tables, in all their forms."""
    figures: Mapping[str, str]
    """Charts as SVG and PDF. What shows images of a dataset is none of them."""
    samples: Sequence[str]
    """Figures that show images of a dataset, in all their forms."""
    page: str
    """The report page."""


def made(config: Config) -> Made:
    """Ask the workflow what it makes of a study; nothing is run, and nothing of the study needs to be there.

    Raises:
        HistoBenchError: the workflow cannot use the configuration.
    """
    with TemporaryDirectory(prefix="histobench-") as folder:
        summary = snakemake(Path(folder), config, ["all"], "--summary")
    if summary.returncode:
        raise HistoBenchError(f"the workflow cannot use this configuration: {last_words(summary)}")
    results = paths.STUDY.format(study=config.study)
    files = {row[0]: row[2] for row in csv.reader(summary.stdout.splitlines(), delimiter="\t") if len(row) > 3}
    page = f"{results}/report.html"
    tables, figures, samples = {}, {}, []
    for path, rule in sorted(files.items()):
        if rule == SAMPLES:
            samples.append(path)
        elif path.startswith(f"{results}/figures/"):
            if path.endswith((".svg", ".pdf")):
                figures[path] = rule
        elif path != page and path.startswith((f"{results}/", "results/claims_published.")):
            tables[path] = rule
    return Made(tables, figures, samples, page)


def snakemake(folder: Path, config: Config, targets: Iterable[str], *options: str) -> subprocess.CompletedProcess[str]:
    """Run this checkout's workflow in `folder` on a configuration that names no file outside of it, and no device.

    Nothing is written outside of `folder`, and no profile or environment variable of the user's takes part.
    """
    for name in (CONFIG, ".cache"):
        (folder / name).mkdir(exist_ok=True)
    (folder / CONFIG / "config.yaml").write_text(json.dumps(_harmless(config, folder)), encoding="utf-8")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SNAKEMAKE_", "HISTOBENCH_")) and name != "PYTHONPATH"
    }
    private = {
        "HISTOBENCH_LAUNCHER": "0",  # no process that outlives this one
        "HF_HUB_OFFLINE": "1",
        # What libraries store for themselves goes with the folder.
        **dict.fromkeys(("TMPDIR", "XDG_CACHE_HOME", "MPLCONFIGDIR", "HF_HOME"), str(folder / ".cache")),
    }
    return subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", *targets, "--snakefile", str(ROOT / "workflow" / "Snakefile")),
            *("--profile", "none", "--workflow-profile", "none", "--rerun-triggers", "mtime", *options),
        ],
        cwd=folder,
        env=environment | private,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _harmless(config: Config, folder: Path) -> dict[str, Any]:
    """Return a configuration with the same results whose datasets, fold lists and weights are empty files in `folder`.

    What is there is not downloaded: an address can stay, for the page may show it.
    """
    given = packable(config)
    given["device"] = "cpu"
    absent = ["table.csv", *(f"fold{number}.txt" for number in range(1, 21))]
    empty = [folder / "absent" / name for name in absent]
    for name, dataset in given["datasets"].items():
        if dataset.get("source"):
            dataset["source"] = f"resources/{name}/absent"
            empty.append(folder / dataset["source"])
        if dataset.get("table"):
            dataset["table"] = "absent/table.csv"
    for split in given["splits"].values():
        if split.get("files"):
            split["files"] = [f"absent/fold{number}.txt" for number in range(1, len(split["files"]) + 1)]
    for name, model in given["models"].items():
        empty.append(folder / paths.WEIGHTS.format(model=name))
        if isinstance(model.get("weights"), dict):
            outside = machine_paths(model["weights"])
            model["weights"] = {key: outside.get(value, value) for key, value in model["weights"].items()}
    for path in empty:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (0, 0))
    return given


def packable(config: Config) -> dict[str, Any]:
    """Return the configuration as JSON values that load as the very same study; defaults stay unwritten."""
    return config.model_dump(mode="json", exclude_unset=True)


def machine_paths(value: Any, key: str = "") -> dict[str, str]:
    """Return the paths in a configuration that lead out of the project, with the file name that stands in for each."""
    if isinstance(value, Mapping):
        return {path: name for inner, some in value.items() for path, name in machine_paths(some, inner).items()}
    if isinstance(value, list):
        return {path: name for some in value for path, name in machine_paths(some, key).items()}
    if key not in PATHS or not isinstance(value, str) or "://" in value:
        return {}
    path = PurePosixPath(value.replace("\\", "/"))
    outside = path.is_absolute() or ".." in path.parts or value.startswith("~") or re.match("[A-Za-z]:", value)
    return {value: path.name or "images"} if outside else {}


def last_words(ended: subprocess.CompletedProcess[str]) -> str:
    """Return the one line of a failed Snakemake that says why."""
    lines = [line.strip() for line in (ended.stdout + ended.stderr).splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or ["it ended without a word"])[0 if errors else -1]


def code() -> dict[str, Path]:
    """Return the files of this checkout's code, by their path in it."""
    found = {}
    for name in CODE:
        place = ROOT / name
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            hidden = any(part.startswith((".", "__pycache__")) for part in path.relative_to(ROOT).parts)
            if path.is_file() and not path.is_symlink() and not hidden and path.suffix in CODE_SUFFIXES:
                found[path.relative_to(ROOT).as_posix()] = path
    return found


def is_code(name: str) -> bool:
    """Tell whether a path is one of the project's code."""
    return any(name == place or name.startswith(f"{place}/") for place in CODE)


def environment() -> dict[str, Any]:
    """Return what a study was packed with: Python, platform, locked packages as installed, and the code's commit."""
    packages = {}
    for name in re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.M):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    number, clean = commit(ROOT)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "commit": number,
        "tree is clean": clean,
        "packages": packages,
    }


def pixels_in(name: str, data: bytes) -> str | None:
    """Return why a file may hold an image, or weights, judged by its content; None where it cannot.

    A file must be text, or a PDF that draws no image; an address in it that carries data must carry such text too.
    """
    if data.startswith(b"%PDF-"):
        return "is a PDF that holds an image" if re.search(rb"/Subtype\s*/Image\b", data) else None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return "is no text"
    if "\0" in text:
        return "is no text"
    for kind, coded in _CARRIED.findall(text):
        try:
            inner = unquote_to_bytes(coded)
            inner = base64.b64decode(inner) if kind.endswith(";base64") else inner
        except binascii.Error:
            return "holds data in an address that cannot be read"
        if (kind.startswith("image/") and not kind.startswith("image/svg")) or pixels_in(name, inner):
            return "holds an image in an address"
    return None


def without_pictures(page: str, charts: Mapping[str, bytes]) -> str:
    """Return a report page whose figures are the given charts as SVG, and without those that show images.

    Args:
        page: HTML of the page.
        charts: the packed figures by path, as SVG and PDF.
    """
    drawn = {PurePosixPath(path).stem: data for path, data in charts.items() if path.endswith(".svg")}

    def figure(found: re.Match[str]) -> str:
        name, body = found[1], found[0]
        if name not in drawn:
            left_out = "<p>This figure shows images of a dataset, which are not passed on with the results.</p>"
            body = re.sub(r"<div\b.*?</div>", left_out, body, flags=re.DOTALL)
            return re.sub(r'<a href="figures/[^"]*">[^<]*</a>\s*', "", body)
        address = f"data:image/svg+xml;base64,{base64.b64encode(drawn[name]).decode('ascii')}"
        body = re.sub(r'src="data:[^"]*"', f'src="{address}"', body)
        return re.sub(r'\s*<a href="figures/[^"]*\.png">[^<]*</a>', "", body)

    def link(found: re.Match[str]) -> str:
        return found[0] if found[1] in drawn else ""

    page = re.sub(r'<figure id="([\w-]+)">.*?</figure>', figure, page, flags=re.DOTALL)
    return re.sub(r'<li><a href="figures/([\w-]+)\.pdf">[^<]*</a></li>', link, page)
