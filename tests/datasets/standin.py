"""A stand-in for the BreakHis archive: all its 7,909 paths, small made-up images, and its 123 twins."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from histobench.datasets.breakhis import official

EXTRAS: Mapping[str, bytes] = {
    "BreaKHis_v1/README.txt": b"A stand-in.\n",
    "BreaKHis_v1/histology_slides/breast/README": b"A stand-in.\n",
    "BreaKHis_v1/histology_slides/breast/benign/SOB/adenosis/Thumbs.db": b"\xd0\xcf\x11\xe0",
    "BreaKHis_v1/histology_slides/breast/malignant/SOB/Thumbs.db": b"\xd0\xcf\x11\xe0",
}
"""Files beside the images; none is an image."""


def png(pixels: np.ndarray, level: int = 1, text: str = "") -> bytes:
    """Encode a uint8 (height, width, 3) array as PNG; `level` and `text` change the bytes and not the pixels."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each row begins with its filter: none
    rows[:, 1:] = pixels.reshape(height, 3 * width)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
            chunk(b"tEXt", b"Comment\0" + text.encode("latin-1")) if text else b"",
            chunk(b"IDAT", zlib.compress(rows.tobytes(), level)),
            chunk(b"IEND", b""),
        )
    )


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return one chunk of a PNG file."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def paths() -> list[str]:
    """Return the 7,909 official paths."""
    return [identity.member for identity in official()]


def contents(members: Iterable[str], size: tuple[int, int] = (28, 18)) -> Iterator[tuple[str, bytes]]:
    """Yield (path, PNG file) for official paths.

    Every image differs from every other, but for the twins: the n-th image of 14-13412 under LC at a magnification has
    the pixels of the n-th under DC, and other bytes. Eight images are one row lower than the rest, as the real 700x456
    ones are lower than 700x460. The noise compresses about as well as a real image does.

    Args:
        members: official paths.
        size: width and height in pixels, at least 8 by 2.
    """
    width, height = size
    every = paths()
    index = {path: i for i, path in enumerate(every)}
    twins = {kind: [path for path in every if f"SOB_M_{kind}-14-13412-" in path] for kind in ("DC", "LC")}
    twin_of = dict(zip(twins["LC"], twins["DC"], strict=True))
    random = np.random.default_rng(0)
    noise = random.integers(0, 32, 2 * 3 * width * height, np.uint8)
    for path in members:
        number = index[twin_of.get(path, path)]
        rows = height - 1 if number % 1000 == 500 else height
        start = number * 7919 % (3 * width * height)
        pixels = noise[start : start + 3 * width * rows].reshape(rows, width, 3).copy()
        pixels += np.array([number * step % 200 for step in (3, 5, 7)], np.uint8)  # a colour of its own
        pixels[0, :2, 0] = number % 256, number // 256  # and this makes it unique
        yield path, png(pixels, level=6, text="twin") if path in twin_of else png(pixels)


def write_standin(
    path: Path,
    size: tuple[int, int] = (28, 18),
    kind: str = "tar.gz",
    members: Iterable[str] | None = None,
    extras: Mapping[str, bytes] = EXTRAS,
    prefix: str = "",
) -> Path:
    """Write the stand-in as an archive or folder, deterministically, and return its path.

    Args:
        path: file (or, for ``folder``, folder) to write.
        size: width and height of the images in pixels.
        kind: ``tar.gz``, ``tar``, ``zip`` or ``folder``.
        members: official paths to write; all 7,909 by default.
        extras: path and content of further files, written first.
        prefix: put before every path, such as ``archive/``.
    """
    files = (
        (prefix + name, data)
        for part in (extras.items(), contents(paths() if members is None else members, size))
        for name, data in part
    )
    return write_files(path, files, kind)


def few(patients: int = 4, images: int = 2) -> list[tuple[str, bytes]]:
    """Return (path, PNG file) of the first images of some slides of each class, at 40X."""
    chosen: dict[str, dict[str, list[str]]] = {"benign": {}, "malignant": {}}
    for path in paths():
        slides = chosen["benign" if "/benign/" in path else "malignant"]
        if "/40X/" in path:
            slides.setdefault(path.split("/")[-3], []).append(path)
    slides = [slide for label in chosen.values() for slide in list(label.values())[:patients]]
    return list(contents(path for slide in slides for path in slide[:images]))


def write_files(path: Path, files: Iterable[tuple[str, bytes]], kind: str = "tar.gz") -> Path:
    """Write (name, content) pairs as an archive or folder of the given kind, and return its path."""
    if kind == "folder":
        for name, data in files:
            target = path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    elif kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for name, data in files:
                archive.writestr(zipfile.ZipInfo(name), data)
    elif kind == "tar":
        with tarfile.open(path, "w") as archive:
            _add(archive, files)
    elif kind == "tar.gz":
        with (
            gzip.GzipFile(path, "wb", compresslevel=1, mtime=0) as stream,
            tarfile.open(fileobj=stream, mode="w|", bufsize=2**20) as archive,
        ):
            _add(archive, files)
    else:
        raise ValueError(f"no kind of archive: {kind}")
    return path


def _add(archive: tarfile.TarFile, files: Iterable[tuple[str, bytes]]) -> None:
    for name, data in files:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
