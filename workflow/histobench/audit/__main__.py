"""Audit someone's evaluation: their split, their predictions, or their printed table.

No images, models or configuration are needed, only files of text:

  python -m histobench.audit --split train.csv val.csv test.csv
  python -m histobench.audit --split official
  python -m histobench.audit --split table.csv --patient case_id --class diagnosis
  python -m histobench.audit --predictions fold1.csv fold2.csv --split folds.csv
  python -m histobench.audit --predictions ours.csv theirs.csv
  python -m histobench.audit --table table4.csv --dataset breakhis --folds 5

A split may be a table with a column of sets or folds, a file for each set, a list, JSON or YAML of sets and names, a folder tree such
as train/benign/*.png, or lists of slides. Predictions are a table of image names with a score, votes or a class. BreakHis and BACH are
recognised by the names of their images. What is guessed is said; options say it instead. The findings are printed and written as
audit.json and audit.html. docs/audit.md says what they mean.

Exit status: 0 when it could be audited, whatever was found; 2 with one sentence when not.
"""

import argparse
import io
import os
import sys
from pathlib import Path

from histobench.audit import audit_page, split_figures, split_findings, splits
from histobench.audit.audit_arguments import TABLE_OPTIONS, parsed, printed_scores, reading, split_options
from histobench.audit.findings import Section
from histobench.io.errors import HistoBenchError, run_script


def main() -> None:
    for stream in (sys.stdout, sys.stderr):  # of a terminal that knows ASCII alone
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        given = parsed(sys.argv[1:], __doc__)
        sections, files = audit(given)
        output = given.output or Path("audit") / (split_findings.slug(Path(files[0]).name)[:80] or "audit")
        audit_page.write(sections, output, files)
    except HistoBenchError as error:
        print(f"error: {audit_page.printable(str(error))}", file=sys.stderr)
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
    files = [*(file for group in given.split for file in group), *given.predictions, *given.table]
    if "" in files:
        raise HistoBenchError("the name of a file is empty; name a file")
    sections: list[Section] = []
    known: list[splits.Split] = []
    for group in given.split:
        found = splits.read([Path(file) for file in group], split_options(given))
        sections += split_findings.sections(found, split_figures.shares(found))
        known += found.splits
    if given.predictions:
        from histobench.audit import scored_images  # imports take longer than the audit of a split

        sections += scored_images.sections(
            [Path(file) for file in given.predictions],
            reading(given),
            given.files_are,
            known,
            printed_scores(given),
            given.draws,
        )
    for file in given.table:
        from histobench.audit import printed_tables

        more = {name: getattr(given, name) for name in TABLE_OPTIONS} | {"dataset": given.dataset or None}
        sections += printed_tables.sections(Path(file), given.table_options, **more)
    if not sections:
        raise HistoBenchError(
            "nothing to audit: name files, for example --split train.csv test.csv, --predictions scores.csv or --table table.csv, or "
            "--split official for the folds of BreakHis's authors; --help says more"
        )
    return sections, files


if __name__ == "__main__":
    run_script(main)
