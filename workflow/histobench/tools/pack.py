"""Pack a finished study into one archive that can be passed on: no images, no weights, no paths of this machine.

The report is made again from the runs' predictions, in a temporary folder without any image; that one is packed, if its tables
are the study's. Packing the same study twice gives the same bytes. `make verify ARCHIVE=FILE` checks the archive anywhere.
"""

import csv
import gzip
import hashlib
import io
import json
import math
import os
import platform
import re
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import distributions
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from histobench.datasets import folds, manifest
from histobench.io.checkout import commit
from histobench.io.errors import HistoBenchError
from histobench.io.files import atomic_path, write_csv
from histobench.study import paths
from histobench.study.config import CnnEntry, Config, load
from histobench.study.outputs import CONTENTS
from histobench.study.runs import is_up_to_date
from histobench.tools import checklist, crate
from histobench.tools.command_line import parser, run_tool, study

ROOT = Path(__file__).parents[3]
README, CHECKSUMS = "README.md", "CHECKSUMS.sha256"
CONFIGURATION, ENVIRONMENT = "configuration.json", "environment.json"
REPORT = ("score", "compare", "variance", "check_arms", "costs", "claims", "table_", "figure_", "page")
"""Beginnings of the names of the rules that make the report from predictions, but for `PICTURES`: no others are run."""
PICTURES = {"figure_samples", "figure_errors"}
SAMPLES = ("figure1", "figure2", CONTENTS["figure1"][0], CONTENTS["figure2"][0], "error-pictures")
"""Figures that show images of a dataset: they are not packed."""
CHARTS = (".svg", ".pdf", ".png")
"""Endings of charts, which depend on the versions of the drawing libraries."""


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--output", type=Path, metavar="FILE", help="archive; results/STUDY.tar.gz by default")
    given = arguments.parse_args()
    config = study(given.configfile)
    output = given.output or Path("results", f"{config.study}.tar.gz")
    members = contents(config)
    write(members, config.study, output)
    data = output.read_bytes()
    print(f"Packed   {output}: {len(members)} files, {len(data) / 1e6:.1f} MB, without images and weights")
    print(f"SHA-256  {hashlib.sha256(data).hexdigest()}")
    print(f"Check    make verify ARCHIVE={output}")


def contents(config: Config) -> dict[str, bytes]:
    """Return the files of a finished study's archive by their path in it."""
    again = "run the workflow to the end, then pack the study"
    for run in config.runs:
        place = config.path(paths.RUN, **vars(run))
        if not is_up_to_date(Path(place), config.specification(run)):
            raise HistoBenchError(f"{place}: is missing or was made with other settings; {again}")
    given = config.model_dump(mode="json", exclude_unset=True)
    hidden = outside(given)

    def read(path: str) -> bytes:
        try:
            return without_paths(Path(path).read_bytes(), hidden)
        except OSError as error:
            raise HistoBenchError(f"{path}: cannot be read ({error.strerror}); {again}") from None

    members = {CONFIGURATION: without_paths(_json(given), hidden)}
    packed = load(json.loads(members[CONFIGURATION]))  # whose paths have other keys where it names other sources
    if len(inputs(packed)) < len(inputs(config)):
        raise HistoBenchError(
            "published: two tables outside of this folder have the same file name; rename one, or copy them into it"
        )
    members |= {name: read(path) for name, path in zip(inputs(packed), inputs(config), strict=True)}
    made = rebuild(packed, members)
    for path, data in sorted(made.items()):
        if not path.endswith((*CHARTS, ".html")) and difference(read(path), data):
            raise HistoBenchError(f"{path}: is not what the predictions give; {again}")
    members |= made
    for name, data in members.items():
        for place in (ROOT, Path.cwd(), Path.home()):
            if len(place.parts) > 2 and str(place).encode() in data:
                raise HistoBenchError(f"{name}: names {place}, a folder of this machine; use relative paths")
    packages = {found.metadata["Name"]: found.version for found in distributions()}
    number, clean = commit(ROOT)
    records = [Path(config.path(paths.RECORD, **vars(run))).stat().st_mtime for run in config.runs]
    finished = datetime.fromtimestamp(max(records), UTC).date().isoformat()
    software = {"commit": number, "clean": clean, "finished": finished, "python": platform.python_version()}
    members |= {ENVIRONMENT: _json(software | {"packages": packages}), README: readme(config).encode()}
    members |= metadata(packed, members, software)
    lines = (f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(members.items()))
    return members | {CHECKSUMS: "".join(lines).encode()}


def metadata(config: Config, members: Mapping[str, bytes], software: Mapping[str, Any]) -> dict[str, bytes]:
    """Return what describes an archive of these `members` to others: Croissant, checklists, and the RO-Crate of all of it."""
    code, date = software["commit"] or "", software["finished"]
    found = crate.croissants(config, members, date)
    found[checklist.CHECKLIST] = checklist.checklist(config, members, code, crate.licence(config)).encode()
    return found | {crate.CRATE: crate.crate(config, {**members, **found}, code, date)}


def inputs(config: Config) -> list[str]:
    """Return the files that a study's report is made of: manifests, folds, architectures, what each run left and published scores, no images.

    Their order is that of the grid, so that it is the same for two configurations that differ in paths alone.
    """
    found = [config.path(paths.MANIFEST, dataset=name) for name in config.used_datasets]
    for run in config.runs:
        model = config.models[run.model]
        if not isinstance(model, CnnEntry) and not model.config:
            found.append(config.path(paths.MODEL_CONFIG, model=run.model))
        patterns = (paths.FOLDS, paths.FOLDS_DIGEST, paths.PREDICTIONS, paths.HISTORY, paths.RECORD)
        found += [config.path(pattern, **vars(run)) for pattern in patterns]
    found += [config.path(paths.EXTERNAL, on=on, scale=scale, **vars(run)) for on, scale, run in config.external_runs]
    found += [config.path(paths.STRESS, **vars(run)) for run in config.stress_runs]
    found += [one.file for one in config.published]
    return list(dict.fromkeys(found))


# ---- making the report again ----


def rebuild(config: Config, given: Mapping[str, bytes]) -> dict[str, bytes]:
    """Make the report of a study in a temporary folder; return its files by their path, without the figures of `SAMPLES`.

    `given` are the study's :func:`inputs`. Only the rules of the report are run, by this checkout, without a network.
    """
    results = paths.STUDY.format(study=config.study)
    safe = harmless(config)
    files = {path: given[name] for path, name in zip(inputs(safe), inputs(config), strict=True)}
    files |= {f"{results}/figures/{name}{kind}": b"<svg/>" for name in SAMPLES for kind in CHARTS}
    files |= {paths.CONFIGURATION: _json(safe.model_dump(mode="json", exclude_unset=True))}
    files |= dict.fromkeys(["absent", ".cache/absent", *weights(safe)], b"")
    with TemporaryDirectory(prefix="histobench-") as temporary:
        folder = Path(temporary)
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        for dataset, split in dict.fromkeys((run.dataset, run.split) for run in safe.runs):
            places = (
                safe.path(some, dataset=dataset, split=split)
                for some in (paths.MANIFEST, paths.FOLDS, paths.FOLDS_CENSUS)
            )
            images_file, folds_file, census_file = (folder / place for place in places)
            images = manifest.load(images_file)
            loaded = folds.load(folds_file, images, safe.splits[split].by, [])
            write_csv(census_file, folds.CENSUS_COLUMNS, folds.census(images, loaded))
        _make_report(folder)
        found = [path for path in (folder / results).rglob("*") if path.is_file() and path.stem not in SAMPLES]
        found = [path for path in found if path.suffix != ".npz"]  # large, and made again from the predictions
        found += folder.glob("results/claims_published/*")
        made = {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
    made[f"{results}/report.html"] = without_samples(made[f"{results}/report.html"])
    return made


def weights(config: Config) -> list[str]:
    """Return the files that published weights become; where they are there, if empty, nothing asks for their sources."""
    return [
        path
        for name in config.models
        for path in (config.path(paths.WEIGHTS, model=name), *config.text_files(name).values())
    ]


def rules() -> set[str]:
    """Return the names of the rules of the report, which are those of their scripts."""
    return {path.stem for path in (ROOT / "scripts").glob("*.py") if path.stem.startswith(REPORT)} - PICTURES


def _make_report(folder: Path) -> None:
    """Run the rules of the report in a folder."""
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "workflow/Snakefile")),
        *("--cores", "all", "--quiet", "all"),
        *("--profile", "none", "--workflow-profile", "none", "--rerun-triggers", "mtime", "--scheduler", "greedy"),
        *("--show-failed-logs", "--allowed-rules", "all", *rules()),
    ]
    users = ("SNAKEMAKE_", "HISTOBENCH_", "PYTHONPATH")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(users)}
    environment |= dict.fromkeys(("TMPDIR", "XDG_CACHE_HOME", "HF_HOME"), str(folder / ".cache"))
    environment |= {"HISTOBENCH_LAUNCHER_IDLE": "5", "HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        lines = [line.strip() for line in (ended.stdout + ended.stderr).splitlines() if line.strip()]
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")] or lines[-1:]
        raise HistoBenchError(f"the report cannot be made again: {errors[0] if errors else 'no reason was given'}")


def without_samples(page: bytes) -> bytes:
    """Return a report page without the figures of `SAMPLES`, of which only placeholders are there, and links to them."""
    names = "|".join(SAMPLES).encode()
    left_out = rb"\1<p>This figure shows images of a dataset, which are not passed on with the results.</p>\2"
    page = re.sub(rb'(<figure id="(?:%b)">).*?(</figure>)' % names, left_out, page, flags=re.DOTALL)
    return re.sub(rb'<li><a href="figures/(?:%b)\.pdf">[^<]*</a></li>' % names, b"", page)


def harmless(config: Config) -> Config:
    """Return a configuration with the same report, whose datasets and fold lists are an empty file, and which names no device."""
    given: dict[str, Any] = config.model_dump(mode="json", exclude_unset=True) | {"device": "cpu"}
    for dataset in given["datasets"].values():
        for key in ("url", "mirrors", "sha256"):
            dataset.pop(key, None)
        dataset |= {key: "absent" for key in ("source", "table") if dataset.get(key)}
    for split in given["splits"].values():
        split |= {"file": "absent"} if split.get("file") else {}
        if split.get("files"):
            split["files"] = [f"absent{number}" for number in range(len(split["files"]))]
    files = [one["file"] for one in given.get("published", [])]
    for one in given.get("published", []):
        one["file"] = f"published{files.index(one['file'])}.csv"
    return load(given)


def difference(packed: bytes, rebuilt: bytes, table: bool = False) -> str:
    """Return where two texts, or CSV tables, first differ by more than rounding; empty where they do not."""
    lines = [data.decode("utf-8", "replace").split("\n") for data in (packed, rebuilt)]
    for number, (one, other) in enumerate(zip_longest(*lines, fillvalue=""), start=1):
        if close(one, other):
            continue
        if table:
            cells = (next(csv.reader([line]), []) for line in (lines[1][0], one, other))
            columns = zip_longest(*cells, fillvalue="")
            column, ours, theirs = next(cell for cell in columns if not close(cell[1], cell[2]))
            return f"line {number}, column {column}: packed {ours}, rebuilt {theirs}"
        first = next((at for at, letters in enumerate(zip(one, other, strict=False)) if letters[0] != letters[1]), 0)
        ours, theirs = (line[max(0, first - 30) : first + 30] for line in (one, other))
        return f"line {number}: packed {ours!r}, rebuilt {theirs!r}"
    return ""


def close(one: str, other: str, tolerance: float = 1e-9) -> bool:
    """Tell whether two texts are equal but for the rounding of their numbers, which another processor may do otherwise."""
    if one == other:
        return True
    parts = [re.split(r"(\d+\.\d+(?:e[-+]?\d+)?)", text) for text in (one, other)]
    return len(parts[0]) == len(parts[1]) and all(
        ours == theirs or (at % 2 == 1 and math.isclose(float(ours), float(theirs), rel_tol=tolerance, abs_tol=1e-12))
        for at, (ours, theirs) in enumerate(zip(*parts, strict=True))
    )


# ---- without paths ----


def outside(value: Any, key: str = "") -> dict[str, str]:
    """Return the paths in a configuration that lead out of the project, each with the file name that replaces it."""
    if isinstance(value, Mapping):
        return {path: name for inner, some in value.items() for path, name in outside(some, inner).items()}
    if isinstance(value, list):
        return {path: name for some in value for path, name in outside(some, key).items()}
    if key not in ("source", "table", "files", "file", "folder") or not isinstance(value, str) or "://" in value:
        return {}
    path = PurePosixPath(value)
    return {value: path.name or "images"} if path.is_absolute() or ".." in path.parts or value[0] == "~" else {}


def without_paths(data: bytes, hidden: Mapping[str, str]) -> bytes:
    """Return a text with each path of `hidden` replaced, unless it is part of a longer one."""
    for path in sorted(hidden, key=len, reverse=True):
        alone = rb"(?<![\w./~-])" + re.escape(path.encode()) + rb"(?![\w-])"
        data = re.sub(alone, lambda _, path=path: hidden[path].encode(), data)
    return data


# ---- the archive ----


def write(members: Mapping[str, bytes], folder: str, output: Path) -> None:
    """Write an archive whose bytes depend on its members alone: order, dates, owners and modes are fixed."""
    with (
        atomic_path(output) as temporary,
        temporary.open("wb") as file,
        gzip.GzipFile("", "wb", 9, file, 0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, data in sorted(members.items()):
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size, info.mtime, info.mode = len(data), 315532800, 0o644  # 1980-01-01
            tar.addfile(info, io.BytesIO(data))


def readme(config: Config) -> str:
    """Return what the archive says about itself."""
    results = paths.STUDY.format(study=config.study)
    return f"""# Results of the study `{config.study}`

{len(config.runs)} training runs of HistoBench, and the report made of their predictions. {" ".join(config.notes)}
Open `{results}/report.html` in a browser. Manifests, folds and runs are in `results/DATASET-KEY/`; the configuration is
`{CONFIGURATION}`; commit, Python and packages are in `{ENVIRONMENT}`. Images, weights and logs are not in it.

`{crate.CRATE}` describes every file (RO-Crate), `{crate.CROISSANT}` beside each manifest its images and folds (Croissant), and
`{checklist.CHECKLIST}` has the reporting checklists CLAIM and TRIPOD+AI, filled in as far as the study tells.

To check it without images: `sha256sum -c {CHECKSUMS}` here finds a changed file; in a checkout of HistoBench, best at that
commit, `make verify ARCHIVE=FILE` makes every table again.
"""


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


if __name__ == "__main__":
    run_tool(main)
