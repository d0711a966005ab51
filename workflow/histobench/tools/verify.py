"""Check the archive of a study, and rebuild every table in it from its predictions.

Neither images nor weights nor a GPU are needed. The archive is not trusted: what it may hold is decided by its
configuration and this checkout's workflow, of which only the rules that compute tables are run, in a temporary folder;
no code of the archive is ever run. Exits with 0 if every number follows from the predictions, with 1 if not.
"""

import argparse
import csv
import gzip
import io
import json
import math
import os
import re
import shutil
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile, zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from histobench.datasets import folds, manifest
from histobench.datasets.archives import members
from histobench.evaluation import external, predictions
from histobench.evaluation.summary import METRICS_COLUMNS
from histobench.io.errors import HistoBenchError, run_script
from histobench.io.files import read_csv, sha256_of, write_csv
from histobench.metrics import METRICS
from histobench.study import paths
from histobench.study.config import Config, load
from histobench.study.runs import is_up_to_date, record
from histobench.tools import bundle

MAX_BYTES = 2 * 2**30
"""Largest archive, unpacked: fifty times that of the paper's study."""
MAX_FILES = 200_000
ROUNDING = 1e-9
"""Relative difference up to which numbers are equal but for the rounding of another processor's arithmetic."""
NUMBER = re.compile(r"(\d+\.\d+(?:e[-+]?\d+)?)")
KINDS = {
    "table": "tables",
    "score": "scores",
    "compare": "intervals and comparisons",
    "claims": "claims",
    "count": "parameters",
    "costs": "costs",
}
"""What the first word of a rule's name makes."""
FIGURES = "figures"
NONSENSE = (csv.Error, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
"""What reading data of another form than a study's can raise."""
HISTORY_DIGITS = 1e-6
"""Relative difference of scores in a history, which has nine digits of what was computed in single precision."""
Say = Callable[[str], None]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m histobench.tools.verify",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("archive", type=Path, metavar="ARCHIVE", help="what histobench.tools.pack wrote")
    given = parser.parse_args()
    if not verify(given.archive, lambda line: print(_printable(line), flush=True)):
        sys.exit(1)


def verify(archive: Path, say: Say) -> bool:
    """Check an archive and say what was found; return whether every rebuilt table is the packed one.

    Raises:
        HistoBenchError: the archive is not what a study is packed to, or its parts contradict each other.
    """
    with TemporaryDirectory(prefix="histobench-") as temporary:
        folder = Path(temporary)
        packed, rebuilt = folder / "packed", folder / "rebuilt"
        name, found = unpack(archive, packed)
        say(f"{archive}: {archive.stat().st_size / 1e6:.2f} MB, SHA-256 {sha256_of(archive)}")
        require_checksums(archive, packed, found)
        say(f"Checksums: all {len(found) - 1} files are what {bundle.CHECKSUMS} says.")
        try:
            config = configuration(packed / bundle.CONFIGURATION)
            if config.study != name:
                raise HistoBenchError(
                    f"its folder is called {name}, but its configuration is that of study {config.study}"
                )
            require_present(config, bundle.inputs(config), found)
            for path in bundle.inputs(config):
                (rebuilt / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(packed / path, rebuilt / path)
            for line in contradictions(config, packed, rebuilt):
                say(line)
            made = bundle.made(config)
            require_members(config, made, found)
            recount(config, rebuilt)
            differing = rebuild(config, made, packed, rebuilt, say)
            histories = wrong_histories(config, rebuilt)
            differing += len(histories)
            for fault in histories:
                say(f"  {fault.removeprefix('results/')}")
            if not histories:
                say("Histories: their scores at the last and at the best epoch are those of the predictions.")
        except HistoBenchError as error:
            words = str(error).replace(f"{rebuilt}/", "").replace(f"{packed}/", "").split("\n")[0]
            raise HistoBenchError(f"{archive}: {_printable(words)}") from None
        except NONSENSE as error:
            raise HistoBenchError(
                f"{archive}: holds what no study is packed with ({error!r}); pack it again"
            ) from error
        except OSError as error:
            raise HistoBenchError(
                f"{folder}: cannot be written ({error.strerror}); free some space, or set TMPDIR to another folder"
            ) from error
        for line in surroundings(packed, found):
            say(line)
    if differing:
        say(f"DIFFERENT: {differing} files of study {name} do not follow from its predictions by this checkout's code.")
    else:
        say(f"VERIFIED: every table of study {name}, and its page, follow from its predictions.")
    return not differing


def unpack(archive: Path, folder: Path) -> tuple[str, set[str]]:
    """Write the files of an archive into `folder`.

    Returns:
        The name of the one folder that the archive holds, and the paths of the files below it.

    Raises:
        HistoBenchError: it is no .tar.gz, is truncated or too large, or holds a member that no study is packed with.
    """
    require_bounded(archive)
    tops, found = set(), set()
    for member in members(archive):
        top, _, name = member.name.partition("/")
        tops.add(top)
        if not name or len(tops) > 1:
            raise HistoBenchError(
                f"{archive}: member {member.name} stands beside the study's one folder; pack it again"
            )
        if name in found or len(found) == MAX_FILES:
            fault = "occurs twice" if name in found else f"is one more than {MAX_FILES} files"
            raise HistoBenchError(f"{archive}: member {member.name} {fault}; pack the study again")
        data = member.read()
        if fault := bundle.pixels_in(name, data):
            raise HistoBenchError(f"{archive}: member {member.name} {fault}; pack the study again")
        try:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        except OSError as error:
            raise HistoBenchError(f"{archive}: member {member.name} cannot be written ({error.strerror})") from error
        found.add(name)
    if not found:
        raise HistoBenchError(f"{archive}: holds no file; pack the study again")
    return tops.pop(), found


def require_bounded(archive: Path) -> None:
    """Require a gzip archive that is whole and does not swell beyond :data:`MAX_BYTES`, keeping none of it.

    Raises:
        HistoBenchError: it is not.
    """
    size = 0
    try:
        with archive.open("rb") as file:
            if file.read(2) != b"\x1f\x8b":
                raise HistoBenchError(f"{archive}: is no .tar.gz; give what `make pack` wrote")
        with gzip.open(archive) as stream:
            while block := stream.read(2**20):
                size += len(block)
                if size > MAX_BYTES:
                    raise HistoBenchError(f"{archive}: swells to more than {MAX_BYTES} bytes, as no study does")
    except FileNotFoundError as error:
        raise HistoBenchError(f"{archive}: no such archive; correct the path") from error
    except (OSError, EOFError, zlib.error) as error:
        raise HistoBenchError(f"{archive}: is truncated, corrupt or unreadable ({error}); get a whole copy") from error


def require_checksums(archive: Path, folder: Path, found: set[str]) -> None:
    """Require that the checksums name every file but their own, and each rightly.

    Raises:
        HistoBenchError: naming the first that is missing, surplus or changed, and how many there are.
    """
    place = folder / bundle.CHECKSUMS
    if bundle.CHECKSUMS not in found:
        raise HistoBenchError(f"{archive}: {bundle.CHECKSUMS} is missing; pack the study again")
    wanted: dict[str, str] = {}
    for number, line in enumerate(place.read_text(encoding="utf-8").splitlines(), start=1):
        match = re.fullmatch(r"([0-9a-f]{64})  (.+)", line)
        if not match or match[2] in wanted:
            raise HistoBenchError(
                f"{archive}: {bundle.CHECKSUMS}, line {number}: found {line[:80]!r}, expected `SHA-256  path`"
            )
        wanted[match[2]] = match[1]
    here = found - {bundle.CHECKSUMS}
    faults = {
        "missing": sorted(wanted.keys() - here),
        "in no line of it": sorted(here - wanted.keys()),
        "changed": sorted(name for name in here & wanted.keys() if sha256_of(folder / name) != wanted[name]),
    }
    for fault, names in faults.items():
        if names:
            raise HistoBenchError(
                f"{archive}: of the files in {bundle.CHECKSUMS}, {_some(names)} {fault}; get an unchanged copy"
            )


def configuration(path: Path) -> Config:
    """Read the packed configuration.

    Raises:
        HistoBenchError: it is missing, is none, or would make of this checkout's workflow more work than a study is.
    """
    again = "it was not written by `make pack`"
    try:
        given = json.loads(path.read_bytes())
        runs = sum(
            math.prod(len(block[key]) for key in ("models", "modes", "splits", "magnifications", "augmentations"))
            for block in [*given["grid"], *given.get("external", [])]
        )
    except FileNotFoundError as error:
        raise HistoBenchError(f"{path}: is missing; {again}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise HistoBenchError(f"{path}: is no configuration of a study ({type(error).__name__}); {again}") from error
    if runs > MAX_FILES:
        raise HistoBenchError(f"{path}: is a grid of {runs} arms, more than an archive can hold; {again}")
    return load(given)


def require_present(config: Config, required: Iterable[str], found: set[str]) -> None:
    """Require that no file is missing.

    Raises:
        HistoBenchError: naming the first, and how many there are.
    """
    if missing := sorted(set(required) - found):
        raise HistoBenchError(
            f"of the files that study {config.study} is made of, {_some(missing)} missing; pack it again"
        )


def require_members(config: Config, made: bundle.Made, found: set[str]) -> None:
    """Require that an archive holds what a study is packed to, neither more nor less.

    Raises:
        HistoBenchError: naming the first that is missing or surplus, and how many there are.
    """
    about = {bundle.README, bundle.CHECKSUMS, bundle.CONFIGURATION, bundle.ENVIRONMENT}
    required = {*bundle.inputs(config), *made.tables, *made.figures, made.page, *about}
    require_present(config, required, found)
    given = {name for name in found if re.fullmatch(rf"{bundle.CONFIG}/[^/]+", name) or bundle.is_code(name)}
    if surplus := sorted(found - required - given - set(bundle.digests(config))):
        raise HistoBenchError(f"{_some(surplus)} no part of study {config.study}; pack it again")


def contradictions(config: Config, packed: Path, folder: Path) -> list[str]:
    """Check what the tables are made of, as far as that is possible without images.

    Returns:
        Lines that say what was checked.

    Raises:
        HistoBenchError: folds divide a patient or are not those of the manifest, predictions are not those of exactly
            their fold's images, or a run is of another specification than the configuration's.
    """
    images = {name: manifest.load(folder / paths.MANIFEST.format(dataset=name)) for name in config.used_datasets}
    splits: dict[tuple[str, str], folds.Folds] = {}
    for dataset, split in dict.fromkeys((run.dataset, run.split) for run in config.runs):
        path = folder / paths.FOLDS.format(dataset=dataset, split=split)
        wanted = config.splits[split]
        splits[dataset, split] = loaded = folds.load(path, images[dataset], wanted.by)
        if loaded.count != wanted.folds:
            raise HistoBenchError(f"{path}: has {loaded.count} folds, the configuration {wanted.folds}")
    gaps = packed / paths.STUDY.format(study=config.study) / "gaps.csv"
    known = {row["where"] for row in read_csv(gaps, predictions.GAPS_COLUMNS)}
    unusable = 0
    for run in config.runs:
        specification = config.specification(run.model, run.mode, run.magnification, run.augmentation, run.fold)
        place = folder / run.folder
        if not is_up_to_date(place, specification):
            raise HistoBenchError(f"{run.folder}/run.json: is of other settings than the configuration gives this run")
        train, test = splits[run.dataset, run.split].rows(images[run.dataset], run.fold, run.magnification)
        recorded = record(place)
        counted = recorded.get("images")
        if counted != {"training": len(train), "evaluation": len(test)}:
            raise HistoBenchError(
                f"{run.folder}/run.json: counts the images {counted}, but its fold has {len(train)} to train on and "
                f"{len(test)} to evaluate"
            )
        tested = [images[run.dataset][row] for row in test]
        sides = {"training": [images[run.dataset][row] for row in train], "evaluation": tested}
        digests = recorded.get("sha256") or {}
        for side, some in sides.items():
            if f"{side} images" in digests and digests[f"{side} images"] != manifest.digest(some):
                raise HistoBenchError(f"{run.folder}/run.json: its {side} images are not those of fold and manifest")
        try:
            read = predictions.read(folder / run.predictions)
        except HistoBenchError as error:
            if f"{run.arm}/fold{run.fold}" in known:  # the study itself says that it could not be used
                unusable += 1
                continue
            raise error
        _require_images(run.predictions, read.image_id, read.patient, read.label, tested)
        if read.fold != run.fold:
            raise HistoBenchError(f"{run.predictions}: is of fold {read.fold}")
    for on, run in config.external_runs:
        path = paths.external(on, run)
        said = external.read(folder / path)
        _require_images(path, said.image_id, said.patient, said.label, images[on])
    lines = [
        f"Folds: {len(splits)} of {len(splits)} splits keep their groups apart and are those of the manifests.",
        f"Runs: {len(config.runs)} of {len(config.runs)} have the configured settings; {len(config.runs) - unusable} predict "
        f"each image of their fold once, with the manifest's label and patient.",
    ]
    if unusable:
        lines.append(f"Gaps: {unusable} runs cannot be used, as the study itself says in gaps.csv.")
    if config.external_runs:
        lines.append(f"External: {len(config.external_runs)} files predict each image of the other dataset once.")
    return lines


def _require_images(
    path: str, image_id: Sequence[str], patient: Any, label: Any, images: Sequence[manifest.Image]
) -> None:
    """Require the very images, in manifest order, with their patients and labels."""
    found = list(zip(image_id, patient.tolist(), label.tolist(), strict=True))
    wanted = [(image.image_id, image.patient, int(image.label == "malignant")) for image in images]
    for line, (ours, theirs) in enumerate(zip_longest(found, wanted), start=2):
        if ours != theirs:
            raise HistoBenchError(
                f"{path}, line {line}: is {_written(ours)}, but the fold and the manifest say {_written(theirs)}"
            )


def _written(row: tuple[str, str, int] | None) -> str:
    return "no row" if row is None else f"image {row[0]} of patient {row[1]}, label {row[2]}"


def censuses(config: Config) -> list[str]:
    """Return the paths of the counts that follow from manifests and folds."""
    datasets = [paths.CENSUS.format(dataset=dataset) for dataset in config.used_datasets]
    splits = dict.fromkeys((run.dataset, run.split) for run in config.runs)
    return datasets + [paths.FOLDS_CENSUS.format(dataset=dataset, split=split) for dataset, split in splits]


def recount(config: Config, folder: Path) -> None:
    """Put the counts of manifests and folds, computed again, in the place of the packed ones."""
    for dataset in config.used_datasets:
        images = manifest.load(folder / paths.MANIFEST.format(dataset=dataset))
        manifest.save_census(folder / paths.CENSUS.format(dataset=dataset), images)
        for split in dict.fromkeys(run.split for run in config.runs if run.dataset == dataset):
            names = {"dataset": dataset, "split": split}
            loaded = folds.load(folder / paths.FOLDS.format(**names), images, config.splits[split].by)
            counted = folds.census(images, loaded)
            write_csv(folder / paths.FOLDS_CENSUS.format(**names), folds.CENSUS_COLUMNS, counted)


def rebuild(config: Config, made: bundle.Made, packed: Path, rebuilt: Path, say: Say) -> int:
    """Compute every table again and compare it with the packed one.

    Args:
        packed: folder of the unpacked archive.
        rebuilt: folder that holds the study's inputs alone.

    Returns:
        The number of files that differ.

    Raises:
        HistoBenchError: the workflow cannot compute them.
    """
    for path in made.samples:  # which the page takes in, and a packed page is without
        (rebuilt / path).parent.mkdir(parents=True, exist_ok=True)
        (rebuilt / path).write_text("<svg xmlns='http://www.w3.org/2000/svg'/>", encoding="utf-8")
    rules = [*made.tables.values(), *made.figures.values(), bundle.PAGE]
    ended = bundle.snakemake(
        rebuilt, config, [*made.tables, *made.figures, made.page], "--cores", str(os.cpu_count() or 1),
        "--scheduler", "greedy", "--quiet", "all", "--show-failed-logs", "--allowed-rules", *dict.fromkeys(rules),
    )  # fmt: skip
    if ended.returncode:
        raise HistoBenchError(f"the tables cannot be rebuilt: {bundle.last_words(ended)}")
    expected = {path: KINDS.get(rule.partition("_")[0], rule) for path, rule in made.tables.items()}
    expected |= dict.fromkeys(censuses(config), "census") | {made.page: "page"} | dict.fromkeys(made.figures, FIGURES)
    charts = {path: (packed / path).read_bytes() for path in made.figures}
    outcomes: dict[str, Counter[str]] = {}
    differences: dict[bool, list[str]] = {True: [], False: []}
    for path, kind in expected.items():
        ours, theirs = ((folder / path).read_bytes() for folder in (packed, rebuilt))
        if path == made.page:
            ours, theirs = (_comparable(page, charts) for page in (ours, theirs))
        found = compare(ours, theirs, path)
        outcomes.setdefault(kind, Counter())[found.outcome] += 1
        if found.outcome == "differing":
            differences[kind == FIGURES].append(f"  {path.removeprefix('results/')}{found.where}")
    say(f"{'Rebuilt':<28}{'files':>7}{'identical':>11}{'rounding':>10}{'differing':>11}")
    for kind, counts in outcomes.items():
        say(f"{kind:<28}{counts.total():7}{counts['identical']:11}{counts['rounding']:10}{counts['differing']:11}")
    for line in differences[False]:
        say(line)
    if differences[True]:
        say(
            f"Figures may be drawn otherwise by other software, and are not counted: compare {differences[True][0].strip()}."
        )
    return len(differences[False])


def _comparable(page: bytes, charts: Mapping[str, bytes]) -> bytes:
    """Return a page with the packed charts, and without what says by which code and software it was made."""
    text = bundle.without_pictures(page.decode("utf-8", "replace"), charts)
    return re.sub(r"<dt>(Code|Software of this page)</dt><dd>.*?</dd>", "", text).encode()


def wrong_histories(config: Config, folder: Path) -> list[str]:
    """Return a sentence for each run whose history has other scores, at its last or best epoch, than its predictions."""
    metrics = read_csv(folder / paths.STUDY.format(study=config.study) / "metrics.csv", METRICS_COLUMNS)
    faults: dict[str, str] = {}
    for row in metrics:
        path = paths.HISTORY.format(**row)
        history = read_csv(folder / path, ("epoch", *METRICS))
        best = record((folder / path).parent).get("best_epoch")
        epoch = best if row["selection"] == "best_epoch" else len(history)
        if not isinstance(epoch, int) or not 1 <= epoch <= len(history):
            faults.setdefault(path, f"{path}: has {len(history)} epochs, and the best is said to be {epoch}")
            continue
        for metric in METRICS:
            said, true = history[epoch - 1][metric], row[metric]
            if not _close(said, true, HISTORY_DIGITS):
                fault = (
                    f"{path}, line {epoch + 1}, column {metric}: {said}, but the predictions of that epoch give {true}"
                )
                faults.setdefault(path, fault)
    return list(faults.values())


@dataclass(frozen=True)
class Outcome:
    """How a rebuilt file compares with the packed one."""

    outcome: str
    """``identical``, ``rounding`` (numbers that differ by less than :data:`ROUNDING`) or ``differing``."""
    where: str = ""
    """The first place that differs, and how."""


def compare(packed: bytes, rebuilt: bytes, path: str) -> Outcome:
    """Compare two files byte for byte and, where these differ, cell by cell or line by line."""
    if packed == rebuilt:
        return Outcome("identical")
    texts = [data.decode("utf-8", "replace") for data in (packed, rebuilt)]
    tables = [list(csv.reader(io.StringIO(text))) if path.endswith(".csv") else [] for text in texts]
    parts = [NUMBER.split(text) for text in texts]  # the numbers stand at odd places
    if len(parts[0]) == len(parts[1]) and all(
        one == other or (place % 2 and _close(one, other))
        for place, (one, other) in enumerate(zip(*parts, strict=True))
    ):
        return Outcome("rounding")
    if tables[0] and tables[1] and tables[0][0] == tables[1][0]:
        for line, (ours, theirs) in enumerate(zip_longest(*tables, fillvalue=[]), start=1):
            if len(ours) != len(theirs):
                return Outcome("differing", f", line {line}: packed {ours}, rebuilt {theirs}")
            for column, one, other in zip(tables[0][0], ours, theirs, strict=False):
                if one != other and not _close(one, other):
                    row = " ".join(takewhile(lambda cell: cell and not _fraction(cell), ours[:8]))
                    where = f", line {line} ({row}), column {column}: packed {one}, rebuilt {other}"
                    return Outcome("differing", where)
    lines = zip_longest(*(text.splitlines() for text in texts), fillvalue="")
    for number, (ours, theirs) in enumerate(lines, start=1):
        if ours != theirs:
            where = f", line {number}: packed {_short(ours, theirs)}, rebuilt {_short(theirs, ours)}"
            return Outcome("differing", where)
    return Outcome("differing", ": the ends of its lines")


def _close(one: str, other: str, tolerance: float = ROUNDING) -> bool:
    try:
        return math.isclose(float(one), float(other), rel_tol=tolerance, abs_tol=tolerance / 1000)
    except ValueError:
        return False


def _fraction(cell: str) -> bool:
    return re.fullmatch(r"-?\d+\.\d+(e-?\d+)?", cell) is not None


def _short(line: str, other: str) -> str:
    """Return what of a line is not as in the other, with a little around it."""
    start = next((at for at, pair in enumerate(zip(line, other, strict=False)) if pair[0] != pair[1]), len(line))
    return repr(line[max(0, start - 20) : start + 30])


def surroundings(packed: Path, found: set[str]) -> list[str]:
    """Return lines that say in what code and packages differ from those here, or that they do not."""
    here = bundle.code()
    theirs = {name for name in found if bundle.is_code(name)}
    changed = sorted(
        name for name in theirs | here.keys()
        if name not in here or name not in theirs or sha256_of(packed / name) != sha256_of(here[name])
    )  # fmt: skip
    lines = [f"Code: {_some(changed)} not as in this checkout." if changed else "Code: as in this checkout."]
    try:
        given = json.loads((packed / bundle.ENVIRONMENT).read_bytes())
        commit = str(given["commit"] or "no commit known") + (
            "" if given["tree is clean"] is not False else ", modified"
        )
        versions = {"python": str(given["python"])} | {str(name): str(one) for name, one in given["packages"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return [*lines, f"Environment: {bundle.ENVIRONMENT} cannot be read."]
    ours = bundle.environment()
    other = [
        f"{name} {version} ({now} here)"
        for name, version in versions.items()
        if (now := ours["python"] if name == "python" else ours["packages"].get(name, "none")) != version
    ]
    lines.append(f"Packed from: {commit}; {_some(other) + ' other versions' if other else 'packages as here'}.")
    return lines


def _printable(text: str) -> str:
    """Return a text without what would act on a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _some(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are, as the subject of a sentence."""
    more = len(names) - 1
    return f"{names[0]} is" if not more else f"{names[0]} and {more} other{'s' if more > 1 else ''} are"


if __name__ == "__main__":
    run_script(main)
