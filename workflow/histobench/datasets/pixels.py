"""Every image of a dataset, decoded and resized once, in one memory-mapped file.

The whole field of view is squashed to a square by Pillow's bicubic filter, whose support grows with the reduction
(antialiasing). For 8-bit images it computes in whole numbers, so that every processor gives the same bytes.
"""

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import accumulate
from pathlib import Path

import numpy as np

from histobench.datasets import tiles
from histobench.datasets.manifest import Image
from histobench.io.arrays import mapped
from histobench.io.errors import HistoBenchError
from histobench.io.files import atomic_path


def squash(pixels: np.ndarray, size: int) -> np.ndarray:
    """Return a whole image, uint8 (height, width, 3), as uint8 (size, size, 3), by an antialiased bicubic filter.

    The aspect ratio is not kept.
    """
    import PIL.Image  # not at the top: training jobs only load stores, and start faster without it

    return np.asarray(PIL.Image.fromarray(pixels).resize((size, size), PIL.Image.Resampling.BICUBIC))


def build(
    source: Path,
    images: Sequence[Image],
    size: int,
    path: Path,
    workers: int = 1,
    cut: Sequence[tiles.Size] | None = None,
) -> None:
    """Write the pixel store of a dataset: a .npy file, uint8 (images, size, size, 3), RGB, in manifest order.

    With `cut`, an image has a row for each of its tiles instead of one.

    The source is read once, in its own order, which need not be the manifest's; each image is written to its row as soon
    as it is done, so memory does not grow with the dataset. The file is written atomically, with a progress bar on stderr.

    Args:
        source: archive or folder that the manifest was made from.
        images: the whole manifest.
        size: side of the squares in pixels.
        path: the store.
        workers: number of decoding threads.
        cut: for each image the size of its tiles.

    Raises:
        HistoBenchError: the source lacks an image, or holds one that is corrupt or differs from the manifest; the source
            is missing or broken; or the disk is full.
    """
    from tqdm import tqdm

    from histobench.datasets.archives import members
    from histobench.datasets.scan import in_threads

    rows = {image.member: row for row, image in enumerate(images)}
    counts = [tiles.count(image, tile) for image, tile in zip(images, cut, strict=True)] if cut else [1] * len(images)
    ends = list(accumulate(counts))
    with atomic_path(path) as temporary, closing(members(source)) as archive:
        pixels = np.lib.format.open_memmap(temporary, "w+", np.uint8, (ends[-1], size, size, 3))
        if hasattr(os, "posix_fallocate"):  # a full disk is noticed here; a later write would end the process
            with temporary.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
        elif shutil.disk_usage(path.parent).free < temporary.stat().st_size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def store(data: bytes, row: int) -> None:
            whole = _decoded(data, images[row], source)
            parts = tiles.cut(whole, cut[row]) if cut else [whole]
            pixels[ends[row] - counts[row] : ends[row]] = [squash(part, size) for part in parts]

        def wanted() -> Iterator[tuple[bytes, int]]:
            for member in archive:
                row = rows.pop(member.name, None)
                if row is not None:
                    yield member.read(), row
                if not rows:
                    return

        done = in_threads(store, wanted(), workers)
        for _ in tqdm(done, total=len(images), unit="image", desc=f"pixels {size}px"):
            pass
        if rows:
            raise HistoBenchError(
                f"{source}: {len(rows)} of the manifest's {len(images)} images are missing, the first is {min(rows)}; "
                "get the whole dataset, or delete manifest.csv to have it made again"
            )


def load(path: Path, count: int, size: int) -> np.memmap:
    """Map a pixel store into memory, read-only.

    Args:
        path: file written by :func:`build`.
        count: number of images of the manifest, or of their tiles.
        size: side of the squares in pixels.

    Returns:
        uint8 array (count, size, size, 3), RGB, in manifest order.

    Raises:
        HistoBenchError: the file is missing, truncated, or holds anything else.
    """
    shape = (count, size, size, 3)
    try:
        store = mapped(path)
        if store.shape != shape or store.dtype != np.uint8 or not store.flags.c_contiguous:
            raise ValueError(f"it holds {store.dtype} of shape {store.shape}")
        if path.stat().st_size != store.offset + store.nbytes:
            raise ValueError("its length does not match its header")
        return store
    except FileNotFoundError as error:
        raise HistoBenchError(f"{path}: no such pixel store; run the workflow again to make it") from error
    except ValueError as error:
        raise HistoBenchError(
            f"{path}: is not the pixel store of this dataset, uint8 of shape {shape} ({error}); "
            "delete it to have it made again"
        ) from error


def _decoded(data: bytes, image: Image, source: Path) -> np.ndarray:
    from histobench.datasets.decode import decode, pixel_sha256

    pixels = decode(data, f"{source}, {image.member}")
    if pixel_sha256(pixels) != image.sha256:
        raise HistoBenchError(
            f"{source}, {image.member}: has other pixels than those whose SHA-256 the manifest has; "
            "the dataset was changed, so delete manifest.csv to have it made again"
        )
    return pixels
