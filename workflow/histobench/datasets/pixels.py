"""Every image of a dataset, decoded and resized once, in one memory-mapped file.

The whole field of view is squashed to a square by Pillow's bicubic filter, whose support grows with the reduction
(antialiasing). For 8-bit images it computes in whole numbers, so that every processor gives the same bytes.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from histobench.datasets.manifest import Image
from histobench.io.arrays import mapped
from histobench.io.errors import HistoBenchError
from histobench.io.files import atomic_path


def squash(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resize a whole image to a square with an antialiased bicubic filter; the aspect ratio is not kept.

    Args:
        pixels: uint8 array (height, width, 3).
        size: side of the result in pixels.

    Returns:
        uint8 array (size, size, 3).
    """
    import PIL.Image  # not at the top: training jobs only load stores, and start faster without it

    return np.asarray(PIL.Image.fromarray(pixels).resize((size, size), PIL.Image.Resampling.BICUBIC))


def build(source: Path, images: Sequence[Image], size: int, path: Path, workers: int = 1) -> None:
    """Write the pixel store of a dataset: a .npy file, uint8 (images, size, size, 3), RGB, in manifest order.

    The source is read once, in its own order, which need not be the manifest's; each image is written to its row as soon
    as it is done, so memory does not grow with the dataset. The file is written atomically, with a progress bar on stderr.

    Args:
        source: archive or folder that the manifest was made from.
        images: the whole manifest.
        size: side of the squares in pixels.
        path: the store.
        workers: number of decoding threads.

    Raises:
        HistoBenchError: the source lacks an image, or holds one that is corrupt or differs from the manifest; the source
            is missing or broken; or the disk is full.
    """
    from tqdm import tqdm

    from histobench.datasets.archives import members
    from histobench.datasets.scan import in_threads

    rows = {image.member: row for row, image in enumerate(images)}
    with atomic_path(path) as temporary, temporary.open("xb", buffering=0) as file, closing(members(source)) as archive:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(images), size, size, 3)}
        np.lib.format.write_array_header_1_0(file, header)
        start, stride = file.tell(), size * size * 3
        if hasattr(os, "posix_fallocate"):  # a full disk is noticed before the work is done
            os.posix_fallocate(file.fileno(), 0, start + len(images) * stride)

        def store(data: bytes, row: int) -> None:
            view = squash(_decoded(data, images[row], source), size).reshape(-1).data
            offset = start + row * stride
            while view:
                written = os.pwrite(file.fileno(), view, offset)
                view, offset = view[written:], offset + written

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
        count: number of images of the manifest.
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
    """Decode the file of an image and require the size and the hash that the manifest has."""
    from histobench.datasets.decode import decode, pixel_sha256

    pixels = decode(data, f"{source}, {image.member}")
    height, width, _ = pixels.shape
    if (width, height) != (image.width, image.height):
        found, expected = f"is {width}x{height} pixels", f"{image.width}x{image.height}"
    elif pixel_sha256(pixels) != image.sha256:
        found, expected = "has other pixels", "those with its SHA-256"
    else:
        return pixels
    raise HistoBenchError(
        f"{source}, {image.member}: {found}, but the manifest has {expected}; "
        "the dataset was changed, so delete manifest.csv to have it made again"
    )
