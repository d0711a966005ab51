"""Audit someone's evaluation: which images a split shares between training and evaluation, and what that says.

No images, models or configuration are needed, only lists of names:

  python -m histobench.audit --split dsfold1.txt
  python -m histobench.audit --split train.csv val.csv test.csv
  python -m histobench.audit --split official
  python -m histobench.audit --split slides.txt --others train --magnifications 40
  python -m histobench.audit --split table.csv --patient case_id --class diagnosis

BreakHis and BACH are recognised by the names of their images. A split may be a table with a column of sets or folds, a file for each set,
a list, JSON or YAML of sets and names, a folder tree such as train/benign/*.png, or lists of slides. What is guessed is said; options
say it instead. The findings are printed and written as audit.json and audit.html.

Exit status: 0 when it could be audited, whatever was found; 2 with one sentence when not.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from histobench.audit import audit_page, split_figures, split_findings, splits
from histobench.audit.entries import Options
from histobench.audit.findings import Section
from histobench.datasets.breakhis import SUBTYPES
from histobench.io.errors import HistoBenchError, run_script

VARIABLES = {"SPLIT": "--split"}
"""Environment variables of `make audit` -> options."""


def main() -> None:
    try:
        given = parsed(sys.argv[1:])
        sections, files = audit(given)
        output = given.output or Path("audit") / (split_findings.slug(Path(files[0]).name)[:80] or "audit")
        audit_page.write(sections, output, files)
    except HistoBenchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    try:
        print("\n".join(audit_page.text(sections)).lstrip("\n"))
        print(f"\nWritten: {output / 'audit.html'}, {output / 'audit.json'}")
        sys.stdout.flush()
    except BrokenPipeError:  # as of `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def audit(given: argparse.Namespace) -> tuple[list[Section], list[str]]:
    """Return the sections of everything that is to be audited, and its files.

    Raises:
        HistoBenchError: something cannot be audited, or there is nothing to audit.
    """
    sections: list[Section] = []
    files: list[str] = []
    options = Options(
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
    for group in given.split:
        found = splits.read([Path(file) for file in group], options)
        sections += split_findings.sections(found, split_figures.shares(found))
        files += group
    if not sections:
        raise HistoBenchError(
            "nothing to audit: name the files of a split, for example --split train.csv test.csv, or --split official for the folds of "
            "BreakHis's authors; --help says more"
        )
    return sections, files


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options; with `--from-environment`, those of `make audit` too."""
    parser = argparse.ArgumentParser(
        prog="python -m histobench.audit",
        description=__doc__,
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
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where to write (default: audit/NAME)")
    known = parser.add_argument_group("what the files do not say")
    known.add_argument("--dataset", default="", metavar="NAME", help="breakhis, bach, or another with --patient")
    known.add_argument(
        "--patient",
        default="",
        metavar="WHAT",
        help="of another dataset: column, or regular expression that finds the patient in a name",
    )
    known.add_argument(
        "--class", dest="label", default="", metavar="WHAT", help="the same for the class; may be left out"
    )
    known.add_argument("--name-column", default="", metavar="COLUMN", help="column of names or paths")
    known.add_argument("--set-column", default="", metavar="COLUMN", help="column that holds train, val or test")
    known.add_argument("--fold-column", default="", metavar="COLUMN", help="column that holds the number of the fold")
    known.add_argument(
        "--others", default="", choices=["train", "val", "test"], help="set of the official images that no file lists"
    )
    known.add_argument(
        "--magnifications",
        nargs="+",
        type=int,
        default=[],
        choices=[40, 100, 200, 400],
        help="leave out others (BreakHis)",
    )
    known.add_argument("--subtypes", nargs="+", default=[], choices=list(SUBTYPES), help="leave out others (BreakHis)")
    parser.add_argument("--from-environment", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.from_environment:
        extra = []
        for name, option in VARIABLES.items():
            if files := _files(name):
                extra += [option, *files]
        given = parser.parse_args([*arguments, *extra])
    return given


def _files(variable: str) -> list[str]:
    """Return the paths in an environment variable: one, if there is such a file, or several with spaces between them."""
    value = os.environ.get(variable, "").strip()
    try:
        return [value] if value and Path(value).exists() else shlex.split(value)
    except (ValueError, OSError) as error:
        raise HistoBenchError(
            f"{variable}={value!r:.100}: is no list of files ({error}); put quotes around names with spaces"
        ) from None


if __name__ == "__main__":
    run_script(main)
