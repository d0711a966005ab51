import hashlib
import io
import struct
import zlib

import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest

from histobench.datasets.decode import MAX_PIXELS, decode, pixel_sha256
from histobench.study.errors import HistoBenchError
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
