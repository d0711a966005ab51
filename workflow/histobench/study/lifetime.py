"""One Snakemake at a time in a folder, and no job that outlives the Snakemake that started it.

Snakemake's own locks are plain files: they outlive a Snakemake that was killed, and do not know whose they are. Kernel
locks (flock) vanish with their process, in whatever way it ends. Two files in the folder `.snakemake` are locked so:

    histobench.lock         by the Snakemake that runs jobs here; the file names it
    jobs.XXXXXXXX.lock      by the same Snakemake. Each job waits for this lock: to get it means to have lost Snakemake
"""

import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from histobench.io.errors import HistoBenchError

JOBS = "HISTOBENCH_JOBS"
"""Environment variable that names to a job the file whose lock it waits for."""

_ENDING_SECONDS = 60.0


class Turn:
    """This Snakemake's turn in a folder: nobody else runs jobs there until it ends."""

    def __init__(self, holder: int, jobs: Path):
        self._holder = holder
        self.jobs = jobs
        """The file for :func:`follow`."""
        self._leash: int | None = os.open(jobs, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        fcntl.flock(self._leash, fcntl.LOCK_EX)

    def end_jobs(self) -> None:
        """Have every job end, as they do when this process dies; those that train leave a checkpoint."""
        leash, self._leash = self._leash, None
        if leash is not None:
            os.close(leash)

    def interrupted(self, number: int, frame: FrameType | None) -> NoReturn:
        """Do, as a signal's handler, what Ctrl-C does, also where the jobs have not heard of it."""
        self.end_jobs()
        signal.default_int_handler(number, frame)

    def end(self) -> None:
        """Let others have their turn."""
        self.end_jobs()
        self.jobs.unlink(missing_ok=True)
        os.ftruncate(self._holder, 0)  # who died in his turn leaves his name
        os.close(self._holder)


def take(folder: Path, say: Callable[[str], None] = print) -> Turn | None:
    """Take the turn in `folder` (`.snakemake`), once the jobs of a Snakemake that died in its turn have ended.

    The locks that such a Snakemake of this machine left behind are removed.

    Returns:
        None where kernel locks do not work, or where another machine died in its turn or has it still: Snakemake's own
        locks must decide there.

    Raises:
        HistoBenchError: another process has the turn, or jobs of a dead one do not end.
    """
    holder = os.open(folder / "histobench.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if not _locked(holder):
            raise _busy(holder)
        if not _kernel_locks(folder / "histobench.lock"):
            os.close(holder)
            return None
        last, own = _record(holder), _self()
        here = last.get("host") == own["host"] or last.get("boot") == own["boot"]
        if last and not here and (folder / "locks").exists():
            os.close(holder)
            return None
        _wait_for_jobs(folder, say)
        if last:
            shutil.rmtree(folder / "locks", ignore_errors=True)
        os.ftruncate(holder, 0)
        os.pwrite(holder, json.dumps(own).encode(), 0)
        return Turn(holder, folder / f"jobs.{secrets.token_hex(4)}.lock")
    except OSError:
        os.close(holder)
        return None
    except BaseException:
        os.close(holder)
        raise


def in_turn(execute: Callable[..., object], turn_of: Callable[[Any], Turn | None]) -> Callable[..., object]:
    """Wrap what executes a workflow, by an executor plugin: it gets its turn before, and gives it back after."""

    def run(*arguments: Any, executor_plugin: Any, **options: Any) -> object:
        turn = turn_of(executor_plugin)
        try:
            return execute(*arguments, executor_plugin=executor_plugin, **options)
        finally:
            if turn:
                turn.end()

    return run


def follow() -> None:
    """In a job of a Snakemake that named its lock: end, by SIGUSR1, when that Snakemake has ended or wants it."""
    if path := os.environ.get(JOBS):
        threading.Thread(target=_await, args=(path,), name="lifetime", daemon=True).start()


def _await(path: str) -> None:
    with suppress(FileNotFoundError):  # it ended before this job had begun
        # Open, and so locked, until this process is dead: the next Snakemake waits for that.
        fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_SH)
    os.kill(os.getpid(), signal.SIGUSR1)


def _self() -> dict[str, object]:
    """Return who this process is, and on which machine; the boot's number is the same in all containers of one."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return {
        "host": socket.gethostname(),
        "boot": boot.read_text().strip() if boot.exists() else "",
        "process": os.getpid(),
        "since": since,
    }


def _record(holder: int) -> dict[str, object]:
    try:
        return dict(json.loads(os.pread(holder, 4096, 0)))
    except ValueError:
        return {}


def _busy(holder: int) -> HistoBenchError:
    other = _record(holder)
    process = other.get("process")
    who = f"process {process} on {other.get('host')}, since {other.get('since')}" if process else "it is just starting"
    end = f"kill -INT {process}" if process else "Ctrl-C"
    return HistoBenchError(
        f"another Snakemake is running jobs in this folder ({who}); wait for it, or end it with `{end}`, "
        "and run the same command again"
    )


def _locked(descriptor: int) -> bool:
    """Try to lock an open file; tell whether it was free."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _kernel_locks(path: Path) -> bool:
    """Tell whether the lock that this process has on the file keeps others out: some file systems only pretend."""
    other = os.open(path, os.O_RDWR)
    try:
        return not _locked(other)
    finally:
        os.close(other)


def _wait_for_jobs(folder: Path, say: Callable[[str], None]) -> None:
    """Wait until the jobs of Snakemakes that died have ended: they know, and do."""
    deadline, said = time.monotonic() + _ENDING_SECONDS, False
    for left in sorted(folder.glob("jobs.*.lock")):
        descriptor = os.open(left, os.O_RDWR)
        try:
            while not _locked(descriptor):
                if time.monotonic() > deadline:
                    raise HistoBenchError(
                        f"jobs of a Snakemake that was killed are still running (they hold {left}); "
                        "wait for them or end them, and run the same command again"
                    )
                if not said:
                    say("Jobs of a Snakemake that was killed are ending; waiting for them.")
                    said = True
                time.sleep(0.05)
            left.unlink()
        finally:
            os.close(descriptor)
