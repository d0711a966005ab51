"""Run Snakemake as `make` does: one at a time in a folder, with few lines on the terminal, and the results at the end.

Every argument is Snakemake's; `python -m histobench.tools.run --configfile config/demo.yaml -n` is a dry run.
"""

import asyncio
import fcntl
import json
import os
import re
import runpy
import signal
import sys
import textwrap
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO

from histobench.io.errors import SIGNALS, HistoBenchError
from histobench.tools import terminal
from histobench.tools.command_line import DEFAULT, parser, read, run_tool

RESULTS = "HISTOBENCH_RESULTS"
"""Environment variable in which the workflow says where the results of its study are."""
left = threading.Event()
"""Set when Ctrl-C has made Snakemake leave its loop over jobs."""
LOCK = Path(".snakemake/make.lock")
ROWS = 40
"""Most rows of the table at the end."""
SHOWN = {"Dataset", "Model", "Mode", "Magnification", "Augmentation", "Split", "Accuracy", "AUC"}
"""Its columns, those aside that have the same in every row."""


def main() -> None:
    for number in SIGNALS:  # not as in a script: an exception in an event loop could leave Snakemake waiting for ever
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, partial(stop, signal.getsignal(signal.SIGTERM)))
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


def stop(no_jobs: object, _number: int, _frame: FrameType | None) -> None:
    """Stop Snakemake, and say once how to go on; `no_jobs` is the handler of SIGTERM until Snakemake sets its own to run jobs."""
    if not terminal.stopped.is_set():
        terminal.stopped.set()
        name = f"the study {Path(os.environ[RESULTS]).name}" if RESULTS in os.environ else "the study"
        clear = terminal.CLEAR if os.isatty(2) else ""
        text = f"{clear}Stopping {name}; finished jobs and epochs are kept, and the same command goes on from there.\n"
        with suppress(OSError):
            os.write(2, text.encode())
    if left.is_set():
        return
    if signal.getsignal(signal.SIGTERM) == no_jobs:
        os._exit(130)
    if is_in_event_loop():
        later = threading.Timer(0.1, signal.raise_signal, [signal.SIGINT])
        later.daemon = True
        later.start()
        return
    left.set()
    sys.exit(130)


def is_in_event_loop() -> bool:
    """Tell whether the signal has interrupted an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


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
    first, *_ = re.split(r"(?<=\.) ", lines[0].partition(".** ")[2])
    notes = json.loads((results / "study.json").read_text(encoding="utf-8"))["notes"]
    caption = textwrap.fill(" ".join([first, *notes]), 100)
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if line.startswith("|")]
    columns = list(zip(*rows, strict=True))
    names = [column[0].strip() for column in columns]
    place = names.index("Selection")
    last = [*rows[:2], *(row for row in rows[2:] if row[place].strip() == "last epoch")]
    kept = [
        number
        for number, name in enumerate(names)
        if name in SHOWN and (name in ("Model", "Accuracy", "AUC") or len({row[number] for row in last[2:]}) > 1)
    ]
    table = ["|".join(row[number] for number in kept).rstrip() for row in last]
    table = table if len(table) <= ROWS + 2 else [*table[: ROWS + 2], f" ... and {len(table) - ROWS - 2} more rows"]
    end = [f"Tables: {results}/tables/", f"The report, to open in a browser: {page}"]
    return "\n".join(["", caption, "", *table, "", *end])


if __name__ == "__main__":
    run_tool(main)
