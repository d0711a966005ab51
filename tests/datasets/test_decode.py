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
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encoded(image: PIL.Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def made_of(header: bytes, *parts: bytes) -> bytes:
    return SIGNATURE + chunk(b"IHDR", header) + b"".join(parts) + chunk(b"IEND", b"")


def refusal(data: bytes) -> str:
    with pytest.raises(HistoBenchError) as error:
        decode(data, "folder/image.png")
    assert str(error.value).startswith("folder/image.png: ")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_pixels_come_back_as_they_were() -> None:
    for data in (png(PIXELS), png(PIXELS, 9, "comment"), encoded(PIL.Image.fromarray(PIXELS), optimize=True)):
        pixels = decode(data, "image")
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        np.testing.assert_array_equal(pixels, PIXELS)


def test_palette_and_grey_images_convert_exactly() -> None:
    palette = PIL.Image.fromarray(PIXELS).quantize(17)
    for image in (palette, palette.convert("L"), palette.convert("1")):
        np.testing.assert_array_equal(decode(encoded(image), "image"), np.asarray(image.convert("RGB")))


def test_gamma_and_orientation_are_not_applied() -> None:
    info = PIL.PngImagePlugin.PngInfo()
    info.add(b"gAMA", struct.pack(">I", 100000))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    data = encoded(PIL.Image.fromarray(PIXELS), pnginfo=info, exif=exif)
    assert b"eXIf" in data
    np.testing.assert_array_equal(decode(data, "image"), PIXELS)


def test_hash_covers_the_pixels_and_their_shape() -> None:
    expected = hashlib.sha256((46).to_bytes(4, "little") + (70).to_bytes(4, "little") + PIXELS.tobytes()).hexdigest()
    assert pixel_sha256(PIXELS) == expected
    assert pixel_sha256(np.asfortranarray(PIXELS)) == expected
    assert pixel_sha256(PIXELS.reshape(70, 46, 3)) != expected


def test_truncated_anywhere() -> None:
    data = png(PIXELS)
    for length in (8, 20, 40, len(data) // 2, len(data) - 13, len(data) - 5, len(data) - 1):
        assert "truncated" in refusal(data[:length]), length


def test_every_flipped_byte_is_noticed() -> None:
    data = png(PIXELS[:4, :4])
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        refusal(bytes(damaged))


def test_pixel_data_that_is_broken_under_right_checksums(capfd: pytest.CaptureFixture[str]) -> None:
    header = struct.pack(">IIBBBBB", 70, 46, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in PIXELS)
    for content in (
        b"",
        b"nonsense",
        zlib.compress(rows[:-300]),
        zlib.compress(rows)[:-4],
        zlib.compress(b"\x09" + rows),
    ):
        assert "corrupt" in refusal(made_of(header, chunk(b"IDAT", content)))
    assert "corrupt" in refusal(made_of(struct.pack(">IIBBBBB", 0, 46, 8, 2, 0, 0, 0), chunk(b"IDAT", b"")))
    assert "image header" in refusal(SIGNATURE + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    sentence = refusal(made_of(header, chunk(b"IDAT", zlib.compress(bytes(1000)))))
    assert "60000x60000" in sentence
    assert str(MAX_PIXELS) in sentence


def test_what_has_no_exact_8_bit_rgb_pixels_is_refused() -> None:
    image = PIL.Image.fromarray(PIXELS)
    deep = PIL.Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)
    assert "16-bit" in refusal(encoded(deep))
    assert "alpha" in refusal(encoded(image.convert("RGBA")))
    assert "alpha" in refusal(encoded(image.convert("LA")))
    assert "transparency" in refusal(encoded(image, transparency=(1, 2, 3)))
    assert "transparency" in refusal(encoded(image.quantize(17), transparency=0))
    assert "animation" in refusal(encoded(image, save_all=True, append_images=[image.rotate(180)]))


def test_another_format_under_the_name_of_png() -> None:
    buffer = io.BytesIO()
    PIL.Image.fromarray(PIXELS).save(buffer, "JPEG")
    for data in (buffer.getvalue(), b"", b"text"):
        assert "is not a PNG" in refusal(data)


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


def test_tiff_of_8_and_of_16_bits() -> None:
    np.testing.assert_array_equal(decode(tiff(PIXELS, 8), "a.tif"), PIXELS)
    deep = PIXELS.astype(np.uint16) * 256 + 77
    np.testing.assert_array_equal(decode(tiff(deep, 16), "a.TIFF"), PIXELS)  # the upper 8 bits
    buffer = io.BytesIO()
    PIL.Image.fromarray(PIXELS).save(buffer, "TIFF", compression="tiff_lzw")
    pixels = decode(buffer.getvalue(), "a.tif")
    np.testing.assert_array_equal(pixels, PIXELS)
    assert (pixels.dtype, pixels.flags.c_contiguous) == (np.uint8, True)


def test_jpeg_is_near_what_was_encoded() -> None:
    smooth = np.indices((32, 48)).sum(axis=0).astype(np.uint8)[..., None].repeat(3, axis=2) * 2
    buffer = io.BytesIO()
    PIL.Image.fromarray(smooth).save(buffer, "JPEG", quality=95)
    assert np.abs(decode(buffer.getvalue(), "a.jpg").astype(int) - smooth).max() <= 8


def test_a_name_and_its_format_must_agree_and_files_be_whole() -> None:
    whole = tiff(PIXELS, 8)
    jpeg = io.BytesIO()
    PIL.Image.fromarray(PIXELS).save(jpeg, "JPEG")
    alpha = io.BytesIO()
    PIL.Image.fromarray(PIXELS).convert("RGBA").save(alpha, "TIFF")
    huge = whole.replace(struct.pack("<HHII", 256, 4, 1, 70), struct.pack("<HHII", 256, 4, 1, 60000))
    huge = huge.replace(struct.pack("<HHII", 257, 4, 1, 46), struct.pack("<HHII", 257, 4, 1, 60000))
    for data, name, sentence in (
        (png(PIXELS), "x/a.tif", "is not a TIFF file"),
        (whole, "x/a.jpeg", "is not a JPEG file"),
        (b"", "x/a.tif", "is not a TIFF file"),
        (whole[: len(whole) // 2], "x/a.tif", "TIFF"),
        (jpeg.getvalue()[:-900], "x/a.jpg", "the JPEG is corrupt"),
        (alpha.getvalue(), "x/a.tif", "holds RGBA pixels, expected a still 8-bit RGB image; save it as 8-bit RGB TIFF"),
        (huge, "x/a.tif", f"declares more than the {MAX_PIXELS} pixels"),
        (huge.replace(struct.pack("<I", 60000), struct.pack("<I", 6000)), "x/a.tif", "declares 6000x6000 pixels"),
    ):
        with pytest.raises(HistoBenchError) as error:
            decode(data, name)
        assert sentence in str(error.value)
        assert str(error.value).startswith(f"{name}: ")
        assert "\n" not in str(error.value)
