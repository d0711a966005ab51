"""The one way from the bytes of an image file to RGB pixels, for hashing and for the pixel store alike."""

import hashlib
import io
import struct
import zlib
from pathlib import PurePosixPath

import cv2
import numpy as np

from histobench.io.errors import HistoBenchError

MAX_PIXELS = 2**24
"""Largest image that is decoded, in pixels: 50 times a BreakHis field of view, five times one of BACH."""

FORMATS = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".jpg": "JPEG", ".jpeg": "JPEG"}
"""Format of the files that are decoded, by the suffix of their names in lower case."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}
_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


def decode(data: bytes, name: str) -> np.ndarray:
    """Decode a PNG, TIFF or JPEG file, whichever its name says it is.

    RGB, palette and grey images of up to 8 bits per channel are accepted: their way to 8-bit RGB is exact. TIFF may also
    hold RGB of 16 bits, of which the upper 8 are kept (most images of BACH take six bytes per pixel); of several pages
    the first is read. Colour profile, gamma and orientation are not applied. Every chunk's checksum of a PNG is verified
    before a pixel is decoded (the decoder alone would print to stderr, and tell a short file from a broken one by no
    more than its silence).

    Args:
        data: the whole file.
        name: what an error calls the image, usually its path inside the source; without a suffix it counts as PNG.

    Returns:
        uint8 array (height, width, 3), RGB, contiguous.

    Raises:
        HistoBenchError: the file is not what its name says, is truncated or corrupt, holds more than :data:`MAX_PIXELS`
            pixels, more bits per channel, transparency, another colour model or an animation.
    """
    kind = FORMATS.get(PurePosixPath(name).suffix.lower(), "PNG")
    if kind != "PNG":
        return _by_pillow(data, name, kind)
    width, height = _checked_size(data, name)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS)
    except cv2.error as error:
        raise _corrupt(name, "its pixel data cannot be decoded") from error
    if pixels is None:
        raise _corrupt(name, "its pixel data cannot be decoded")
    if pixels.shape != (height, width, 3) or pixels.dtype != np.uint8:
        raise _corrupt(name, f"it decodes to {pixels.shape} instead of {(height, width, 3)}")
    return pixels


def pixel_sha256(pixels: np.ndarray) -> str:
    """Return the SHA-256 of height and width (two little-endian uint32), then the uint8 RGB bytes in row order.

    Args:
        pixels: uint8 array (height, width, 3).
    """
    height, width, _ = pixels.shape
    digest = hashlib.sha256(struct.pack("<II", height, width))
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _by_pillow(data: bytes, name: str, kind: str) -> np.ndarray:
    """Decode a TIFF or JPEG file."""
    import PIL.Image

    try:
        with PIL.Image.open(io.BytesIO(data), formats=[kind]) as image:
            (width, height), mode = image.size, image.mode
            if width * height <= MAX_PIXELS and mode in ("RGB", "P", "L", "1") and "transparency" not in image.info:
                return np.array(image.convert("RGB"))
    except PIL.UnidentifiedImageError as error:
        raise HistoBenchError(
            f"{name}: is not a {kind} file that can be read although its name says so; replace it by an 8-bit RGB "
            f"{kind} or remove it"
        ) from error
    except PIL.Image.DecompressionBombError as error:
        raise HistoBenchError(
            f"{name}: declares more than the {MAX_PIXELS} pixels that are read; remove it or scale it down"
        ) from error
    except Exception as error:  # Pillow raises whatever a damaged file leads it to
        raise _corrupt(name, str(error) or type(error).__name__, kind) from error
    if width * height > MAX_PIXELS:
        raise _too_large(name, width, height)
    raise _unsupported(name, f"{mode} pixels", kind)


def _corrupt(name: str, what: str, kind: str = "PNG") -> HistoBenchError:
    return HistoBenchError(f"{name}: the {kind} is corrupt ({what}); get a whole copy of the file")


def _too_large(name: str, width: int, height: int) -> HistoBenchError:
    return HistoBenchError(
        f"{name}: declares {width}x{height} pixels, more than the {MAX_PIXELS} that are read; "
        "remove it or scale it down"
    )


def _checked_size(data: bytes, name: str) -> tuple[int, int]:
    """Walk the chunks of a PNG, and return (width, height) in pixels if all is well."""
    if not data.startswith(_SIGNATURE):
        raise HistoBenchError(f"{name}: is not a PNG file although its name says so; replace it by a PNG or remove it")
    view, position, width, height, kind = memoryview(data), len(_SIGNATURE), 0, 0, b""
    while kind != b"IEND":
        if position + 12 > len(data):
            raise _corrupt(name, f"truncated: it ends after {len(data)} bytes, before its end mark")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            raise _corrupt(name, f"truncated: it ends after {len(data)} bytes, before its end mark")
        if zlib.crc32(view[position + 4 : end]) != int.from_bytes(view[end : end + 4]):
            raise _corrupt(name, f"the checksum of the chunk at byte {position} is wrong")
        if position == len(_SIGNATURE):
            if kind != b"IHDR" or length != 13:
                raise _corrupt(name, "it does not begin with an image header")
            width, height, depth, colour = struct.unpack_from(">IIBB", data, position + 8)
            if width * height > MAX_PIXELS:
                raise _too_large(name, width, height)
            if depth > 8 or colour not in (0, 2, 3):
                raise _unsupported(name, f"{depth}-bit {_COLOUR_TYPES.get(colour, 'unknown')} pixels")
        elif kind in (b"tRNS", b"acTL"):
            raise _unsupported(name, "transparency" if kind == b"tRNS" else "an animation")
        position = end + 4
    return width, height


def _unsupported(name: str, what: str, kind: str = "PNG") -> HistoBenchError:
    return HistoBenchError(f"{name}: holds {what}, expected a still 8-bit RGB image; save it as 8-bit RGB {kind}")
