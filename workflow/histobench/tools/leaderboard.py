"""Turn archives of several studies into one table: which arm predicts the same images best?

Scores are computed from the predictions in the archives (`make pack`), after folds and predictions are checked; intervals are those of
the archive, which belong to these scores or are refused. `make verify` says whether an archive's tables follow from its predictions.
Arms are ranked only among those that predict the same images (by the SHA-256 of their pixels, with their labels) in the same folds.
Written are leaderboard.csv and leaderboard.md.
"""

import argparse
import json
import math
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from histobench.datasets import folds, manifest
from histobench.evaluation import predictions
from histobench.evaluation.summary import score_run, summarise
from histobench.io.errors import HistoBenchError
from histobench.io.files import atomic_path, read_csv, write_csv
from histobench.study import paths
from histobench.study.config import Config
from histobench.study.resolved import printed_mode
from histobench.study.runs import ARM
from histobench.tools import pack, verify
from histobench.tools.command_line import run_tool

SCORES = ("accuracy", "auc", "patient_rate")
COLUMNS = (
    *("images_key", "rank", "study", "label", *ARM, "folds", "seeds"),
    *(f"{score}{end}" for score in SCORES for end in ("", "_low", "_high")),
    *("unit", "groups", "note", "archive"),
)
SHOWN = ("Rank", "Model", "Mode", "Augmentation", "Study", "Accuracy, 95 % interval", "AUC, 95 % interval")
Row = dict[str, object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archives", nargs="*", type=Path, metavar="ARCHIVE", help="what `make pack` wrote")
    parser.add_argument("--from-environment", action="store_true", help="take the archives of the variable ARCHIVES")
    parser.add_argument(
        "--output", type=Path, default=Path("leaderboard"), metavar="FOLDER", help="leaderboard by default"
    )
    given = parser.parse_args()
    archives = given.archives
    if given.from_environment:
        try:
            archives = [*map(Path, shlex.split(os.environ.get("ARCHIVES", "")))]
        except ValueError as error:
            raise HistoBenchError(f"ARCHIVES: {error}; quote each path as in a shell") from None
    if not archives:
        raise HistoBenchError('say which archives: make leaderboard ARCHIVES="a.tar.gz b.tar.gz"')
    rows = ranked([row for archive in archives for row in arms(archive)])
    text = markdown(rows)
    write_csv(given.output / "leaderboard.csv", COLUMNS, rows)
    with atomic_path(given.output / "leaderboard.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(f"{text}\n{given.output / 'leaderboard.csv'}, {given.output / 'leaderboard.md'}")


def arms(archive: Path) -> list[Row]:
    """Return a row for each arm of an archive, with its scores at the last epoch, and what it must share to be compared.

    Raises:
        HistoBenchError: the archive is not what `make pack` writes, or its parts contradict each other.
    """
    with TemporaryDirectory(prefix="histobench-") as temporary, verify.one_sentence(archive, Path(temporary)):
        folder = Path(temporary)
        _, found = verify.unpack(archive, folder)
        verify.check_hashes(folder, found)
        config = verify.configuration(folder / pack.CONFIGURATION)
        if config.classes:
            raise HistoBenchError(
                f"its study has the classes {', '.join(config.classes)}, expected benign and malignant; leave it out, and read its "
                "report for its scores"
            )
        intervals = f"{paths.STUDY.format(study=config.study)}/intervals.csv"
        verify.require_members({*pack.inputs(config), intervals}, found)
        verify.check_inputs(config, folder, lambda line: None)
        return [row | {"archive": archive.name} for row in _scored(config, folder, folder / intervals)]


def _scored(config: Config, folder: Path, intervals: Path) -> list[Row]:
    """Return the rows of a study, whose scores must be those that its intervals are of."""
    runs = {
        run: predictions.read(folder / config.path(paths.PREDICTIONS, **vars(run)), run.fold) for run in config.runs
    }
    scores = [row for run, predicted in runs.items() for row in score_run(run, predicted) if row["selection"] == "last"]
    printed = {
        (*(row[name] for name in ARM), row["metric"]): row
        for row in read_csv(intervals, (*ARM, "selection", "metric", "fold_mean", "fold_mean_low", "fold_mean_high"))
        if row["selection"] == "last"
    }
    keys = _image_keys(config, folder)
    rows: list[Row] = []
    for row in summarise(scores):
        arm = tuple(str(row[name]) for name in ARM)
        made: Row = {name: row[name] for name in (*ARM, "folds", "seeds")}
        made |= {"study": config.study, "label": config.labels[str(row["model"])], "note": " ".join(config.notes)}
        for score in SCORES:
            interval, mean = printed.get((*arm, score)), row[f"{score}_mean"]
            said = interval["fold_mean"] if interval else ""
            if mean is not None and not math.isnan(mean) and not math.isclose(float(said or "nan"), mean, abs_tol=1e-9):  # type: ignore[arg-type]
                raise HistoBenchError(
                    f"{intervals}: {score} of {'/'.join(arm)} is {said or 'missing'}, by the predictions {mean}; run "
                    "`make verify`, and get an archive that it verifies"
                )
            ends = [interval[f"fold_mean_{end}"] if interval else "" for end in ("low", "high")]
            made |= dict(zip((score, f"{score}_low", f"{score}_high"), (mean, *ends), strict=True))
            made |= {name: interval[name] for name in ("unit", "groups")} if interval else {}
        rows.append(made | {"images_key": keys[row["dataset"], row["split"], row["magnification"]]})
    return rows


def _image_keys(config: Config, folder: Path) -> dict[tuple[object, ...], str]:
    """Return, for each dataset, split and magnification, a key of the evaluation images of each fold, with their labels."""
    found = {}
    for dataset, split, magnification in dict.fromkeys(
        (run.dataset, run.split, run.magnification) for run in config.runs
    ):
        images = manifest.load(folder / config.path(paths.MANIFEST, dataset=dataset))
        path = folder / config.path(paths.FOLDS, dataset=dataset, split=split)
        made = folds.load(path, images, config.splits[split].by, [magnification])
        sides = (made.rows(images, fold, magnification)[1] for fold in range(1, made.count + 1))
        content = [sorted((images[row].sha256, images[row].label) for row in side) for side in sides]
        found[dataset, split, magnification] = paths.key(json.dumps(sorted(content)))
    return found


def ranked(rows: Sequence[Row]) -> list[Row]:
    """Return rows with their rank by accuracy among those of the same images and folds, these together, largest first.

    An arm that several archives hold with the same scores, since their studies share its runs, is there once.
    """
    names = ("images_key", *ARM, *SCORES)
    rows = list({tuple(row[name] for name in names): row for row in reversed(rows)}.values())[::-1]
    found: list[Row] = []
    for key in dict.fromkeys(row["images_key"] for row in rows):
        same = sorted((row for row in rows if row["images_key"] == key), key=lambda row: -float(str(row["accuracy"])))
        for row in same:
            better = sum(other["accuracy"] > row["accuracy"] for other in same)  # type: ignore[operator]
            found.append(row | {"rank": better + 1})
    return found


def markdown(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown: a table for each set of images and folds."""
    parts = [
        "# Leaderboard",
        "Mean over folds after the last epoch. The first of several arms is chosen by its score, so that its score is "
        "optimistic; intervals that overlap say little about a difference, which needs a paired test.",
        *dict.fromkeys(f"Study {row['study']}: {verify.printable(str(row['note']))}" for row in rows if row["note"]),
    ]
    for key in dict.fromkeys(row["images_key"] for row in rows):
        same = [row for row in rows if row["images_key"] == key]
        first = same[0]
        parts.append(
            f"## {first['dataset']}, {first['magnification']}X, {first['folds']} folds by {first['split']} (images and folds {key})"
        )
        lines = ["| " + " | ".join(_cells(row)) + " |" for row in same]
        parts.append("\n".join(["| " + " | ".join(SHOWN) + " |", "|" + " --- |" * len(SHOWN), *lines]))
    return "\n\n".join(parts) + "\n"


def _cells(row: Mapping[str, object]) -> list[str]:
    def interval(score: str) -> str:
        mean, low, high = (row.get(f"{score}{end}") for end in ("", "_low", "_high"))
        numbers = [f"{float(str(value)):.4f}" if value not in (None, "") else "?" for value in (mean, low, high)]
        return f"{numbers[0]} ({numbers[1]} to {numbers[2]})"

    names = (row["rank"], row["label"], printed_mode(str(row["mode"])), row["augmentation"], row["study"])
    words = [str(value) for value in (*names, interval("accuracy"), interval("auc"))]
    return [verify.printable(word).replace("|", "/") for word in words]


if __name__ == "__main__":
    run_tool(main)
