"""Leases of GPUs by kernel locks, which end with the process that holds them, whatever kills it.

Each GPU has a file, named by its UUID, in a folder that all users of the machine share. Nothing is ever written to it:
ranges of its bytes are locked. A job that shares its GPU with at most n - 1 others takes one n-th of the range that
stands for the GPU, and a job that has it for itself all of it, so that jobs with different n cannot overfill it either.

    0 ... PARTS                 the GPU
    QUEUE + time of arrival     one byte for each process that waits for it

Who waits is served in the order of arrival: nobody takes a GPU for which an earlier one waits. A job that wants a whole
GPU stands in the queue of a single one, which drains meanwhile, while others go on filling the rest.

These are POSIX record locks: unlike `flock`, they belong to one process and not to an open file, so a child that was
forked, and outlives it, holds none. (They end when the process closes the file, which it therefore never does.)
"""

import fcntl
import logging
import os
import re
import stat
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from histobench.io.errors import HistoBenchError
from histobench.training.gpus import Gpu

log = logging.getLogger(__name__)

FOLDER = "/tmp/histobench-gpus"  # not TMPDIR, which can differ between users and jobs
PARTS = 720_720  # bytes that stand for a GPU: they can be divided by each number up to 16
QUEUE = 1 << 32
END = (1 << 63) - 1
POLL_SECONDS = 0.25
FLOCK = struct.Struct("hhqqi4x")  # type, whence, start, length, pid: `struct flock` of 64-bit Linux


@dataclass(frozen=True)
class _Lock:
    """A lock that another process holds."""

    start: int
    length: int
    pid: int
    """0 where the process cannot be seen, as from another container."""


def take(gpus: Sequence[Gpu], share: int) -> Gpu:
    """Lease one of `gpus` for the life of this process, and return it; wait until there is one.

    Args:
        gpus: any of these will do.
        share: at most so many jobs on the GPU at once, this one among them.

    Raises:
        HistoBenchError: the folder of leases cannot be used.
    """
    folder = _Folder(Path(os.environ.get("HISTOBENCH_LEASES") or FOLDER))
    arrived = time.monotonic_ns()  # one clock for all processes of a machine
    queued: list[Gpu] = []
    while True:
        files = {gpu: folder.file(gpu) for gpu in gpus}
        for gpu in _order(files, share):
            if not _earlier(files[gpu], arrived) and _take_part(files[gpu], share):
                if folder.file(gpu) != files[gpu]:  # removed by somebody just now: nobody else would see this lock
                    break
                for waited in queued:
                    _unlock(files[waited], QUEUE, END - QUEUE)
                if queued:
                    seconds = (time.monotonic_ns() - arrived) / 1e9
                    log.warning("GPU %d came free after %.0f s", gpu.index, seconds)
                return gpu
        else:
            if not queued:
                queued = list(gpus) if share > 1 else [_to_drain(files, arrived)]
                log.warning("%s", _reason(files, arrived))
            for gpu in queued:  # again and again, which changes nothing unless the file is a new one
                _try_lock(files[gpu], QUEUE + arrived, 1)
            time.sleep(POLL_SECONDS)


def _order(files: dict[Gpu, int], share: int) -> list[Gpu]:
    """Return the GPUs in the order in which to try them: for small jobs the fullest first, so that others stay whole."""
    if share == 1:
        return list(files)
    return sorted(files, key=lambda gpu: -_used(files[gpu]))


def _to_drain(files: dict[Gpu, int], arrived: int) -> Gpu:
    """Return the GPU that a job waits for which wants a whole one: where few wait, least is used, by small jobs."""

    def burden(gpu: Gpu) -> tuple[int, int, int]:
        held = list(_held(files[gpu], 0, PARTS))
        waiting = len(list(_held(files[gpu], QUEUE, arrived)))
        return waiting, _used(files[gpu]), max((lock.length for lock in held), default=0)

    return min(files, key=burden)


def _take_part(file: int, share: int) -> bool:
    """Lock one of the `share` parts of a GPU, if one is free."""
    cuts = [part * PARTS // share for part in range(share + 1)]
    return any(_try_lock(file, start, end - start) for start, end in pairwise(cuts))


def _used(file: int) -> int:
    return sum(lock.length for lock in _held(file, 0, PARTS))


def _earlier(file: int, arrived: int) -> bool:
    """Tell whether a process waits that came before `arrived`."""
    return next(_held(file, QUEUE, arrived), None) is not None


def _reason(files: dict[Gpu, int], arrived: int) -> str:
    """Return what a reader of the log should know of a job that waits."""
    holders = {lock.pid for file in files.values() for lock in _held(file, 0, PARTS)} - {0}
    ahead = {lock.pid for file in files.values() for lock in _held(file, QUEUE, arrived)} - {0}
    which = f"all {len(files)} are" if len(files) > 1 else f"GPU {next(iter(files)).index} is"
    by = f" by {_processes(holders)}" if holders else ""
    return f"waiting for a GPU: {which} leased{by}{f', and {_processes(ahead)} came before' if ahead else ''}"


def _processes(pids: set[int]) -> str:
    return f"process{'es' if len(pids) > 1 else ''} {', '.join(map(str, sorted(pids)))}"


def _held(file: int, start: int, length: int) -> Iterator[_Lock]:
    """Yield the locks of other processes on a range of bytes, in their order, each cut to the range."""
    end = start + length
    while start < end:
        asked = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, end - start, 0)
        kind, _, first, size, pid = FLOCK.unpack(fcntl.fcntl(file, fcntl.F_GETLK, asked))
        if kind == fcntl.F_UNLCK:
            return
        first, last = max(first, start), min(first + size, end) if size else end
        # The kernel names one lock of those in the way, not always the first.
        yield from _held(file, start, first - start)
        yield _Lock(first, last - first, max(pid, 0))
        start = last


def _try_lock(file: int, start: int, length: int) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
    except (BlockingIOError, PermissionError):  # POSIX allows either
        return False
    except OSError as error:
        raise HistoBenchError(
            f"the file system of the leases of GPUs has no locks ({error.strerror}); "
            "set HISTOBENCH_LEASES to a folder on a local disk that all users of this machine may write to"
        ) from error
    return True


def _unlock(file: int, start: int, length: int) -> None:
    fcntl.lockf(file, fcntl.LOCK_UN, length, start)


class _Folder:
    """The folder of lease files, and those that are open: they stay so, since closing one would end its leases."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = -1
        self.files: dict[Gpu, int] = {}

    def file(self, gpu: Gpu) -> int:
        """Return the open file of a GPU; it and its folder are made where they are not there, or not any more."""
        name = re.sub(r"[^0-9A-Za-z-]", "_", gpu.uuid) + ".lock"
        try:
            for _ in range(100):  # each step can be undone by somebody who cleans up
                with suppress(FileNotFoundError):
                    if self.descriptor < 0 or not os.fstat(self.descriptor).st_nlink:
                        self._open()
                    return self._file(gpu, name)
                self._make(name)
            raise OSError(0, "it is removed again and again")
        except OSError as error:
            raise HistoBenchError(
                f"{self.path}: cannot be used for the leases of GPUs ({error.strerror or error}); it must be a folder, no "
                "link, that all users of this machine may write to; remove it, or set HISTOBENCH_LEASES to another"
            ) from error

    def _open(self) -> None:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        if not os.path.lexists(self.path):
            # It appears with its rights, so that no other user finds it closed, and not empty, so that none replaces it.
            made = self.path.with_name(f".{self.path.name}-{os.urandom(8).hex()}")
            made.mkdir(0o700)
            (made / "README").write_text("Jobs of HistoBench lease GPUs by locks on these files. They are empty.\n")
            (made / "README").chmod(0o644)
            made.chmod(0o1777)
            try:
                made.rename(self.path)
            except OSError:  # another process was faster
                (made / "README").unlink()
                made.rmdir()
        self.descriptor = os.open(self.path, flags)
        # What is old in /tmp is removed some day, but not below a folder that is locked like this (tmpfiles.d).
        with suppress(OSError):
            fcntl.flock(self.descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def _file(self, gpu: Gpu, name: str) -> int:
        there = os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        if not stat.S_ISREG(there.st_mode):
            raise OSError(0, f"{name} is no plain file")
        file = self.files.get(gpu)
        if file is None or not os.path.samestat(os.fstat(file), there):
            # O_CREAT would not open another user's file in a folder like /tmp.
            file = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self.descriptor)
            self.files[gpu] = file
        return file

    def _make(self, name: str) -> None:
        """Make a file that all users may lock, whatever this one's mask."""
        made = f".{name}-{os.urandom(8).hex()}"
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW
        with suppress(FileNotFoundError):  # the folder was removed
            file = os.open(made, flags, 0o600, dir_fd=self.descriptor)
            try:
                os.fchmod(file, 0o666)
                with suppress(FileExistsError):  # another process was faster
                    os.link(made, name, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
            finally:
                os.close(file)
                os.unlink(made, dir_fd=self.descriptor)
