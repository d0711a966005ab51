"""The files of an archive or folder, one after the other, without unpacking anything to disk.

A kind of archive is added as a function like :func:`_zip` and a case of :func:`members`.
"""

import gzip
import lzma
import os
import re
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from histobench.io.errors import HistoBenchError

MAX_MEMBER_BYTES = 64 * 2**20
"""Largest file that is read from an archive, unpacked: a hundred times an image of BreakHis, three times one of BACH."""

MAX_RATIO = 100
"""How many times its own size a tar.gz may unpack to, plus one file of the largest size. Images are compressed already: an
archive of them grows by a few percent, one of blank pixels or tables perhaps tenfold, a bomb a thousandfold."""

_BUFFER = 2**20
_LINK, _SPECIAL = (f"is a {kind}, expected a regular file" for kind in ("link", "device or special file"))
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    UnicodeDecodeError,
    NotImplementedError,  # a compression that zipfile does not know
    EOFError,
    OSError,
)
"""What the standard library raises on broken archives and broken disks."""


@dataclass(frozen=True, slots=True)
class Member:
    """One regular file inside a source."""

    name: str
    """Path inside the source: relative, ``/`` between its parts, without ``.`` and ``..``; Unicode in its composed form."""
    read: Callable[..., bytes]
    """Returns the whole content, or its first `limit` bytes; valid only until the iterator that gave this member advances."""


def members(source: Path) -> Generator[Member, None, None]:
    """Yield the regular files of a tar.gz, tar or zip archive, or of a folder.

    An archive is read once, in its own order; a folder in sorted order. Nothing is written. Refused before they are
    read are members that no real dataset contains: absolute paths, ``..``, backslashes (which a zip made by Windows may have
    between folders), drive letters, unprintable characters, links, devices, encrypted or sparse members. Members above
    :data:`MAX_MEMBER_BYTES` are refused when they are read (a zip or folder may also contain whole slides, which are skipped; a tar may not).

    Args:
        source: path of the archive or folder; the first bytes of an archive say which kind it is.

    Raises:
        HistoBenchError: the source does not exist, is no archive, is truncated or corrupt (also while a member is
            read), or contains a refused member.
    """
    source = Path(source)
    if source.is_dir():
        yield from _folder(source, source)
        return
    try:
        with source.open("rb") as file:
            magic = file.read(262)
    except FileNotFoundError as error:
        raise HistoBenchError(f"{source}: no such archive or folder; put it there or correct the path") from error
    except OSError as error:
        raise HistoBenchError(f"{source}: cannot be read ({error.strerror}); check the file and its disk") from error
    if magic.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        yield from _zip(source)
    elif magic.startswith(b"\x1f\x8b"):
        # Unlike the gz mode of tarfile, gzip.open notices a missing end and a wrong checksum.
        with gzip.open(source) as stream:
            yield from _tar(source, _Bounded(source, stream))
    elif magic[257:262] == b"ustar":
        with source.open("rb") as stream:
            yield from _tar(source, stream)
    else:
        raise HistoBenchError(
            f"{source}: is no tar.gz, tar or zip archive; get a whole copy of it or, if it is one of another kind, unpack it and "
            "give the folder"
        )


def require_whole(source: Path) -> None:
    """Raise HistoBenchError unless an archive can be read to its end, by :func:`members`."""
    for _ in members(source):
        pass


class _StrictInfo(tarfile.TarInfo):
    """Reads the header of a member; only the end mark ends an archive.

    The base class also takes a broken header, or the end of the file, for the end of the archive, and it reads a
    long-name or extended header of any size into memory.
    """

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> "_StrictInfo":
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # pyright: ignore[reportAttributeAccessIssue] (missing from the stubs)
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_StrictInfo":
        info = super().frombuf(buf, encoding, errors)
        if not 0 <= info.size <= MAX_MEMBER_BYTES:
            raise tarfile.InvalidHeaderError(f"{info.name!a} {_wrong_size(info.size)}")  # pyright: ignore[reportAttributeAccessIssue]
        return info


class _Bounded:
    """The content of a compressed file, up to a length that no real archive of that size has."""

    def __init__(self, source: Path, stream: gzip.GzipFile):
        self.source, self.stream = source, stream
        self.left = self.limit = MAX_RATIO * source.stat().st_size + MAX_MEMBER_BYTES

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes, or fewer at the end."""
        data = self.stream.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise HistoBenchError(
                f"{self.source}: unpacks to more than {self.limit} bytes, over {MAX_RATIO} times its own size; "
                "get the official archive"
            )
        return data


def _tar(source: Path, stream: IO[bytes] | _Bounded) -> Iterator[Member]:
    last = "its beginning"
    with _intact(source, lambda: f"after {last}"):
        with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|", bufsize=_BUFFER, tarinfo=_StrictInfo) as tar:
            for info in tar:
                name = _checked_name(source, info.name)
                if not info.isdir():
                    if info.issym() or info.islnk():
                        raise _refused(source, name, _LINK)
                    if not info.isreg() or info.issparse():
                        raise _refused(source, name, _SPECIAL)
                    yield Member(name, _reader(source, name, info.size, lambda info=info: tar.extractfile(info)))
                last = name
        while stream.read(_BUFFER):  # to reach the end and the checksum of the compressed stream
            pass


def _zip(source: Path) -> Iterator[Member]:
    with _intact(source, lambda: "in its directory"), zipfile.ZipFile(source) as archive:
        for info in archive.infolist():
            # orig_filename, because the standard library cuts `filename` at a null byte
            path = info.orig_filename.replace("\\", "/")  # which Windows PowerShell 5.1 writes
            if not info.flag_bits & 0x800:  # the flag of UTF-8, which macOS leaves out
                with suppress(UnicodeError):
                    path = path.encode("cp437").decode()
            name = _checked_name(source, path)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if stat.S_ISLNK(kind):
                raise _refused(source, name, _LINK)
            if kind and not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
                raise _refused(source, name, _SPECIAL)
            if path.endswith("/"):
                continue
            if info.flag_bits & 0x1:
                raise _refused(source, name, "is encrypted, expected a plain file")
            yield Member(name, _reader(source, name, info.file_size, lambda info=info: archive.open(info)))


def _folder(root: Path, folder: Path) -> Iterator[Member]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise HistoBenchError(f"{folder}: cannot be read ({error.strerror}); make the folder readable") from error
    for entry in entries:
        name = _checked_name(root, Path(entry.path).relative_to(root).as_posix())
        if entry.is_symlink():
            raise _refused(root, name, _LINK)
        if entry.is_dir():
            yield from _folder(root, Path(entry.path))
        elif entry.is_file():
            yield Member(name, _reader(root, name, entry.stat().st_size, lambda path=Path(entry.path): path.open("rb")))
        else:
            raise _refused(root, name, _SPECIAL)


def _checked_name(source: Path, name: str) -> str:
    """Return the path of a member with ``/`` between its parts and without ``.``; refuse one that leads outside.

    macOS decomposes accented letters and Linux does not: both forms become the composed one.
    """
    parts = PurePosixPath(name).parts
    if not name or not name.isprintable():
        raise _refused(source, name, "has no printable name, expected one in UTF-8")
    if name.startswith("/") or "\\" in name or re.match(r"[A-Za-z]:", name):
        raise _refused(source, name, "has an absolute or foreign path, expected a relative one with / between parts")
    if ".." in parts:
        raise _refused(source, name, "leads out of its folder by '..', expected a path that stays inside")
    return unicodedata.normalize("NFC", "/".join(parts))


def _refused(source: Path, name: str, what: str) -> HistoBenchError:
    shown = name if name.isprintable() else ascii(name)
    return HistoBenchError(f"{source}: member {shown} {what}; remove it or get the official archive")


def _wrong_size(size: int) -> str:
    return f"declares {size} bytes, expected 0 to {MAX_MEMBER_BYTES}"


def _reader(source: Path, name: str, size: int, open_member: Callable[[], IO[bytes] | None]) -> Callable[..., bytes]:
    """Return a function that reads a member and checks that it has the `size` bytes that its header declares."""

    def read(limit: int | None = None) -> bytes:
        if limit is None and size > MAX_MEMBER_BYTES:
            raise _refused(source, name, _wrong_size(size))
        with _intact(source, lambda: f"in member {name}"):
            file = open_member()
            assert file is not None  # only regular files come here
            with file:
                data = file.read(size + 1 if limit is None else limit)
            if limit is None and len(data) != size:
                raise EOFError(f"it declares {size} bytes and holds {'more' if len(data) > size else len(data)}")
            return data

    return read


@contextmanager
def _intact(source: Path, where: Callable[[], str]) -> Iterator[None]:
    """Turn what the standard library raises on broken archives and disks into one message."""
    try:
        yield
    except _BROKEN as error:
        detail = str(error) or type(error).__name__
        raise HistoBenchError(
            f"{source}: is truncated, corrupt or unreadable {where()} ({detail}); get a whole copy of it"
        ) from error
