"""Decoding of image files to RGB pixels: the manifest's hashes and the pixel store use the same function."""

import hashlib
import io
import struct
from pathlib import PurePosixPath

import numpy as np
import PIL.Image

from histobench.io.errors import HistoBenchError

MAX_PIXELS = 2**24
"""Largest image that is decoded, in pixels: 50 times a BreakHis field of view, five times one of BACH."""

SUFFIXES = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".jpg": "JPEG", ".jpeg": "JPEG"}
"""Pillow's name of the format of the files that are decoded, by the suffix of their names in lower case."""


def decode(data: bytes, name: str) -> np.ndarray:
    """Decode a PNG, TIFF or JPEG file; the suffix of its name says which.

    RGB, palette and grey images of up to 8 bits per channel are accepted: their conversion to 8-bit RGB is exact. TIFF
    may also hold RGB of 16 bits, of which the upper 8 are kept (most images of BACH take six bytes per pixel); of
    several pages the first is read. Colour profile, gamma and orientation are not applied. The checksums of a PNG are
    verified.

    Args:
        data: the whole file.
        name: what an error calls the image, usually its path inside the source; without a suffix it counts as PNG.

    Returns:
        uint8 array (height, width, 3), RGB, contiguous.

    Raises:
        HistoBenchError: the file is not what its name says, is truncated or corrupt, holds more than :data:`MAX_PIXELS`
            pixels, more bits per channel, transparency, another colour model or an animation.
    """
    kind = SUFFIXES.get(PurePosixPath(name).suffix.lower(), "PNG")
    try:
        with PIL.Image.open(io.BytesIO(data), formats=[kind]) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise PIL.Image.DecompressionBombError(f"{width}x{height} pixels")
            if unsupported := _unsupported(image, data):
                raise HistoBenchError(
                    f"{name}: holds {unsupported}, expected a still 8-bit RGB image; save it as 8-bit RGB {kind}"
                )
            if kind != "PNG":
                return np.array(image.convert("RGB"))
            image.verify()
        with PIL.Image.open(io.BytesIO(data), formats=[kind]) as image:  # after verify() an image must be reopened
            return np.array(image.convert("RGB"))
    except HistoBenchError:
        raise
    except PIL.UnidentifiedImageError as error:
        raise HistoBenchError(
            f"{name}: is not a {kind} file that can be read although its name says so; replace it by an 8-bit RGB "
            f"{kind} or remove it"
        ) from error
    except PIL.Image.DecompressionBombError as error:  # Pillow raises it, too, for much larger images
        raise HistoBenchError(
            f"{name}: declares more than the {MAX_PIXELS} pixels that are read ({error}); remove it or scale it down"
        ) from error
    except Exception as error:  # Pillow has no common class for the errors that damaged files lead to
        reason = " ".join(str(error).split()) or type(error).__name__
        raise HistoBenchError(
            f"{name}: the {kind} is truncated or corrupt ({reason}); get a whole copy of the file"
        ) from error


def pixel_sha256(pixels: np.ndarray) -> str:
    """Return the SHA-256 of height and width (two little-endian uint32), then the uint8 RGB bytes in row order."""
    height, width, _ = pixels.shape
    digest = hashlib.sha256(struct.pack("<II", height, width))
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _unsupported(image: PIL.Image.Image, data: bytes) -> str:
    if image.format == "PNG" and data[24] > 8:  # the bits per channel; Pillow reports 16-bit RGB as 8-bit RGB
        return "16-bit pixels"
    if image.format == "PNG" and getattr(image, "is_animated", False):
        return "an animation"
    if image.mode not in ("RGB", "P", "L", "1"):
        return f"{image.mode} pixels"
    return "transparency" if "transparency" in image.info else ""
