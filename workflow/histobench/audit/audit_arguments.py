"""The command line of an audit, and the variables of `make audit`."""

import argparse
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from histobench.audit.prediction_columns import Columns
from histobench.audit.prediction_tables import FILES, SCALES, Reading
from histobench.audit.split_columns import Options
from histobench.datasets.breakhis import SUBTYPES
from histobench.io.errors import HistoBenchError

VARIABLES = {"SPLIT": "--split", "PREDICTIONS": "--predictions", "TABLE": "--table"}
"""Environment variables of `make audit` -> options."""
TABLE_OPTIONS = ("folds", "positives", "negatives", "average", "test", "pairs")
"""Keys of :class:`histobench.audit.table_options.TableOptions` that are options of the command, too."""


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong in one sentence, without twenty lines of usage."""

    def error(self, message: str) -> NoReturn:
        raise HistoBenchError(f"{message}; --help lists the options")


def parsed(arguments: Sequence[str], description: str | None = None) -> argparse.Namespace:
    """Return the options; with `--from-environment`, those of `make audit` too.

    Raises:
        HistoBenchError: an option is unknown or has a wrong value.
    """
    parser = _parser(description)
    given = parser.parse_args(arguments)
    if given.from_environment:
        extra = []
        for name, option in VARIABLES.items():
            if files := _files(name):
                extra += [option, *files]
        given = parser.parse_args([*arguments, *extra])
    return given


def split_options(given: argparse.Namespace) -> Options:
    """Return how the files of a split are read."""
    return Options(
        dataset=given.dataset,
        patient=given.patient,
        label=given.label,
        name_column=given.name_column,
        set_column=given.set_column,
        fold_column=given.fold_column,
        others=given.others,
        magnifications=given.magnifications,
        subtypes=given.subtypes,
    )


def reading(given: argparse.Namespace) -> Reading:
    """Return how files of predictions are read."""
    columns = Columns(
        name=given.name_column,
        score=given.score_column,
        predicted=given.predicted_column,
        label=given.label_column,
        fold=given.fold_column,
        method=given.method_column,
    )
    return Reading(columns, given.dataset, given.patient, given.positive, given.scale, given.threshold)


def printed_scores(given: argparse.Namespace) -> dict[str, list[str]]:
    """Return score -> printed numbers of `--printed`.

    Raises:
        HistoBenchError: one has another form, or a score is given twice.
    """
    found: dict[str, list[str]] = {}
    for text in given.printed:
        name, equals, numbers = text.partition("=")
        if not equals or name in found:
            raise HistoBenchError(
                f"--printed {text!r:.100} {'repeats a score' if equals else 'has no ='}, expected a score and its numbers such as "
                "accuracy=0.906,0.853,0.882; correct it"
            )
        found[name] = [number.strip() for number in numbers.split(",")]
    return found


def _parser(description: str | None) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m histobench.audit",
        usage="%(prog)s [--split FILE...] [--predictions FILE...] [--table FILE...] [options]",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--split",
        nargs="+",
        action="append",
        default=[],
        metavar="FILE",
        help="all files of a split, or of its folds; repeat the option for another split; `official`: the five folds of BreakHis's authors",
    )
    parser.add_argument(
        "--predictions",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="tables of image names with scores, votes or predicted classes: of one method, of its folds, or of several methods",
    )
    parser.add_argument(
        "--table",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="a printed table of scores or p-values as CSV: a row for each model and setting",
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where to write (default: audit/NAME)")
    _of_names(parser.add_argument_group("names of images"))
    _of_splits(parser.add_argument_group("splits"))
    _of_predictions(parser.add_argument_group("predictions"))
    _of_tables(parser.add_argument_group("printed tables"))
    parser.add_argument("--from-environment", action="store_true", help=argparse.SUPPRESS)
    return parser


def _of_names(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--dataset", default="", metavar="NAME", help="breakhis, bach, or another with --patient")
    group.add_argument(
        "--patient",
        default="",
        metavar="WHAT",
        help="of another dataset: column, or regular expression that finds the patient in a name",
    )
    group.add_argument("--name-column", default="", metavar="COLUMN", help="column of names or paths")
    group.add_argument("--fold-column", default="", metavar="COLUMN", help="column that holds the number of the fold")


def _of_splits(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--set-column", default="", metavar="COLUMN", help="column that holds train, val or test")
    group.add_argument(
        "--class",
        dest="label",
        default="",
        metavar="WHAT",
        help="of another dataset: column or regular expression of the class",
    )
    sets = ("train", "val", "test")
    group.add_argument(
        "--others", default="", choices=sets, help="set of the official images that no file lists (BreakHis, BACH)"
    )
    group.add_argument(
        "--magnifications",
        nargs="+",
        type=int,
        default=[],
        choices=[40, 100, 200, 400],
        help="leave out others (BreakHis)",
    )
    group.add_argument("--subtypes", nargs="+", default=[], choices=list(SUBTYPES), help="leave out others (BreakHis)")


def _of_predictions(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--score-column", default="", metavar="COLUMN", help="column of scores of the positive class")
    group.add_argument("--predicted-column", default="", metavar="COLUMN", help="column of predicted classes")
    group.add_argument("--label-column", default="", metavar="COLUMN", help="column of true classes")
    group.add_argument("--method-column", default="", metavar="COLUMN", help="column that tells methods apart")
    group.add_argument("--positive", default="", metavar="CLASS", help="class that is positive (default: malignant)")
    group.add_argument("--scale", default=SCALES[0], choices=SCALES, help="what scores are (default: probability)")
    group.add_argument(
        "--threshold",
        type=float,
        metavar="T",
        help="score from which on an image is called positive (default: 0.5; 0 for logits)",
    )
    group.add_argument(
        "--files-are", default="", choices=FILES[1:], help="what several files are, instead of having it guessed"
    )
    group.add_argument(
        "--printed",
        nargs="+",
        action="extend",
        default=[],
        metavar="SCORE=NUMBERS",
        help="what a publication prints for these predictions, for each fold or their mean: accuracy=0.906,0.853,0.882",
    )
    group.add_argument(
        "--draws", type=int, default=10_000, metavar="N", help="draws of the bootstrap (default: 10,000)"
    )


def _of_tables(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--folds", type=int, metavar="N", help="folds whose scores were averaged; 1 for one test set")
    group.add_argument("--positives", type=int, metavar="N", help="test images of the positive class, of all folds")
    group.add_argument("--negatives", type=int, metavar="N", help="the same of the negative class")
    group.add_argument(
        "--average", metavar="HOW", help="of precision, recall and F1: binary (default), negative, macro or weighted"
    )
    group.add_argument(
        "--test", metavar="TEST", help="that gave the p-values: signed_rank, sign, rank_sum or sign_flip"
    )
    group.add_argument("--pairs", type=int, metavar="N", help="pairs of scores in that test")
    group.add_argument(
        "--table-options",
        type=Path,
        metavar="FILE",
        help="YAML of these and more: counts of each row, fold_counts, tests, columns (docs/audit.md)",
    )


def _files(variable: str) -> list[str]:
    """Return the paths in an environment variable: one, if there is such a file, or several with spaces between them."""
    value = os.environ.get(variable, "").strip()
    try:
        names = [value] if value and Path(value).exists() else shlex.split(value)
        return [f"./{name}" if name.startswith("-") else name for name in names]  # no option
    except (ValueError, OSError) as error:
        raise HistoBenchError(
            f"{variable}={value!r:.100}: is no list of files ({error}); put quotes around names with spaces"
        ) from None
