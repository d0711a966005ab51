"""Check the archive of a study, and make every table and the page in it again from its predictions.

Neither images nor weights nor a GPU are needed. The archive is not trusted: it is read into a temporary folder, none of its
code is run, and of this checkout's workflow only the rules of the report. The exit status is 0 if every table and the page
follow from the predictions, else 1.
"""

import argparse
import csv
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from histobench.datasets import folds, manifest, run_images, validation
from histobench.datasets.archives import members
from histobench.evaluation import class_predictions, predictions
from histobench.evaluation.stress import Stressed
from histobench.io.errors import HistoBenchError
from histobench.io.files import read_csv, sha256_of
from histobench.metrics import METRICS, class_scores
from histobench.study import class_files, paths
from histobench.study.config import Config, load
from histobench.study.run_files import resampled_with
from histobench.study.runs import Run, is_up_to_date, record
from histobench.tools import pack
from histobench.tools.command_line import run_tool

ABOUT = {pack.README, pack.CHECKSUMS, pack.CONFIGURATION, pack.ENVIRONMENT}
MAX_BYTES = 2 * 2**30
"""Largest archive, unpacked: fifty times that of the paper's study."""
MAX_FILES = 200_000
HISTORY_ROUNDING = 1e-6
"""Relative difference of the scores in a history, which are computed in single precision, from those of predictions."""
MALFORMED = (csv.Error, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
"""What reading files of another form than a study's can raise."""
Say = Callable[[str], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, metavar="ARCHIVE", help="what `make pack` wrote")
    if not verify(parser.parse_args().archive, lambda line: print(printable(line), flush=True)):
        sys.exit(1)


def verify(archive: Path, say: Say) -> bool:
    """Check an archive and report what was found; return whether everything in it follows from its predictions.

    Raises:
        HistoBenchError: the archive is not what `make pack` writes, or its parts contradict each other.
    """
    with TemporaryDirectory(prefix="histobench-") as temporary, one_sentence(archive, Path(temporary)):
        packed = Path(temporary)
        name, found = unpack(archive, packed)
        check_hashes(packed, found)
        say(f"Archive   {archive}: {len(found)} files, none changed since it was packed")
        config = configuration(packed / pack.CONFIGURATION)
        if config.study != name:
            raise HistoBenchError(f"its folder is {name}, but its configuration is of the study {config.study}")
        given = {*pack.inputs(config)}
        require_members(given, found)
        check_inputs(config, packed, say)
        made = pack.rebuild(config, {path: (packed / path).read_bytes() for path in given})
        require_members(given | made.keys() | ABOUT, found)
        kept = {path: (packed / path).read_bytes() for path in given | made.keys() | ABOUT - {pack.CHECKSUMS}}
        made |= pack.metadata(config, kept, json.loads(kept[pack.ENVIRONMENT]))
        require_members(set(made), found)
        if surplus := sorted(found - given - made.keys() - ABOUT):
            raise HistoBenchError(f"{surplus[0]} is no part of the study; pack it again")
        wrong = [*wrong_histories(config, packed, made), *compare(made, packed, say)]
    for line in wrong:
        say(f"  {line.removeprefix('results/')}")
    if wrong:
        say(f"DIFFERENT {len(wrong)} files of the study {name} do not follow from its predictions")
    else:
        say(f"VERIFIED  every table of the study {name}, and its page, follow from its predictions")
    return not wrong


# ---- reading an archive that is not trusted ----


@contextmanager
def one_sentence(archive: Path, folder: Path) -> Iterator[None]:
    """Turn every fault of an archive that is read in a temporary folder into an error of one line, which names the archive."""
    try:
        yield
    except HistoBenchError as error:
        text = str(error).removeprefix(f"{archive}: ").replace(f"{folder}/", "")
        raise HistoBenchError(f"{archive}: {printable(text.splitlines()[0])}") from None
    except MALFORMED as error:
        raise HistoBenchError(f"{archive}: a file has another form than `make pack` writes ({error!r})") from error
    except OSError as error:
        text = f"{error.strerror}; free some space, or set TMPDIR to another folder"
        raise HistoBenchError(f"{folder}: cannot be used ({text})") from error


def unpack(archive: Path, folder: Path) -> tuple[str, set[str]]:
    """Write the files of an archive into `folder`; return the name of its one top folder, and the paths below that.

    An archive that is not whole, is too large or has anything but regular files in that folder is refused.
    """
    if not archive.is_file():
        raise HistoBenchError("no such archive; correct the path")
    tops, found, size = set(), set(), 0
    for member in members(archive):
        top, _, name = member.name.partition("/")
        tops.add(top)
        if not name or len(tops) > 1 or name in found:
            raise HistoBenchError(f"member {member.name} occurs twice, or is not in the one folder of the study")
        data = member.read()
        size += len(data)
        if size > MAX_BYTES or len(found) == MAX_FILES:
            raise HistoBenchError(f"has more than {MAX_BYTES} bytes or {MAX_FILES} files, unlike any study")
        try:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise HistoBenchError(f"member {member.name} is a file and a folder at once") from None
        found.add(name)
    if not found:
        raise HistoBenchError("holds no file; get what `make pack` wrote")
    return tops.pop(), found


def check_hashes(folder: Path, found: set[str]) -> None:
    """Require that the checksums name every file but their own, each with its SHA-256."""
    if pack.CHECKSUMS not in found:
        raise HistoBenchError(f"{pack.CHECKSUMS} is missing; pack the study again")
    lines = (folder / pack.CHECKSUMS).read_text(encoding="utf-8").splitlines()
    wanted = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    for name in sorted(wanted.keys() | found - {pack.CHECKSUMS}):
        fault = "missing" if name not in found else "not listed" if name not in wanted else ""
        if fault or sha256_of(folder / name) != wanted[name]:
            raise HistoBenchError(f"{name} is {fault or 'changed'} by {pack.CHECKSUMS}; get an unchanged copy")


def configuration(path: Path) -> Config:
    """Return the packed configuration, unless its grid has more arms than an archive could hold."""
    keys = ("models", "modes", "splits", "magnifications", "augmentations")
    try:
        given = json.loads(path.read_bytes())
        blocks = [*given["grid"], *given.get("external", []), *given.get("stress", [])]
        arms = sum(math.prod(len(block[key]) for key in keys) for block in blocks)
    except (OSError, *MALFORMED):
        raise HistoBenchError(f"{path}: is not the configuration of a study; pack it again") from None
    if arms > MAX_FILES:
        raise HistoBenchError(f"{path}: has a grid of {arms} arms, more than an archive can hold")
    return load(given)


def require_members(wanted: set[str], found: set[str]) -> None:
    """Require that every wanted file is there."""
    if missing := sorted(wanted - found):
        raise HistoBenchError(f"{missing[0]} is missing ({len(missing)} files are); pack the study again")


def printable(text: str) -> str:
    """Return a text without characters that a terminal would act on."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


# ---- what the report is made of ----


def check_inputs(config: Config, folder: Path, say: Say) -> None:
    """Require that folds keep groups apart, and that runs have the configured settings and predict the images of their folds."""
    images = {name: manifest.load(folder / config.path(paths.MANIFEST, dataset=name)) for name in config.used_datasets}
    splits = {}
    for dataset, split in dict.fromkeys((run.dataset, run.split) for run in config.runs):
        path = folder / config.path(paths.FOLDS, dataset=dataset, split=split)
        scales = config.magnifications(dataset, split)
        splits[dataset, split] = folds.load(path, images[dataset], config.splits[split].by, scales)
        if splits[dataset, split].count != config.splits[split].folds:
            raise HistoBenchError(f"{path}: expected the {config.splits[split].folds} folds of the configuration")
    unusable = 0
    for run in config.runs:
        path = config.path(paths.PREDICTIONS, **vars(run))
        own, spec = images[run.dataset], config.specification(run)
        rows = run_images.of_run(spec, own, splits[run.dataset, run.split])
        train, test, kept = ([own[row] for row in some] for some in (rows.fold, rows.evaluation, rows.kept))
        check_record(config, run, folder, train, test, kept)
        if config.classes:
            several = class_predictions.read(folder / path, run.fold, config.classes)
            require_images(path, several, test, config.splits[run.split].by, config.classes)
            continue
        try:
            read = predictions.read(folder / path, run.fold)
        except predictions.OtherFold:
            raise
        except HistoBenchError:
            unusable += 1  # gaps.csv has to name it
            continue
        if ("validation" in read.logit) != bool(spec.recipe.validation):
            raise HistoBenchError(f"{path}: `validation` of its mode and the columns of its predictions do not agree")
        require_images(path, read, test, config.splits[run.split].by)
    for on, scale, run in config.external_runs:
        path = config.path(paths.EXTERNAL, on=on, scale=scale, **vars(run))
        require_images(path, predictions.read(folder / path), images[on], "patient")
    for run in config.stress_runs:
        path = config.path(paths.STRESS, **vars(run))
        _, tested = splits[run.dataset, run.split].rows(images[run.dataset], run.fold, run.magnification)
        test = [images[run.dataset][row] for row in tested]
        require_images(path, Stressed(folder / path), test, config.splits[run.split].by)
    say(f"Folds     {len(splits)} splits keep groups apart and agree with the manifests")
    say(f"Runs      {len(config.runs) - unusable} of {len(config.runs)} predict each image of their fold once")
    if config.external_runs:
        say(f"External  {len(config.external_runs)} runs predict each image of the other dataset once")
    if config.stress_runs:
        say(f"Stress    {len(config.stress_runs)} runs predict each altered image of their fold once")


def check_record(config: Config, run: Run, folder: Path, train: Sequence, test: Sequence, kept: Sequence) -> None:
    """Require that a run.json has the configured settings, the images of its fold and, of its training images, those `kept`."""
    place = config.path(paths.RUN, **vars(run))
    path, recorded = f"{place}/run.json", record(folder / place)
    if not is_up_to_date(folder / place, config.specification(run)):
        raise HistoBenchError(f"{path}: has other settings than the configuration gives this run")
    wanted: dict[str, Any] = {"training": len(train) - len(kept), "evaluation": len(test)}
    wanted |= {"validation": len(kept)} if kept else {}
    if recorded.get("images") != wanted:
        numbers = " and ".join(map(str, wanted.values()))
        raise HistoBenchError(f"{path}: has other numbers of images than its fold, {numbers}")
    counted = validation.counts(kept, config.splits[run.split].by) if kept else {}
    if kept and not counted.items() <= recorded.get("chosen", {}).items():
        raise HistoBenchError(f"{path}: its validation groups are not those that the seed and the fold give")
    for side, some in (("training images", train), ("evaluation images", test)):
        if (recorded.get("sha256") or {}).get(side) not in (None, manifest.digest(some)):
            raise HistoBenchError(f"{path}: its {side} are not those of fold and manifest")


def require_images(
    path: str, read: Any, images: Sequence[manifest.Image], policy: str, classes: Sequence[str] | None = None
) -> None:
    """Require the very images, in the order of the manifest, with their groups and labels."""
    found = zip(read.image_id, read.group.tolist(), read.label.tolist(), strict=True)
    labels = run_images.labels_of(images, classes).tolist()
    names = ((image.image_id, resampled_with(image, policy)) for image in images)
    wanted = [(*name, label) for name, label in zip(names, labels, strict=True)]
    for line, (ours, theirs) in enumerate(zip_longest(found, wanted), start=2):
        if ours != theirs:
            raise HistoBenchError(f"{path}, line {line}: has {ours}, but fold and manifest have {theirs}")


# ---- what the report has become ----


def wrong_histories(config: Config, folder: Path, made: Mapping[str, bytes]) -> list[str]:
    """Return one line for each history whose scores, at its last, best or chosen epoch, are not those of the predictions.

    The chosen threshold changes all scores but the AUC.
    """
    faults: dict[str, str] = {}
    metrics = class_files.SCORES if config.classes else METRICS
    for path, selection, scores in _scored(config, folder, made):
        history = read_csv(folder / path, ("epoch", *metrics))
        recorded = record((folder / path).parent)
        epochs = {"last": len(history), "best_epoch": recorded.get("best_epoch")}
        epoch = epochs[selection] if selection in epochs else recorded["chosen"]["epoch"]
        if not isinstance(epoch, int) or not 1 <= epoch <= len(history):
            raise HistoBenchError(f"{path}: has no epoch {epoch}, which run.json calls the best")
        if selection == "validation":
            losses = [float(line["kept_loss"]) for line in history]
            if losses[epoch - 1] > min(losses):
                faults.setdefault(
                    path, f"{path}: epoch {epoch}, which run.json calls chosen, has not the lowest kept_loss"
                )
        for metric in ("auc",) if selection == "validation" else metrics:
            said, true = history[epoch - 1][metric], scores[metric]
            if said != true and not math.isclose(float(said or "nan"), float(true or "nan"), rel_tol=HISTORY_ROUNDING):
                text = f"{path}, line {epoch + 1}, column {metric}: packed {said}, by the predictions {true}"
                faults.setdefault(path, text)
    return list(faults.values())


def _scored(config: Config, folder: Path, made: Mapping[str, bytes]) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """Yield, for each run and selection of an epoch, the path of the history, the selection, and the scores of the predictions."""
    if config.classes:
        for run in config.runs:
            read = class_predictions.read(
                folder / config.path(paths.PREDICTIONS, **vars(run)), run.fold, config.classes
            )
            for selection, logits in read.logits.items():
                scores = class_scores(read.label, logits)
                yield config.path(paths.HISTORY, **vars(run)), selection, {key: str(scores[key]) for key in scores}
        return
    metrics = made[f"{paths.STUDY.format(study=config.study)}/metrics.csv"].decode()
    for row in csv.DictReader(metrics.splitlines()):
        yield config.path(paths.HISTORY, **row), row["selection"], row


def compare(made: Mapping[str, bytes], packed: Path, say: Say) -> list[str]:
    """Compare the packed files with those made again; return one line for each table or page that differs.

    Charts depend on the versions of the drawing libraries, so that they are only counted.
    """
    counts, differences = Counter(), []
    for path, rebuilt in sorted(made.items()):
        ours, theirs = (comparable(path, data) for data in ((packed / path).read_bytes(), rebuilt))
        found = pack.difference(ours, theirs, path.endswith(".csv")) if ours != theirs else ""
        kind = "charts" if path.endswith(pack.CHARTS) else "tables and page"
        counts[kind, "identical" if ours == theirs else "different" if found else "equal up to rounding"] += 1
        if found and kind != "charts":
            differences.append(f"{path}, {found}")
    for (kind, outcome), number in sorted(counts.items()):
        note = " (not judged: drawing libraries may differ)" if (kind, outcome) == ("charts", "different") else ""
        say(f"Rebuilt   {number} {kind} {outcome}{note}")
    return differences


def comparable(path: str, data: bytes) -> bytes:
    """Return a file; a page without its charts, and without the lines on the code and software that made it."""
    if not path.endswith(".html"):
        return data
    data = re.sub(rb'<img src="data:image/(?:svg\+xml|png);base64,[\w+/=]*"', b"<img", data)
    return re.sub(rb"<dt>(Code|Software of this page)</dt><dd>(?:[^<]|</?code>)*</dd>", b"", data)


if __name__ == "__main__":
    run_tool(main)
