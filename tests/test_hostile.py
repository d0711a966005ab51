"""Hostile and damaged archives, images, weights and arrays, read by the scripts: refused by name, with no other effect.

Each case is a file and the script that reads it. The scripts run one after the other in few processes (importing torch takes
seconds), as `python SCRIPT ARGUMENTS` would, in a working folder deep inside the test's own. Afterwards every file there,
around it, in HOME and in TMPDIR is compared. The processes may only map some gigabytes.
"""

import io
import json
import os
import pickle
import resource
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import save

from histobench.datasets import manifest
from histobench.io.files import sha256_of
from histobench.models import cnn
from histobench.study.recipes import Recipe
from histobench.study.spec import CnnSettings, FeatureSpec, RunSpec
from tests.datasets.standin import chunk, few, png, write_files
from tests.models.hub_server import git_id
from tests.models.vlm_settings import tiny
from tests.scripts.running import random_dataset

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
FILES = few(patients=2, images=1)
FIRST = FILES[0][0]

DRIVER = """
import contextlib, io, json, logging, re, runpy, sys, traceback

logging.basicConfig = lambda **options: None  # a second script in one process would find the first one's stream
for line in sys.stdin:
    script, *arguments = json.loads(line)
    sys.argv, status, told = [script, *arguments], 0, io.StringIO()
    try:
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
            runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        status = end.code
    except BaseException:
        status = 1
        traceback.print_exc(file=told)
    # Not getrusage, which counts what stood here before this program was started.
    peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
    print(json.dumps([status, told.getvalue(), peak]), flush=True)
"""


class Case(NamedTuple):
    """One hostile archive."""

    name: str
    words: str
    """Part of the message, beside the file's name."""
    make: Callable[[Path], None]
    """Writes it."""


class Outcome(NamedTuple):
    """What a script did: exit status, errors, and the largest resident memory of the process so far in KiB."""

    status: int
    told: str
    peak: int


def archive(kind: str, *files: tuple[str, bytes]) -> Callable[[Path], None]:
    """Return a maker of an archive that holds `files` between honest images."""
    return lambda path: void(write_files(path, [*FILES[:-1], *files, FILES[-1]], kind))


def content(data: bytes) -> Callable[[Path], None]:
    """Return a maker of a file that holds `data`."""
    return lambda path: void(path.write_bytes(data))


def void(_: object) -> None:
    """Return None for any value."""


def special(kind: bytes, target: str = "") -> Callable[[Path], None]:
    """Return a maker of a tar that holds a link, device or pipe."""

    def make(path: Path) -> None:
        with tarfile.open(path, "w:gz") as tar:
            for name, data in FILES:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
            info = tarfile.TarInfo(FIRST.replace("-001.png", "-002.png"))
            info.type, info.linkname, info.devmajor, info.devminor = kind, target, 1, 3
            tar.addfile(info)

    return make


def header_of_size(size: int, kind: bytes = tarfile.REGTYPE) -> Callable[[Path], None]:
    """Return a maker of a tar with a member that declares `size` bytes."""

    def make(path: Path) -> None:
        info = tarfile.TarInfo("huge.png")
        info.size, info.type = size, kind
        path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10240))

    return make


def patched(kind: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Return a maker of an honest archive whose bytes are changed."""

    def make(path: Path) -> None:
        write_files(path, FILES, kind)
        path.write_bytes(change(path.read_bytes()))

    return make


def zeros(count: int, wrap: int = 31) -> bytes:
    """Return `count` zeros, a multiple of a mebibyte, as gzip; a thousandth of their length."""
    packer = zlib.compressobj(9, zlib.DEFLATED, wrap)
    return b"".join([*(packer.compress(bytes(2**20)) for _ in range(count // 2**20)), packer.flush()])


def bomb_behind_the_end(path: Path) -> None:
    """A tar.gz with honest images; 2 GiB of zeros follow its end mark."""
    write_files(path, FILES, "tar.gz")
    path.write_bytes(path.read_bytes() + zeros(2**31))


def bomb_of_small_members(path: Path) -> None:
    """A tar.gz with 48 members of 60 MiB of zeros, each within the limit."""
    info = tarfile.TarInfo("notes.txt")
    info.size = 60 * 2**20
    with path.open("wb") as file:
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        for _ in range(48):
            file.write(packer.compress(info.tobuf()))
            for _ in range(60):
                file.write(packer.compress(bytes(2**20)))
        file.write(packer.compress(bytes(10240)) + packer.flush())


def zip_bomb(path: Path) -> None:
    """A zip with an image of 512 MiB of zeros that deflate makes of half a mebibyte."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made, made.open(FIRST, "w") as member:
        for _ in range(512):
            member.write(bytes(2**20))


def symlink_in_zip(path: Path) -> None:
    info = zipfile.ZipInfo(FIRST)
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(info, "/etc/passwd")


def overlapping_zip(path: Path) -> None:
    """A zip whose two directory entries share one local file: the second name is another."""
    write_files(path, FILES[:2], "zip")
    data = path.read_bytes()
    directory = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", directory + 4)
    path.write_bytes(data[: second + 42] + data[directory + 42 : directory + 46] + data[second + 46 :])


def encrypted(data: bytes) -> bytes:
    where = data.index(b"PK\x01\x02") + 8
    return data[:where] + b"\x01" + data[where + 1 :]


def sparse(path: Path) -> None:
    info = tarfile.TarInfo("sparse.png")
    info.type = tarfile.GNUTYPE_SPARSE
    info.size = 512
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[483:495] = b"%011o\0" % (2**30)  # the size that it would have on a disk
    block[148:156] = b"%06o\0 " % sum(block[:148] + b" " * 8 + block[156:])
    path.write_bytes(bytes(block) + bytes(10240))


SAME = FILES[0][1]
ARCHIVES = [
    Case("parent in a zip", "leads out of its folder", archive("zip", ("../../evil.png", SAME))),
    Case("parent in a tar", "leads out of its folder", archive("tar.gz", (f"x/../../../{FIRST}", SAME))),
    Case("absolute in a tar", "absolute or foreign path", archive("tar", ("/tmp/evil.png", SAME))),
    Case("drive letter", "absolute or foreign path", archive("zip", ("C:/evil.png", SAME))),
    Case("backslashes", "leads out of its folder", archive("zip", ("..\\..\\evil.png", SAME))),
    Case("null byte", "no printable name", patched("zip", lambda data: data.replace(b"-001.png", b"-00\0.png"))),
    Case("escape sequence", "no printable name", archive("tar", ("\x1b[2Jevil.png", SAME))),
    Case("symbolic link in a tar", "is a link", special(tarfile.SYMTYPE, "/etc/passwd")),
    Case("hard link in a tar", "is a link", special(tarfile.LNKTYPE, "../../../../etc/passwd")),
    Case("symbolic link in a zip", "is a link", symlink_in_zip),
    Case("device", "is a device or special file", special(tarfile.CHRTYPE)),
    Case("pipe", "is a device or special file", special(tarfile.FIFOTYPE)),
    Case("one name twice", "occurs twice", archive("zip", FILES[0])),
    Case("names that differ in case", "is not named like", archive("zip", (FIRST[:-4] + ".PNG", SAME))),
    Case("gzip bomb in a member", "declares", lambda path: void(path.write_bytes(zlib_tar(2**32)))),
    Case("gzip bomb of small members", "unpacks to more than", bomb_of_small_members),
    Case("gzip bomb behind the end", "unpacks to more than", bomb_behind_the_end),
    Case("zip bomb", "declares", zip_bomb),
    Case("zip whose entries overlap", "corrupt", overlapping_zip),
    Case("encrypted zip", "is encrypted", patched("zip", encrypted)),
    Case("zip in a zip", "holds no image", lambda path: void(write_files(path, [("inner.zip", b"PK\3\4")], "zip"))),
    Case("Zstandard", "is no tar.gz, tar or zip", content(b"\x28\xb5\x2f\xfd" + bytes(999))),
    Case("web page", "is no tar.gz, tar or zip", content(b"<!DOCTYPE html>\n")),
    Case("nothing", "is no tar.gz, tar or zip", content(b"")),
    Case("half a tar.gz", "truncated", patched("tar.gz", lambda data: data[: len(data) // 2])),
    Case("half a zip", "truncated", patched("zip", lambda data: data[: len(data) // 2])),
    Case("half a tar", "truncated", patched("tar", lambda data: data[: len(data) // 2])),
    Case("wrong checksum", "corrupt", patched("tar.gz", lambda data: data[:-8] + b"\0\0\0\0" + data[-4:])),
    Case("tar of a terabyte", "declares", header_of_size(2**40)),
    Case("tar with a name of a gigabyte", "declares", header_of_size(2**30, tarfile.GNUTYPE_LONGNAME)),
    Case("sparse tar", "special file", sparse),
]


def zlib_tar(size: int) -> bytes:
    """Return a gzipped tar of one member of zeros; of `size` bytes the first 16 MiB are there."""
    info = tarfile.TarInfo(FIRST)
    info.size = size
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(info.tobuf(tarfile.GNU_FORMAT)) + packer.compress(bytes(2**24)) + packer.flush()


PIXELS = np.random.default_rng(0).integers(0, 255, (18, 28, 3), np.uint8)


def pillow(kind: str, mode: str = "RGB") -> bytes:
    """Return an image as Pillow writes it."""
    stream = io.BytesIO()
    Pillow.fromarray(PIXELS).convert(mode).save(stream, kind)
    return stream.getvalue()


def png_of(width: int, height: int, depth: int = 8, colour: int = 2, *more: bytes) -> bytes:
    """Return a PNG with a given header and a row of pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *more, chunk(b"IDAT", zlib.compress(bytes(99))), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff_of(width: int, height: int) -> bytes:
    """Return a TIFF with another size in its header."""
    data = bytearray(pillow("TIFF"))
    (directory,) = struct.unpack_from("<I", data, 4)
    for entry in range(struct.unpack_from("<H", data, directory)[0]):
        where = directory + 2 + 12 * entry
        if (tag := struct.unpack_from("<H", data, where)[0]) in (256, 257):
            struct.pack_into("<HHII", data, where, tag, 4, 1, width if tag == 256 else height)
    return bytes(data)


def jpeg_of(width: int, height: int) -> bytes:
    """Return a JPEG with another size in its header."""
    data = bytearray(pillow("JPEG"))
    struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, height, width)
    return bytes(data)


def tiff_in_a_circle() -> bytes:
    """Return a TIFF whose directory of pages names itself as the next one, and has no first page to show."""
    return b"II*\0\x08\0\0\0" + struct.pack("<HI", 0, 8)


IMAGES = {
    "truncated.png": ("truncated", png(PIXELS)[:-40]),
    "truncated.jpg": ("corrupt", pillow("JPEG")[:-200]),
    "truncated.tif": ("corrupt", pillow("TIFF")[:-300]),
    "bomb.png": ("declares more than", png_of(100_000, 100_000)),
    "bomb.tif": ("declares", tiff_of(100_000, 100_000)),
    "bomb.jpg": ("declares more than", jpeg_of(65_000, 65_000)),
    "text-bomb.png": ("corrupt", png_of(28, 18, 8, 2, chunk(b"zTXt", b"Comment\0\0" + zeros(2**28, 15)))),
    "deep.png": ("16-bit", png_of(28, 18, 16)),
    "cmyk.jpg": ("CMYK", pillow("JPEG", "CMYK")),
    "float.tif": ("F pixels", pillow("TIFF", "F")),
    "clear.png": ("RGBA", pillow("PNG", "RGBA")),
    "flat.png": ("is not a PNG", png_of(0, 0)),
    "drawing.png": ("is not a PNG", b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'),
    "page.jpg": ("is not a JPEG", b"%PDF-1.7\n" + pillow("JPEG")),
    "film.png": ("images", png_of(28, 18, 8, 2, chunk(b"acTL", struct.pack(">II", 2, 0)))),
    "film.jpg": ("is not a JPEG", pillow("GIF", "P")),
    "text.png": ("is not a PNG", b"This is no image.\n"),
    "circle.tif": ("", tiff_in_a_circle()),
    "nothing.png": ("is not a PNG", b""),
}
"""Files in a class folder beside valid images, and a part of the message about each."""


class Trap:
    """Runs code when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


CNN = CnnSettings(architecture="torchvision/resnet18", weights="random", image_size=64, width=1.0)


def tensors(**changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """Return a state dict of the network with some tensors replaced or, for None, left out."""
    state = {name: tensor.clone() for name, tensor in cnn.network(CNN.architecture).state_dict().items()}
    state |= {name.replace("__", "."): tensor for name, tensor in changes.items()}  # type: ignore[dict-item]
    return {name: tensor for name, tensor in state.items() if tensor is not None}


def torch_file(content: object, **options: object) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def safetensors_file(header: object, data: bytes = bytes(64), length: int | None = None) -> bytes:
    """Return a safetensors file with a header, an object or bytes, and a declared length of it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(start: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def deflated(data: bytes) -> bytes:
    """Return a torch file whose members are deflated, one of them with 2 GiB of zeros."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        largest = max(old.infolist(), key=lambda info: info.file_size)
        for info in old.infolist():
            if info is not largest:
                new.writestr(info.filename, old.read(info))
        with new.open(largest.filename, "w", force_zip64=True) as member:
            for _ in range(2**11):
                member.write(bytes(2**20))
    return stream.getvalue()


def weights(marker: Path) -> dict[str, tuple[str, bytes]]:
    """Return weights files of a network, with a part of the message about each."""
    good = tensors()
    torch_files = {
        "code.pth": ("cannot be read as plain tensors", torch_file({"weight": Trap(marker)})),
        "old-code.pth": ("cannot be read as plain tensors", pickle.dumps(Trap(marker))),
        "whole-model.pth": ("cannot be read as plain tensors", torch_file(torch.nn.Linear(2, 2))),
        "sparse.pth": ("is sparse", torch_file(good | {"conv1.weight": good["conv1.weight"].to_sparse()})),
        "meta.pth": ("is sparse", torch_file(good | {"conv1.weight": good["conv1.weight"].to("meta")})),
        "wide.pth": ("is sparse", torch_file(good | {"conv1.weight": torch.zeros(1).expand(10**6, 10**6)})),
        "bomb.pth": ("unpacks to more", deflated(torch_file(good))),
        "half.pth": ("cannot be read as plain tensors", torch_file(good)[:100_000]),
    }
    older = torch_file({"weight": Trap(marker)}, _use_new_zipfile_serialization=False)
    torch_files["older-code.pth"] = ("cannot be read as plain tensors", older)
    damaged = {
        "overlapping": safetensors_file({"a": entry(0, 32, [8]), "b": entry(16, 48, [8])}),
        "hole": safetensors_file({"a": entry(0, 16, [4]), "b": entry(32, 64, [8])}),
        "long-header": safetensors_file({"a": entry(0, 64, [16])}, length=10**6),
        "huge-header": safetensors_file({}, length=2**63),
        "deep-header": safetensors_file(b'{"a":' + b"[" * 10**5),
        "negative": safetensors_file({"a": entry(-64, 0, [16])}),
        "far": safetensors_file({"a": entry(0, 2**40, [2**38])}),
        "overflowing": safetensors_file({"a": entry(0, 64, [2**62, 2**62])}),
        "half": save(good)[:100_000],
        "empty": b"",
    }
    return {
        **torch_files,
        **{f"{name}.safetensors": ("is not a safetensors file", content) for name, content in damaged.items()},
        "wrong-type.safetensors": ("int32", save(tensors(conv1__weight=good["conv1.weight"].int()))),
        "missing.safetensors": ("lack tensor", save(tensors(conv1__weight=None))),
        "foreign.safetensors": ("hold an unknown tensor", save({**good, "extra": torch.zeros(1)})),
        "shape.safetensors": ("of shape", save(tensors(conv1__weight=torch.zeros(64, 3, 3, 3)))),
        "nan.safetensors": ("not finite", save(tensors(bn1__weight=torch.full((64,), torch.nan)))),
    }


HUB = {"hub": "someone/tiny", "revision": "0123456789" * 4}
VLM = tiny("smolvlm", weights=HUB)


def repository(marker: Path) -> dict[str, tuple[str, dict[str, bytes]]]:
    """Return files in the folder of a repository, with a part of the message about them."""
    markers = [{"id": 2, "content": "<fake_token_around_image>"}, {"id": 3, "content": "<image>"}]
    good = {
        "config.json": json.dumps({"model_type": "idefics3", **tiny("smolvlm").config}).encode(),
        "tokenizer.json": json.dumps({"added_tokens": markers}).encode(),
        "model.safetensors": save({"a": torch.zeros(2)}),
    }
    index = "model.safetensors.index.json"

    def indexed(name: object) -> dict[str, bytes]:
        kept = {key: value for key, value in good.items() if key != "model.safetensors"}
        return kept | {index: json.dumps({"weight_map": {"a": name}}).encode()}

    def edited(**changes: object) -> bytes:
        return json.dumps(json.loads(good["config.json"]) | changes).encode()

    return {
        "config.json deep": ("is not a JSON object", good | {"config.json": b"[" * 10**6}),
        "config.json list": ("is not a JSON object", good | {"config.json": b"[1, 2]"}),
        # These keys would have transformers download code; they are ignored.
        "config.json code": ("parameter", good | {"config.json": edited(auto_map={"AutoConfig": "evil.Config"})}),
        "config.json kernel": ("parameter", good | {"config.json": edited(_attn_implementation="someone/kernels")}),
        "config.json number": ("NaN is not", good | {"config.json": b'{"scale_factor": NaN}'}),
        "config.json huge number": ("the tokenizer gives", good | {"config.json": edited(image_token_id=10**4000)}),
        "config.json type": ("has the model_type", good | {"config.json": edited(model_type="../../evil")}),
        "tokenizer.json deep": ("is not a JSON object", good | {"tokenizer.json": b'{"added_tokens":' + b"[" * 10**6}),
        "tokenizer.json strange": ("added tokens", good | {"tokenizer.json": b'{"added_tokens": [1, [2]]}'}),
        "tokenizer.json lying": ("the tokenizer gives", good | {"tokenizer.json": b'{"added_tokens": []}'}),
        f"{index} parent": ("lists ['../../evil.safetensors']", indexed("../../evil.safetensors")),
        f"{index} absolute": ("lists ['/etc/passwd']", indexed("/etc/passwd")),
        f"{index} pickle": (
            "lists ['pytorch_model.bin']",
            indexed("pytorch_model.bin") | {"pytorch_model.bin": pickle.dumps(Trap(marker))},
        ),
        f"{index} list": ("lists", indexed(["x"]) | {index: b'{"weight_map": ["x"]}'}),
        "model.safetensors lying": (
            "cannot load the weights",
            good | {"model.safetensors": safetensors_file({}, length=2**62)},
        ),
        "model.safetensors foreign": ("parameter", good),
    }


def array(shape: str, dtype: str = "<f4", data: bytes = bytes(64)) -> bytes:
    """Return a .npy file with a given header."""
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}}}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text + data


def arrays(marker: Path) -> dict[str, tuple[str, bytes]]:
    """Return .npy files with a part of the message about each."""
    stream = io.BytesIO()
    np.save(stream, np.array([Trap(marker)], dtype=object), allow_pickle=True)
    return {
        "objects.npy": ("", stream.getvalue()),
        "pickle.npy": ("", pickle.dumps(Trap(marker))),
        "lying.npy": ("", array("(1, 16, 1000000000)")),
        "negative.npy": ("", array("(1, 16, -4)")),
        "overflowing.npy": ("", array(f"({2**62}, {2**62})")),
        "calling.npy": ("", array("__import__('os').system('true')")),
        "deep.npy": ("", array("(" * 5000)),
        "type.npy": ("", array("(1, 16, 1)", "|O")),
        "short.npy": ("", b"\x93NUMPY\x01\0\xff"),
        "zip.npy": ("", zip_of_arrays()),
    }


def zip_of_arrays() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, a=np.zeros(3))
    return stream.getvalue()


@dataclass
class Ground:
    """A working folder deep inside the folder that is compared."""

    outside: Path
    folder: Path

    def run(self, jobs: list[list[object]], gigabytes: int) -> Iterator[Outcome]:
        """Run scripts one after the other in one process that may map `gigabytes`, and yield what each did."""
        text = "".join(
            json.dumps([str(ROOT / "scripts" / f"{name}.py"), *map(str, more)]) + "\n" for name, *more in jobs
        )
        own = {"HOME": str(self.outside / "home"), "TMPDIR": str(self.outside / "tmp"), "TQDM_DELAY": "60"}
        own |= {"PYTHONPATH": str(ROOT / "workflow"), "PYTHONDONTWRITEBYTECODE": "1"}
        result = subprocess.run(
            [sys.executable, "-c", DRIVER],
            input=text,
            cwd=self.folder,
            env=os.environ | own | {"OMP_NUM_THREADS": "1", "HF_HOME": str(self.outside / "home/hf")},
            capture_output=True,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (gigabytes * 2**30,) * 2),
        )
        lines = result.stdout.splitlines()
        assert len(lines) == len(jobs), result.stderr[-2000:]
        assert "Traceback" not in result.stderr
        for line in lines:
            yield Outcome(*json.loads(line))

    def state(self) -> dict[str, tuple[int, int]]:
        """Return size and date of every file outside results/ and resources/."""
        free = (self.folder / "results", self.folder / "resources")
        paths = (path for path in self.outside.rglob("*") if not any(path.is_relative_to(part) for part in free))
        return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in paths if not path.is_dir()}


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    folder = tmp_path / "outside" / "project"
    for part in ("home", "tmp", "outside/home", "outside/tmp", "outside/project/resources", "outside/project/given"):
        (tmp_path / part).mkdir(parents=True)
    return Ground(tmp_path / "outside", folder)


def check(
    ground: Ground, expected: list[tuple[str, str, str]], jobs: list[list[object]], gigabytes: int, peak: int
) -> None:
    """Run the jobs; each must be refused by one message with the file's name and the words, and leave nothing.

    `expected` are name, file and words of each job. The process may map some gigabytes, and have `peak` MiB in memory.
    """
    before = ground.state()
    faults = []
    for (name, file, words), outcome in zip(expected, ground.run(jobs, gigabytes), strict=True):
        told = [line for line in outcome.told.replace("\r", "\n").splitlines() if line.startswith("error: ")]
        refused = outcome.status == 1 and len(told) == 1 and "Traceback" not in outcome.told
        if not refused or file not in told[0] or words not in told[0] or len(told[0]) > 600:
            faults.append(f"{name}: {outcome.status} {outcome.told[-900:]}")
        if outcome.peak > peak * 1024:
            faults.append(f"{name}: {outcome.peak // 1024} MiB in memory")
    assert not faults, "\n".join(faults)
    assert ground.state() == before
    results = [path for path in ground.folder.joinpath("results").rglob("*") if path.is_file()]
    assert not results


def manifest_of(source: Path, *more: str) -> list[object]:
    """Return the arguments of manifest.py."""
    outputs = "--output results/manifest.csv --census results/census.csv --digest results/archive.sha256"
    return ["manifest", "--source", source, *more, *outputs.split()]


CLASSES = '{"benign": "benign", "malignant": "malignant"}'
FOLDERS = ("--format", "folders", "--classes", CLASSES, "--patient", r"/(P\d+)_")


@pytest.mark.filterwarnings("ignore:Duplicate name")  # one of them is about that
def test_archives(ground):
    jobs, expected = [], []
    for number, case in enumerate(ARCHIVES):
        path = ground.folder / "given" / f"{number}" / "archive"
        path.parent.mkdir()
        case.make(path)
        jobs.append(manifest_of(path.relative_to(ground.folder)))
        expected.append((case.name, f"given/{number}/archive", case.words))
    check(ground, expected, jobs, gigabytes=3, peak=400)


def test_images(ground):
    jobs, expected = [], []
    for number, (name, (words, data)) in enumerate(IMAGES.items()):
        path = ground.folder / "given" / f"{number}.zip"
        honest = [("benign/P1_1.png", png(PIXELS)), ("malignant/P2_1.png", png(255 - PIXELS))]
        write_files(path, [*honest, (f"benign/P3_{name}", data)], "zip")
        jobs.append(manifest_of(path.relative_to(ground.folder), *FOLDERS))
        expected.append((name, f"P3_{name}", words))
    check(ground, expected, jobs, gigabytes=3, peak=600)


def test_archives_that_changed_after_the_manifest(ground):
    """pixels.py reads another archive than that of the manifest: it must not take other pixels, or fewer."""
    given = ground.folder / "given"
    honest = write_files(given / "honest.zip", FILES, "zip")
    made = Ground(ground.outside, given)
    ((status, _),) = [(outcome.status, outcome.told) for outcome in made.run([manifest_of(honest)], 3)]
    assert status == 0
    (given / "results").rename(given / "made")
    swapped = [(name, data) for (name, _), (_, data) in zip(FILES, FILES[1:] + FILES[:1], strict=True)]
    cases = {
        "swapped": ("has other pixels", swapped),
        "fewer": ("are missing", FILES[:-1]),
        "bomb": ("declares more than", [(name, png_of(100_000, 100_000)) for name, _ in FILES]),
        "parent": ("leads out of its folder", [("../evil.png", SAME), *FILES]),
    }
    jobs, expected = [], []
    for name, (words, files) in cases.items():
        path = write_files(given / f"{name}.tar.gz", files, "tar.gz").relative_to(ground.folder)
        table = ("--manifest", "given/made/manifest.csv", "--size", "32", "--output", "results/32px.npy")
        jobs.append(["pixels", "--source", path, *table])
        expected.append((name, str(path), words))
    check(ground, expected, jobs, gigabytes=3, peak=400)


def dataset(folder: Path) -> None:
    """Write manifest, folds and pixels of 16 made-up images, and a manifest of other images as elsewhere.csv."""
    images = random_dataset(folder, 8, (40,), 2, 2)
    manifest.save(folder / "elsewhere.csv", [replace(image, sha256=f"f{image.sha256[1:]}") for image in images])


OPTIONS = (
    "--manifest given/manifest.csv --folds given/patient.csv --split-by patient --device cpu "
    "--output results/predictions.csv --history results/history.csv --run results/run.json"
)
TRAIN = OPTIONS.split()


def run_of(recipe: dict[str, object], model: CnnSettings = CNN, augmentation: list | None = None) -> str:
    recipe = {"epochs": 1, "batch_size": 8, **recipe}
    spec = RunSpec(
        model=model, recipe=Recipe(**recipe), augmentation=augmentation or [], magnification=40, fold=1, seed=0
    )
    return spec.canonical()


def test_weights_and_arrays(ground):
    given, marker = ground.folder / "given", ground.outside / "marker"
    dataset(given)
    jobs: list[list[object]] = []
    expected = []
    for name, (words, content) in weights(marker).items():
        (given / name).write_bytes(content)
        model = CNN.model_dump() | {"weights": {"file": f"given/{name}", "sha256": sha256_of(given / name)}}
        jobs.append(["fetch_weights", "--model", json.dumps(model), "--output", "results/model.safetensors"])
        expected.append((f"fetch_weights {name}", f"given/{name}", words))
    fetched = CNN.model_copy(update={"weights": "imagenet"})
    for name in ("code.pth", "half.safetensors", "missing.safetensors", "nan.safetensors"):
        inputs = ["--pixels", "given/pixels.npy", "--weights", f"given/{name}"]
        jobs.append(["train", "--specification", run_of({}, fetched), *inputs, *TRAIN])
        file = f"given/{name}" if name != "missing.safetensors" else "resnet18: the pretrained"
        expected.append((f"train {name}", file, ""))
    spec = run_of({"keep_weights": True})
    state = cnn.build(CNN, 0, None).state_dict()
    own, other = {"specification": spec}, {"specification": spec.replace('"seed":0', '"seed":1')}
    infinite = state | {"head.bias": torch.tensor([torch.inf])}
    trained = {
        "other.safetensors": ("another specification", save(state, other)),
        "unsigned.safetensors": ("another specification", save(state)),
        "fewer.safetensors": ("the weights lack tensor", save({"head.bias": torch.zeros(1)}, own)),
        "narrow.safetensors": ("of shape", save(state | {"head.weight": torch.zeros(1, 8)}, own)),
        "infinite.safetensors": ("not finite", save(infinite, own)),
        "damaged.safetensors": ("is not a safetensors file", safetensors_file({}, length=2**40)),
    }
    for name, (words, content) in trained.items():
        (given / name).write_bytes(content)
        options = (
            "--trained-on given/manifest.csv --manifest given/elsewhere.csv --pixels given/pixels.npy --device cpu"
        )
        options += " --output results/external.csv"
        jobs.append(["predict", "--specification", spec, "--trained", f"given/{name}", *options.split()])
        expected.append((f"predict {name}", f"given/{name}", words))
    tokens = FeatureSpec(part="embeddings", model=tiny("smolvlm"), augmentation=[], views=1, magnification=40, seed=0)
    for name, (words, content) in arrays(marker).items():
        (given / name).write_bytes(content)
        jobs.append(["train", "--specification", run_of({"trainable": "head"}), "--features", f"given/{name}", *TRAIN])
        expected.append((f"train {name}", f"given/{name}", words))
        jobs.append(["train", "--specification", run_of({}), "--pixels", f"given/{name}", *TRAIN])
        expected.append((f"train pixels {name}", f"given/{name}", words))
    for name in ("objects.npy", "lying.npy"):
        more = ["--manifest", "given/manifest.csv", "--device", "cpu", "--output", "results/features.npy"]
        jobs.append(["features", "--specification", tokens.canonical(), "--tokens", f"given/{name}", *more])
        expected.append((f"features {name}", f"given/{name}", ""))
    check(ground, expected, jobs, gigabytes=24, peak=1500)
    assert not marker.exists()


def test_repositories(ground):
    """Files in the place of those of a commit on the Hub, with a list of digests that agrees with them."""
    marker = ground.outside / "marker"
    jobs: list[list[object]] = []
    expected = []
    for number, (name, (words, content)) in enumerate(repository(marker).items()):
        folder = ground.folder / "resources" / str(number) / f"someone--tiny-{HUB['revision'][:12]}"
        folder.mkdir(parents=True)
        digests = {}
        for file, data in content.items():
            (folder / file).write_bytes(data)
            digests[file] = f"git:{git_id(data)}"
        (folder / "hub.json").write_text(json.dumps({**HUB, "files": digests}))
        output = f"resources/{number}/model.safetensors"
        jobs.append(["fetch_weights", "--model", VLM.model_dump_json(), "--output", output])
        expected.append((name, f"resources/{number}/", words))
    check(ground, expected, jobs, gigabytes=24, peak=1500)
    assert not marker.exists()
    assert not list((ground.folder / "resources").glob("*/model.safetensors"))


def test_a_checkpoint_with_code_is_ignored(ground):
    """A checkpoint is not an input: the run starts again, logs it, and removes the checkpoint at its end."""
    given, marker = ground.folder / "given", ground.outside / "marker"
    dataset(given)
    (ground.folder / "results").mkdir()
    narrow = CNN.model_copy(update={"width": 0.0625})
    for content in (pickle.dumps(Trap(marker)), torch_file({"identity": Trap(marker)})):
        (ground.folder / "results" / "checkpoint.pt").write_bytes(content)
        (outcome,) = ground.run(
            [["train", "--specification", run_of({}, narrow), "--pixels", "given/pixels.npy", *TRAIN]], 24
        )
        assert outcome.status == 0, outcome.told
        assert not marker.exists()
        assert sorted(path.name for path in (ground.folder / "results").iterdir()) == [
            *("history.csv", "predictions.csv", "run.json"),
        ]
        shutil.rmtree(ground.folder / "results")
        (ground.folder / "results").mkdir()


def test_unpickling_the_trap_runs_its_code(tmp_path):
    """The marker that the tests above look for is really made."""
    pickle.loads(pickle.dumps(Trap(tmp_path / "marker")))
    assert (tmp_path / "marker").exists()
