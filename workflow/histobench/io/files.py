"""Files that are either whole or absent, and CSV tables as plain rows."""

import csv
import errno
import glob
import hashlib
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from histobench.io.errors import HistoBenchError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it into place when the block succeeds, remove it when it fails.

    A file that is at `path` already stays untouched until the new file is complete and flushed to disk.

    Raises:
        HistoBenchError: the disk is full, or the folder cannot be written, whatever the writer made of that.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_temporaries(path)
        yield temporary
        os.umask(mask := os.umask(0))
        temporary.chmod(0o666 & ~mask)  # some writers, safetensors' for one, let nobody else read their files
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except HistoBenchError:
        raise
    except Exception as error:
        if message := _message(path, _errno(error, temporary)):
            raise HistoBenchError(message) from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_temporaries(path: Path) -> None:
    """Remove the temporary files of `path` that processes left behind when they were killed."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        with suppress(ValueError, OverflowError, PermissionError):  # not named by us, or of another user's process
            try:
                os.kill(int(left.suffixes[-2][1:]), 0)  # asks whether that process is there
            except ProcessLookupError:
                left.unlink(missing_ok=True)


def _errno(error: Exception, path: Path) -> int:
    """Return the system's error number for a file that could not be written; 0 if there is none."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if number := re.search(r"\(os error (\d+)\)", str(error)):  # safetensors, as all of Rust
        return int(number[1])
    try:  # PyTorch and numpy do not report it, but the condition still holds
        if path.exists():
            with path.open("ab") as file:
                file.write(bytes(1 << 16))
                file.flush()
                os.fsync(file.fileno())
    except OSError as found:
        return found.errno or 0
    return 0


def _message(path: Path, number: int) -> str:
    """Return the message for an error number; empty for a number that is no fault of the disk or its permissions."""
    if number in (errno.ENOSPC, errno.EDQUOT):
        return f"{path}: the disk or quota is full; free some space and run the same command again"
    if number == errno.EFBIG:
        return f"{path}: is larger than files may be here; raise the limit (ulimit -f) or use another file system"
    if number in (errno.EACCES, errno.EROFS, errno.EPERM):
        return f"{path}: cannot be written ({os.strerror(number)}); make its folder writable or choose another one"
    return ""


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write `rows` atomically, with exactly `columns`, in that order, and Unix line ends."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays as an .npz file, atomically; equal arrays give equal bytes, since numpy dates its members 1980."""
    import numpy as np

    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def read_given_csv(path: Path) -> tuple[list[str], list[tuple[int, dict[str | None, Any]]]]:
    """Return the columns and the numbered rows of a CSV table that a user has written.

    Between cells are commas, semicolons or tabs, whichever the first line has most of; the text is UTF-8 or, with its mark,
    UTF-16. Names of columns are in lower case, without spaces around them.

    Raises:
        HistoBenchError: the file cannot be read.
    """
    try:
        data = Path(path).read_bytes()
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        first = text.splitlines()[0] if text.strip() else ""
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
        reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or []]
        return list(reader.fieldnames), [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise HistoBenchError(f"{path}: cannot be read as a CSV table ({error}); save it as CSV in UTF-8") from error


def read_csv(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a CSV table whose header must hold at least `columns`.

    Raises:
        HistoBenchError: the file is missing, or a column is.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            header = reader.fieldnames or []
    except FileNotFoundError as error:
        raise HistoBenchError(f"{path}: no such file; run the workflow again to make it") from error
    missing = [column for column in columns if column not in header]
    if missing:
        raise HistoBenchError(
            f"{path}: column {missing[0]} is missing (found: {', '.join(header)}); delete the file to have it rebuilt"
        )
    return rows


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hex digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file that was downloaded or made.

    Raises:
        HistoBenchError: there is no such file, or it holds anything else.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise HistoBenchError(
            f"{path}: is not a JSON object ({error}); delete it to have it made or downloaded again"
        ) from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number in JSON")
