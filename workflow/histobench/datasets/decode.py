"""Decoding of image files to RGB pixels: the manifest's hashes and the pixel store use the same function."""

import hashlib
import io
import math
import re
import struct
from pathlib import PurePosixPath

import numpy as np
import PIL.Image
import PIL.ImageOps
import PIL.TiffImagePlugin

from histobench.io.errors import HistoBenchError

MAX_PIXELS = 2**24
"""Largest image that is decoded, in pixels: 50 times a BreakHis field of view, five times one of BACH."""

SUFFIXES = {
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
    ".webp": "WEBP",
}
"""Pillow's name of the format of the files that are decoded, by the suffix of their names in lower case."""

FORMATS = "PNG, TIFF, JPEG, BMP or WebP"

IMAGE_NAME = re.compile(
    r".*\.(a?png|jpe|jpe?g|jfif|jp2|j2k|jpf|jpx|jxl|tiff?|btf|bmp|dib|gif|webp|avif|hei[cf]|p[bgnp]m|tga|svs|ndpi|mrxs|scn|czi"
    r"|vsi|lif|nd2|qptiff|bif|dcm|dicom|dng|cr2|nef|arw)",
    re.IGNORECASE,
)
"""Names of files that hold images, of formats that are read and of others."""

IMAGE_START = re.compile(
    rb"\x89PNG|\xff\xd8\xff|II[*+]\0|MM\0[*+]|GIF8|BM.{4}\0{4}|RIFF.{4}WEBP|\0{3}\x0cjP  |\xff\x4f\xff\x51|.{4}ftyp(avi|hei|mif)"
    rb"|P[1-6]\s\d+\s\d+\s|.{128}DICM",
    re.DOTALL,
)
"""First bytes of the same, whatever their names."""

LAYOUTS = {(0, 1, 1), (1, 1, 1), (0, 1, 8), (1, 1, 8), (3, 1, 8), (2, 3, 8), (2, 3, 16)}
"""TIFFs that are read: photometric interpretation (0 and 1 grey, 2 RGB, 3 palette), samples per pixel, bits per sample."""


def decode(data: bytes, name: str) -> np.ndarray:
    """Decode a PNG, TIFF, JPEG, BMP or WebP file; the suffix of its name says which.

    RGB, palette and grey images of up to 8 bits per channel are accepted: their conversion to 8-bit RGB is exact. TIFF
    may also hold RGB of 16 bits, of which the upper 8 are kept (most images of BACH take six bytes per pixel), and beside
    its image reduced copies of it. The orientation that a file states is applied, in every format; colour profile and
    gamma are not. The checksums of a PNG are verified.

    Args:
        data: the whole file.
        name: what an error calls the image, usually its path inside the source; without a suffix it counts as PNG.

    Returns:
        uint8 array (height, width, 3), RGB, contiguous.

    Raises:
        HistoBenchError: the file is not what its name says, is truncated or corrupt, holds more than :data:`MAX_PIXELS`
            pixels, more bits per channel, 16-bit samples whose real depth is not known, transparency, another colour
            model, or several images.
    """
    kind = SUFFIXES.get(PurePosixPath(name).suffix.lower(), "PNG")
    try:
        with PIL.Image.open(io.BytesIO(data), formats=[kind]) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise PIL.Image.DecompressionBombError(f"{width}x{height} pixels")
            unsupported = _unsupported(image, data)
            if kind == "PNG" and not unsupported:
                image.verify()
        if not unsupported:
            with PIL.Image.open(io.BytesIO(data), formats=[kind]) as image:  # after verify() an image must be reopened
                pixels = np.array(PIL.ImageOps.exif_transpose(image).convert("RGB"))
                if pixels.max() >= 128 or kind != "TIFF" or 16 not in image.tag_v2[258]:  # pyright: ignore
                    return pixels
            unsupported = "16-bit samples that do not use the highest bit, so that their real depth is not known"
        raise HistoBenchError(
            f"{name}: holds {unsupported}, expected a still 8-bit RGB image; save it as 8-bit RGB {kind}"
        )
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
    """Return what is in a file that cannot be read exactly as one RGB image; empty text if nothing is."""
    if isinstance(image, PIL.TiffImagePlugin.TiffImageFile):
        return _unsupported_tiff(image)
    if (count := getattr(image, "n_frames", 1)) > 1:
        return f"{count} images"
    if image.format == "PNG" and data[24] > 8:  # the bits per channel; Pillow reports 16-bit RGB as 8-bit RGB
        return "16-bit pixels"
    if image.mode not in ("RGB", "P", "L", "1"):
        return f"{image.mode} pixels"
    return "transparency" if "transparency" in image.info else ""


def _unsupported_tiff(image: PIL.TiffImagePlugin.TiffImageFile) -> str:
    """As :func:`_unsupported`: Pillow reads many other TIFFs, some of them wrongly."""
    tags = image.tag_v2
    bits, formats = (sorted(set(tags.get(tag, (1,)))) for tag in (258, 339))
    photometric, samples = tags.get(262), tags.get(277, 1)
    layout = (photometric, samples, *bits)
    jpeg = layout == (6, 3, 8) and tags.get(259) == 7  # libtiff makes RGB of JPEG's YCbCr
    if formats != [1] or not (layout in LAYOUTS or jpeg):
        return (
            f"{image.mode} pixels ({samples} samples of {bits[-1]} bits, sample format {formats[-1]}, photometric "
            f"interpretation {photometric})"
        )
    if samples > 1 and tags.get(284, 1) != 1 and bits != [8]:
        return "16-bit samples in separate planes"
    if photometric == 3 and max(tags[320]) < 2**15:
        return "a palette that does not use the highest bit"
    reduced = []
    for page in range(image.n_frames):
        image.seek(page)
        reduced.append(image.tag_v2.get(254, 0) & 1)
    image.seek(0)
    said = str(tags.get(270, ""))  # of OME, ImageJ and tifffile: images in other files, or without a directory
    ome = math.prod(map(int, re.findall(r'Size[CZT]="(\d+)"', said)))
    more = re.search(r'^images=(?!1$)|"truncated": true', said, re.MULTILINE) or tags.get(32997, 1) > 1
    if reduced[0] or not all(reduced[1:]) or ome not in (1, samples) or more:
        return "several images or planes"
    return ""
