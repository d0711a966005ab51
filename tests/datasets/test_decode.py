"""Decoding: exact pixels, and damaged or unsupported files refused in one sentence."""

import hashlib
import io
import struct
import zlib

import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest

from histobench.datasets.decode import MAX_PIXELS, decode, pixel_sha256
from histobench.io.errors import HistoBenchError
from tests.datasets.standin import chunk, png

PIXELS = np.random.default_rng(1).integers(0, 256, (46, 70, 3), np.uint8)
IMAGE = PIL.Image.fromarray(PIXELS)
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encoded(image: PIL.Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def made_of(width: int, height: int, *parts: bytes) -> bytes:
    """A PNG of 8-bit RGB with the given chunks."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", header) + b"".join(parts) + chunk(b"IEND", b"")


def tiff(pixels: np.ndarray, depth: int) -> bytes:
    """An uncompressed RGB TIFF of one strip, written by hand: 8 or 16 bits per channel, little-endian."""
    height, width, _ = pixels.shape
    data = pixels.astype("<u2" if depth == 16 else np.uint8).tobytes()
    tags = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, 8 + len(data)), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 8),
        (277, 3, 1, 3), (278, 4, 1, height), (279, 4, 1, len(data)), (284, 3, 1, 1),
    ]  # fmt: skip
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 8 + len(data) + 6) + data + struct.pack("<3H", *[depth] * 3) + directory


def resized_tiff(width: int, height: int) -> bytes:
    """A small TIFF whose header declares another size."""
    whole = tiff(PIXELS, 8).replace(struct.pack("<HHII", 256, 4, 1, 70), struct.pack("<HHII", 256, 4, 1, width))
    return whole.replace(struct.pack("<HHII", 257, 4, 1, 46), struct.pack("<HHII", 257, 4, 1, height))


def refusal(data: bytes, name: str = "folder/image.png") -> str:
    with pytest.raises(HistoBenchError) as error:
        decode(data, name)
    assert str(error.value).startswith(f"{name}: ")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (png(PIXELS), "image"),
        (png(PIXELS, 9, "comment"), "image.PNG"),
        (encoded(IMAGE, optimize=True), "image.png"),
        (tiff(PIXELS, 8), "a.tif"),
        (tiff(PIXELS.astype(np.uint16) * 256 + 77, 16), "a.TIFF"),  # the upper 8 bits are kept
        (encoded(IMAGE, "TIFF", compression="tiff_lzw"), "a.tif"),
    ],
)
def test_lossless_files_give_their_pixels(data: bytes, name: str) -> None:
    pixels = decode(data, name)
    assert (pixels.dtype, pixels.flags.c_contiguous) == (np.uint8, True)
    np.testing.assert_array_equal(pixels, PIXELS)


def test_palette_and_grey_images_convert_exactly() -> None:
    palette = IMAGE.quantize(17)
    for image in (palette, palette.convert("L"), palette.convert("1")):
        np.testing.assert_array_equal(decode(encoded(image), "image"), np.asarray(image.convert("RGB")))


def test_gamma_and_orientation_are_not_applied() -> None:
    info = PIL.PngImagePlugin.PngInfo()
    info.add(b"gAMA", struct.pack(">I", 100000))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    data = encoded(IMAGE, pnginfo=info, exif=exif)
    assert b"eXIf" in data
    np.testing.assert_array_equal(decode(data, "image"), PIXELS)


def test_jpeg_is_close_to_what_was_encoded() -> None:
    smooth = np.indices((32, 48)).sum(axis=0).astype(np.uint8)[..., None].repeat(3, axis=2) * 2
    data = encoded(PIL.Image.fromarray(smooth), "JPEG", quality=95)
    assert np.abs(decode(data, "a.jpg").astype(int) - smooth).max() <= 8


def test_hash_covers_the_pixels_and_their_shape() -> None:
    expected = hashlib.sha256((46).to_bytes(4, "little") + (70).to_bytes(4, "little") + PIXELS.tobytes()).hexdigest()
    assert pixel_sha256(PIXELS) == expected
    assert pixel_sha256(np.asfortranarray(PIXELS)) == expected
    assert pixel_sha256(PIXELS.reshape(70, 46, 3)) != expected


def test_a_truncated_png_is_refused() -> None:
    data = png(PIXELS)
    for length in (0, 8, 20, 40, len(data) // 2, len(data) - 13, len(data) - 5):
        refusal(data[:length])
    assert "truncated" in refusal(data[: len(data) // 2])


def test_a_flipped_byte_is_refused_or_changes_no_pixel() -> None:
    """Every byte but the length and the checksum of the empty end mark, which say nothing of the pixels."""
    data = png(PIXELS[:4, :4])
    end = len(data) - 12
    for position in range(len(data)):
        damaged = data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :]
        if position < end or position in range(end + 4, end + 8):
            refusal(damaged)
        else:
            np.testing.assert_array_equal(decode(damaged, "image"), PIXELS[:4, :4])


ROWS = b"".join(b"\0" + row.tobytes() for row in PIXELS)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        *(
            (made_of(70, 46, chunk(b"IDAT", content)), "the PNG is truncated or corrupt (")
            for content in (b"", b"nonsense", zlib.compress(ROWS[:-300]), zlib.compress(b"\x09" + ROWS))
        ),
        (made_of(0, 46, chunk(b"IDAT", b"")), "is not a PNG"),
        (SIGNATURE + chunk(b"IDAT", zlib.compress(ROWS)) + chunk(b"IEND", b""), "is not a PNG"),
        (made_of(6000, 6000, chunk(b"IDAT", zlib.compress(bytes(1000)))), f"more than the {MAX_PIXELS} pixels that are read (6000x6000"),
        (made_of(60000, 60000, chunk(b"IDAT", zlib.compress(bytes(1000)))), f"more than the {MAX_PIXELS} pixels"),
        (encoded(PIL.Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)), "16-bit"),
        (encoded(IMAGE.convert("RGBA")), "holds RGBA pixels, expected a still 8-bit RGB image; save it as 8-bit RGB PNG"),
        (encoded(IMAGE.convert("LA")), "LA pixels"),
        (encoded(IMAGE, transparency=(1, 2, 3)), "transparency"),
        (encoded(IMAGE.quantize(17), transparency=0), "transparency"),
        (encoded(IMAGE, save_all=True, append_images=[IMAGE.rotate(180)]), "animation"),
        (encoded(IMAGE, "JPEG"), "is not a PNG"),
        (b"text", "is not a PNG"),
    ],
)  # fmt: skip
def test_a_png_that_is_damaged_or_unsupported_is_refused(data: bytes, found: str) -> None:
    assert found in refusal(data)


@pytest.mark.parametrize(
    ("data", "name", "found"),
    [
        (png(PIXELS), "x/a.tif", "is not a TIFF file"),
        (tiff(PIXELS, 8), "x/a.jpeg", "is not a JPEG file"),
        (b"", "x/a.tif", "is not a TIFF file"),
        (tiff(PIXELS, 8)[:5000], "x/a.tif", "TIFF"),
        (encoded(IMAGE, "JPEG")[:-900], "x/a.jpg", "the JPEG is truncated or corrupt"),
        (encoded(IMAGE.convert("RGBA"), "TIFF"), "x/a.tif", "holds RGBA pixels, expected a still 8-bit RGB image; save it as"),
        (resized_tiff(60000, 60000), "x/a.tif", f"declares more than the {MAX_PIXELS} pixels"),
        (resized_tiff(6000, 6000), "x/a.tif", "(6000x6000 pixels)"),
    ],
)  # fmt: skip
def test_other_files_must_be_whole_and_what_their_names_say(data: bytes, name: str, found: str) -> None:
    assert found in refusal(data, name)
