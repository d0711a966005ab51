"""Run Snakemake as `make` does: one at a time in a folder, with few lines on the terminal, and the results at the end.

Every argument is Snakemake's; `python -m histobench.tools.run --configfile config/demo.yaml -n` is a dry run.
"""

import fcntl
import os
import re
import runpy
import signal
import sys
import textwrap
from pathlib import Path
from types import FrameType
from typing import IO

from histobench.io.errors import HistoBenchError
from histobench.tools import terminal
from histobench.tools.command_line import DEFAULT, parser, read, run_tool

RESULTS = "HISTOBENCH_RESULTS"
"""Environment variable in which the workflow says where the results of its study are."""
LOCK = Path(".snakemake/make.lock")
ROWS = 40
"""Most rows of the table at the end."""
SHOWN = {"Dataset", "Model", "Mode", "Magnification", "Augmentation", "Split", "Accuracy", "AUC"}
"""Its columns, those aside that have the same in every row."""


def main() -> None:
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, stop)
    arguments = sys.argv[1:]
    for path in (DEFAULT, *parser(None).parse_known_args(arguments)[0].configfile):
        read(path)
    file = lock()
    # No lock of Snakemake's own, which would outlive a killed one.
    sys.argv[1:] = ["--logger", "histobench", *(["--nolock"] if file else []), *arguments]
    try:
        runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if terminal.stopped.is_set():
            sys.exit(130)
        if end.code:
            raise
    if terminal.complete.is_set() and (text := ending(Path(os.environ.get(RESULTS, "")))):
        print(text)


def stop(_number: int, _frame: FrameType | None) -> None:
    """Stop Snakemake, and say how to go on. A second Ctrl-C changes nothing."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    terminal.stopped.set()
    name = f"the study {Path(os.environ[RESULTS]).name}" if RESULTS in os.environ else "the study"
    clear = "\r\033[K" if os.isatty(2) else ""
    text = f"{clear}Stopping {name}; finished jobs and epochs are kept, and the same command goes on from there.\n"
    os.write(2, text.encode())
    sys.exit(130)


def lock() -> IO[str] | None:
    """Return a file that is locked until this process ends, however it ends; None where the file system has no locks.

    Raises:
        HistoBenchError: another process has locked it.
    """
    LOCK.parent.mkdir(exist_ok=True)
    file = LOCK.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise HistoBenchError("another make is running jobs in this folder; wait for it, or end it") from None
    except OSError:
        return None
    return file


def ending(results: Path) -> str:
    """Return what a study ends with: its scores, and the paths of its tables and its page; nothing where it has no page."""
    page, scores = results / "report.html", results / "tables/scores.md"
    if not page.exists():
        return ""
    lines = scores.read_text(encoding="utf-8").splitlines()
    caption = textwrap.fill(" ".join(line for line in lines if line and line[0] != "|"), 100)
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if line.startswith("|")]
    columns = list(zip(*rows, strict=True))
    names = [column[0].strip() for column in columns]
    last = [row for row in rows if "best epoch" not in row[names.index("Selection")]] if "Selection" in names else rows
    kept = [
        number
        for number, name in enumerate(names)
        if name in SHOWN and (name in ("Model", "Accuracy") or len({row[number] for row in last[2:]}) > 1)
    ]
    table = ["|".join(row[number] for number in kept).rstrip() for row in last]
    table = table if len(table) <= ROWS + 2 else [*table[: ROWS + 2], f" ... and {len(table) - ROWS - 2} more rows"]
    end = [f"Tables: {results}/tables/", f"The report, to open in a browser: {page}"]
    return "\n".join(["", caption, "", *table, "", *end])


if __name__ == "__main__":
    run_tool(main)
