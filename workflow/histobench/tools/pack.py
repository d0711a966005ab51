"""Pack a finished study into one archive that can be passed on: no images, no weights, nothing of this machine.

`python -m histobench.tools.verify ARCHIVE` rebuilds every table from it. Packing the same study twice gives the same
bytes.
"""

import argparse
import gzip
import hashlib
import html
import io
import json
import re
import tarfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from histobench.io.errors import HistoBenchError, run_script
from histobench.io.files import atomic_path
from histobench.study import paths
from histobench.study.config import Config
from histobench.study.runs import is_up_to_date
from histobench.tools import bundle
from histobench.tools.studies import DEFAULT, study

DATED = 315532800
"""The date of every member, 1980-01-01: that of packing would make each archive another one."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m histobench.tools.pack", description=__doc__)
    parser.add_argument(
        "--configfile", type=Path, nargs="+", default=[], metavar="FILE", help="of the study, as for snakemake"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="archive to write; results/STUDY.tar.gz by default")
    given = parser.parse_args()

    config = study(given.configfile)
    output = given.output or Path("results", f"{config.study}.tar.gz")
    made = bundle.made(config)
    require_finished(config, made, given.configfile)
    members = contents(config, made, given.configfile)
    write(members, config.study, output)
    kinds = Counter(kind_of(name, config, made) for name in members)
    print(
        f"{output}: study {config.study}, {len(members)} files: "
        + ", ".join(f"{n} {kind}" for kind, n in kinds.items())
    )
    print("No images and no weights are in it; figures that show images are left out, also on the page.")
    data = output.read_bytes()
    print(f"{len(data) / 1e6:.2f} MB, SHA-256 {hashlib.sha256(data).hexdigest()}")
    print(f"To check it anywhere: make verify ARCHIVE={output}")


def require_finished(config: Config, made: bundle.Made, configfiles: Sequence[Path] = ()) -> None:
    """Require that everything of a study is there, and that its runs were made with its settings.

    Raises:
        HistoBenchError: saying how many are missing of what.
    """
    whole: Counter[str] = Counter()
    absent: dict[str, list[str]] = {}
    for run in config.runs:
        whole["runs"] += 1
        specification = config.specification(run.model, run.mode, run.magnification, run.augmentation, run.fold)
        if not is_up_to_date(Path(run.folder), specification) or not Path(run.folder, "history.csv").is_file():
            absent.setdefault("runs", []).append(run.folder)
    files = {path: kind for path, kind in bundle.inputs(config).items() if kind != "runs"}
    files |= dict.fromkeys(made.tables, "tables") | dict.fromkeys([*made.figures, made.page], "figures and pages")
    for path, kind in files.items():
        whole[kind] += 1
        if not Path(path).is_file():
            absent.setdefault(kind, []).append(path)
    if absent:
        parts = [f"{len(some)} of {whole[kind]} {kind} (first: {some[0]})" for kind, some in absent.items()]
        again = " ".join(["snakemake", *(["--configfile", *map(str, configfiles)] if configfiles else [])])
        raise HistoBenchError(
            f"study {config.study} is not finished: {', '.join(parts)} are missing or were made with other settings; "
            f"run `{again}` to the end, then pack it"
        )


def contents(config: Config, made: bundle.Made, configfiles: Sequence[Path] = ()) -> dict[str, bytes]:
    """Return the files of a study's archive by their path in it.

    Raises:
        HistoBenchError: two configuration files have the same name, or a file holds an image, or a path of this machine.
    """
    members: dict[str, bytes] = {}
    for path in [
        *bundle.inputs(config),
        *filter(lambda path: Path(path).is_file(), bundle.digests(config)),
        *made.tables,
    ]:
        members[path] = Path(path).read_bytes()
    for path in dict.fromkeys([DEFAULT, *map(Path, configfiles)]):
        name = f"{bundle.CONFIG}/{path.name}"
        if name in members:
            raise HistoBenchError(f"{path}: another configuration file is called {path.name} too; rename one of them")
        members[name] = path.read_bytes()
    given = bundle.packable(config)
    members[bundle.CONFIGURATION] = _json(given)
    charts = {path: Path(path).read_bytes() for path in made.figures}
    page = bundle.without_pictures(Path(made.page).read_text(encoding="utf-8"), charts)
    members |= charts | {made.page: page.encode()}
    hidden = bundle.machine_paths(given)
    members = {name: _without_paths(data, hidden) for name, data in members.items()}
    for name, data in members.items():
        for place in (bundle.ROOT, Path.cwd(), Path.home()):
            if len(place.parts) > 1 and _stands_alone(str(place)).search(data):
                raise HistoBenchError(
                    f"{name}: names {place}, a folder of this machine, which the archive would give away; "
                    "write paths that are relative to the project, and run the workflow again"
                )
    members |= {name: path.read_bytes() for name, path in bundle.code().items()}
    members[bundle.ENVIRONMENT] = _json(bundle.environment())
    members[bundle.README] = readme(config).encode()
    for name, data in members.items():
        if fault := bundle.pixels_in(name, data):
            raise HistoBenchError(f"{name}: {fault}, and no archive may; remove the file, or make it again")
    members = dict(sorted(members.items()))
    lines = (f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in members.items())
    return members | {bundle.CHECKSUMS: "".join(lines).encode()}


def write(members: Mapping[str, bytes], folder: str, output: Path) -> None:
    """Write an archive whose bytes depend on nothing but its members: their order, dates, owners and modes are fixed."""
    with (
        atomic_path(output) as temporary,
        temporary.open("wb") as file,
        gzip.GzipFile("", "wb", 9, file, 0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, data in sorted(members.items()):
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size, info.mtime, info.mode = len(data), DATED, 0o644
            tar.addfile(info, io.BytesIO(data))


def _without_paths(data: bytes, hidden: Mapping[str, str]) -> bytes:
    """Return a text with paths replaced by their file names, however JSON or HTML writes them."""
    for path in sorted(hidden, key=len, reverse=True):
        for form in dict.fromkeys((path, json.dumps(path)[1:-1], html.escape(path))):
            data = _stands_alone(form).sub(lambda _, path=path: hidden[path].encode(), data)
    return data


def _stands_alone(path: str) -> re.Pattern[bytes]:
    return re.compile(rb"(?<![\w./~-])" + re.escape(path.encode()) + rb"(?![\w-])")


def readme(config: Config) -> str:
    """Return what the archive says of itself."""
    notes = "".join(f" {note}" for note in config.notes)
    lines = [
        f"# Results of the study `{config.study}`",
        "",
        f"{len(config.runs)} training runs of HistoBench, and everything computed from their predictions.{notes}",
        "Open `" + paths.STUDY.format(study=config.study) + "/report.html` in a browser.",
        "",
        "- `results/DATASET/runs/`: predictions, history and record of every run; `results/DATASET/folds/`: who trains, who evaluates",
        f"- `results/studies/{config.study}/`: scores, intervals, comparisons, claims, tables, charts, the page",
        "- `configuration.json`: the configuration that all of it follows from; `config/`: the files as they were given",
        "- `environment.json`: Python, packages, platform and commit it was packed with; each `run.json` has its own",
        "- `Snakefile`, `workflow/`, `scripts/` and what stands beside them: the code",
        "",
        "No images, weights or logs are part of it, nor the figures that show images.",
        "",
        "## To verify",
        "",
        "```",
        "sha256sum -c CHECKSUMS.sha256            # in this folder: nothing was changed after packing",
        "make verify ARCHIVE=path/to/the.tar.gz   # in a checkout of HistoBench: rebuilds every table, without GPU or images",
        "```",
        "",
        "The code in this folder is such a checkout; whoever does not trust it takes the commit that `environment.json` names.",
        "",
    ]
    return "\n".join(lines)


def kind_of(name: str, config: Config, made: bundle.Made) -> str:
    """Return what a packed file is, in the plural."""
    if name in made.tables:
        return "tables"
    if name in made.figures:
        return "figures"
    if name == made.page:
        return "pages"
    if name.startswith("results/"):
        return bundle.inputs(config).get(name, "manifests")
    return "of code" if bundle.is_code(name) else "about it"


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


if __name__ == "__main__":
    run_script(main)
