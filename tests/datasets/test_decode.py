"""Decoding: exact pixels, and damaged or unsupported files refused in one sentence."""

import hashlib
import io
import struct
import zlib

import cv2
import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest

from histobench.datasets.decode import MAX_PIXELS, decode, pixel_sha256
from histobench.io.errors import HistoBenchError
from tests.datasets.standin import chunk, png

PIXELS = np.random.default_rng(1).integers(0, 256, (46, 70, 3), np.uint8)
IMAGE = PIL.Image.fromarray(PIXELS)
SIXTEEN = PIXELS.astype(np.uint16) * 256 + 77
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encoded(image: PIL.Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def made_of(width: int, height: int, *parts: bytes) -> bytes:
    """A PNG of 8-bit RGB with the given chunks."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", header) + b"".join(parts) + chunk(b"IEND", b"")


def tiff(*pages: np.ndarray | tuple[np.ndarray, dict], order: str = "<") -> bytes:
    """An uncompressed TIFF of one strip a page, written by hand after the specification of TIFF 6.0.

    Args:
        pages: samples (height, width) or (height, width, samples), and tags: values that differ from the usual ones.
        order: byte order.
    """
    file = struct.pack(f"{order}2sHI", {"<": b"II", ">": b"MM"}[order], 42, 8)
    for left, page in zip(range(len(pages))[::-1], pages, strict=True):
        pixels, own = page if isinstance(page, tuple) else (page, {})
        height, width, samples = pixels.shape if pixels.ndim == 3 else (*pixels.shape, 1)
        planes = np.moveaxis(pixels, 2, 0) if own.get(284) == 2 else pixels
        data = planes.astype(pixels.dtype.newbyteorder(order)).tobytes()
        tags = {
            254: 0,
            256: width,
            257: height,
            258: [8 * pixels.itemsize] * samples,
            259: 1,
            262: 2 if samples > 1 else 1,
        }
        tags |= {277: samples, 278: height, 284: 1, **own}
        strips = samples if tags[284] == 2 else 1
        tags[279] = [len(data) // strips] * strips
        directory = len(file)
        # Values of more than four bytes, then the pixels, come after the directory.
        end = directory + 2 + 12 * (len(tags) + 1) + 4
        blocks, entries = b"", []
        tags[273] = [0] * strips
        long = sum(len(v) * (1 if isinstance(v, bytes) else 4) for v in tags.values() if isinstance(v, (list, bytes)))
        tags[273] = [end + long + row * len(data) // strips for row in range(strips)]
        for tag, value in sorted(tags.items()):
            kind, item = (2, "B") if isinstance(value, bytes) else (3, "H") if tag in (258, 320, 339) else (4, "I")
            values = list(value) if isinstance(value, (list, bytes)) else [value]
            packed = struct.pack(f"{order}{len(values)}{item}", *values)
            if len(packed) > 4:
                blocks, packed = blocks + packed, struct.pack(f"{order}I", end + len(blocks))
            entries.append(struct.pack(f"{order}HHI", tag, kind, len(values)) + packed.ljust(4, b"\0"))
        following = end + long + len(data) if left else 0
        file += struct.pack(f"{order}H", len(entries)) + b"".join(entries) + struct.pack(f"{order}I", following)
        file += blocks.ljust(long, b"\0") + data
    return file


def resized_tiff(width: int, height: int) -> bytes:
    """A small TIFF whose header declares another size."""
    return tiff((PIXELS, {256: width, 257: height}))


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
        (tiff(PIXELS), "a.tif"),
        (tiff((PIXELS, {284: 2}), order=">"), "a.tif"),  # one plane after the other
        (tiff(SIXTEEN), "a.TIFF"),  # the upper 8 bits are kept
        (tiff(SIXTEEN, order=">"), "a.tif"),
        (cv2.imencode(".tif", SIXTEEN[..., ::-1])[1].tobytes(), "a.tif"),  # LZW
        (tiff(PIXELS, (PIXELS[::2, ::2], {254: 1}), (PIXELS[::4, ::4], {254: 1})), "a.tif"),  # with reduced copies
        (tiff((PIXELS, {270: b'<OME><Pixels SizeC="3" SizeT="1" SizeX="70" SizeY="46" SizeZ="1">\0'})), "a.tif"),
        (tiff((PIXELS, {270: b"ImageJ=1.11a\nimages=1\nmode=color\n\0"})), "a.tif"),
        *(
            (encoded(IMAGE, "TIFF", compression=c), "a.tif")
            for c in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd")
        ),
        *((encoded(IMAGE, "BMP"), name) for name in ("a.bmp", "A.BMP")),
        (encoded(IMAGE, "WEBP", lossless=True, exact=True), "a.webp"),
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


def test_grey_and_palette_tiffs() -> None:
    grey, three = PIXELS[..., 0], lambda pixels: np.repeat(pixels[..., None], 3, axis=2)
    np.testing.assert_array_equal(decode(tiff(grey), "a.tif"), three(grey))
    np.testing.assert_array_equal(decode(tiff((grey, {262: 0})), "a.tif"), three(255 - grey))  # 0 is white
    colours = np.random.default_rng(2).integers(0, 2**16, (3, 256))
    palette = tiff((grey, {262: 3, 320: colours.ravel().tolist()}))
    np.testing.assert_array_equal(decode(palette, "a.tif"), colours.T[grey] // 256)
    assert "a palette that does not use the highest bit" in refusal(
        tiff((grey, {262: 3, 320: (colours // 256).ravel().tolist()})), "a.tif"
    )


TURNED = {
    1: lambda pixels: pixels,
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).transpose(1, 0, 2),
    8: np.rot90,
}
"""What the values of Exif's tag Orientation mean."""


@pytest.mark.parametrize("orientation", TURNED)
def test_the_orientation_is_applied_in_every_format(orientation: int) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    expected = TURNED[orientation](PIXELS)
    for data, name in (
        (encoded(IMAGE, exif=exif), "a.png"),
        (encoded(IMAGE, "WEBP", lossless=True, exact=True, exif=exif), "a.webp"),
        (tiff((PIXELS, {274: orientation})), "a.tif"),
        (tiff((SIXTEEN, {274: orientation})), "a.tif"),
    ):
        np.testing.assert_array_equal(decode(data, name), expected)
    plain = decode(encoded(IMAGE, "JPEG"), "a.jpg")
    np.testing.assert_array_equal(decode(encoded(IMAGE, "JPEG", exif=exif), "a.jpg"), TURNED[orientation](plain))


def test_gamma_is_not_applied() -> None:
    info = PIL.PngImagePlugin.PngInfo()
    info.add(b"gAMA", struct.pack(">I", 100000))
    np.testing.assert_array_equal(decode(encoded(IMAGE, pnginfo=info), "image"), PIXELS)


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


TRANSPARENT = np.dstack([PIXELS, PIXELS[..., 0]])
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
        (encoded(IMAGE, save_all=True, append_images=[IMAGE.rotate(180)]), "holds 2 images"),
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
        (tiff(PIXELS), "x/a.jpeg", "is not a JPEG file"),
        (b"", "x/a.tif", "is not a TIFF file"),
        (tiff(PIXELS)[:5000], "x/a.tif", "TIFF"),
        (encoded(IMAGE, "JPEG")[:-900], "x/a.jpg", "the JPEG is truncated or corrupt"),
        (encoded(IMAGE.convert("RGBA"), "TIFF"), "x/a.tif", "holds RGBA pixels (4 samples of 8 bits, "),
        (encoded(IMAGE.convert("RGBA"), "TIFF"), "x/a.tif", ", expected a still 8-bit RGB image; save it as 8-bit RGB TIFF"),
        *((cv2.imencode(f".{name}", TRANSPARENT)[1].tobytes(), f"a.{name}", "holds RGBA pixels") for name in ("bmp", "webp")),
        (encoded(IMAGE, "MPO", save_all=True, append_images=[IMAGE]), "a.jpg", "holds 2 images"),
        (encoded(IMAGE, "WEBP", save_all=True, append_images=[IMAGE.rotate(180)]), "a.webp", "holds 2 images"),
        (encoded(IMAGE, "BMP")[:-900], "a.bmp", "the BMP is truncated or corrupt"),
        (resized_tiff(60000, 60000), "x/a.tif", f"declares more than the {MAX_PIXELS} pixels"),
        (resized_tiff(6000, 6000), "x/a.tif", "(6000x6000 pixels)"),
    ],
)  # fmt: skip
def test_other_files_must_be_whole_and_what_their_names_say(data: bytes, name: str, found: str) -> None:
    assert found in refusal(data, name)


GREY = PIXELS[..., 0]
PLANES = "several images or planes"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        # 8 to 15 of 16 bits used, from the lowest, with the brightest sample as bright as it can be
        *((tiff((PIXELS | 1).astype(np.uint16) * 257 >> 16 - depth), "real depth is not known") for depth in range(8, 16)),
        (cv2.imencode(".tif", SIXTEEN >> 4)[1].tobytes(), "real depth is not known"),
        (tiff((SIXTEEN, {284: 2})), "16-bit samples in separate planes"),
        *((tiff((PIXELS, {258: [bits] * 3})), "TIFF") for bits in (1, 2, 4, 6, 10, 12, 14, 24)),
        *((tiff((GREY, {258: [bits]})), "TIFF") for bits in (2, 4, 6, 10, 12, 14)),
        *((tiff(pixels.astype(dtype)), "TIFF") for pixels in (PIXELS, GREY) for dtype in ("u4", "u8")),
        *((tiff((PIXELS.astype(dtype), {339: [3] * 3})), "TIFF") for dtype in ("f2", "f4", "f8")),
        *((tiff((GREY.astype(dtype), {339: [2]})), "TIFF") for dtype in ("i1", "i2", "i4")),
        (tiff(GREY.astype(np.uint16)), "I;16 pixels (1 samples of 16 bits, sample format 1, photometric interpretation 1)"),
        (tiff((PIXELS, {339: [2] * 3})), "TIFF"),
        (tiff((PIXELS, {262: 1, 338: 0})), "TIFF"),  # three grey channels
        *((tiff((PIXELS, {262: model})), f"photometric interpretation {model})") for model in (6, 8)),  # YCbCr, Lab
        (tiff((TRANSPARENT, {262: 5})), "CMYK pixels"),
        (tiff((TRANSPARENT, {338: 1, 284: 2})), "TIFF"),
        (tiff(GREY, GREY, GREY), PLANES),
        (tiff(PIXELS, (GREY, {254: 4})), PLANES),  # a mask
        (tiff((PIXELS[::2, ::2], {254: 1}), PIXELS), PLANES),  # a thumbnail first
        (tiff((GREY, {270: b'<OME><Pixels SizeC="3" SizeT="1" SizeX="70" SizeY="46" SizeZ="1">\0'})), PLANES),
        (tiff((GREY, {270: b"ImageJ=1.11a\nimages=3\nchannels=3\n\0"})), PLANES),
        (tiff((GREY, {270: b'{"shape": [3, 46, 70], "truncated": true}\0'})), PLANES),
        (tiff((GREY[:23], {32997: 2})), PLANES),  # ImageDepth
    ],
)  # fmt: skip
def test_a_tiff_that_would_be_read_wrongly_is_refused(data: bytes, found: str) -> None:
    assert found in refusal(data, "x/a.tif")
