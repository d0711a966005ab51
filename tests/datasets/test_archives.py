"""Archives and folders: the same files from each kind, and damaged ones refused; for hostile ones see tests/test_hostile.py."""

import gzip
import os
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from histobench.datasets.archives import MAX_MEMBER_BYTES, members
from histobench.io.errors import HistoBenchError
from tests.datasets.standin import write_files

KINDS = ("tar.gz", "tar", "zip", "folder")
FILES = {
    "data/README": b"two images",
    "data/benign/one.png": bytes(range(256)) * 20,
    "data/malignant/two.png": os.urandom(3000),
    "data/nothing.txt": b"",
}


def read_all(source: Path) -> dict[str, bytes]:
    return {member.name: member.read() for member in members(source)}


def refusal(source: Path) -> str:
    """The message with which `source` is refused, wherever in reading it that happens."""
    with pytest.raises(HistoBenchError) as error:
        read_all(source)
    sentence = str(error.value)
    assert "\n" not in sentence
    assert str(source) in sentence
    return sentence


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_files_and_writes_nothing(tmp_path: Path, kind: str) -> None:
    source = write_files(tmp_path / "source", FILES.items(), kind)
    before = sorted(tmp_path.rglob("*"))
    assert read_all(source) == FILES
    assert sorted(tmp_path.rglob("*")) == before


def test_an_archive_keeps_its_order_and_a_folder_is_sorted(tmp_path: Path) -> None:
    files = [("b/x", b"1"), ("a/y", b"2"), ("a/b/z", b"3"), ("c", b"4")]
    for kind in ("tar.gz", "zip"):
        source = write_files(tmp_path / kind, files, kind)
        assert [member.name for member in members(source)] == ["b/x", "a/y", "a/b/z", "c"]
    folder = write_files(tmp_path / "folder", files, "folder")
    assert [member.name for member in members(folder)] == ["a/b/z", "a/y", "b/x", "c"]


def test_folders_are_passed_over_and_a_leading_dot_is_dropped(tmp_path: Path) -> None:
    write_files(tmp_path / "tree", FILES.items(), "folder")
    with tarfile.open(tmp_path / "tree.tgz", "w:gz") as archive:
        archive.add(tmp_path / "tree", arcname=".")
    assert read_all(tmp_path / "tree.tgz") == FILES
    with zipfile.ZipFile(tmp_path / "tree.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((tmp_path / "tree").rglob("*")):
            archive.write(path, path.relative_to(tmp_path / "tree"))
    assert read_all(tmp_path / "tree.zip") == FILES


def test_long_and_accented_names(tmp_path: Path) -> None:
    name = "/".join(["ordner-mit-umlaut-ä" * 4] * 4) + "/ñ.png"
    for kind in ("tar.gz", "zip"):
        assert read_all(write_files(tmp_path / kind, [(name, b"x")], kind)) == {name: b"x"}
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(tmp_path / "long.tar", "w", format=form) as archive:
            archive.addfile(tarfile.TarInfo(name))
        assert read_all(tmp_path / "long.tar") == {name: b""}


def test_a_zip_of_windows_powershell_has_backslashes(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "source.zip", "w") as archive:
        archive.writestr("data\\", b"")  # a folder
        for name, data in FILES.items():
            archive.writestr(name.replace("/", "\\"), data)
    assert read_all(tmp_path / "source.zip") == FILES
    for name in ("\\\\host\\share\\a.png", "C:\\a.png"):
        with zipfile.ZipFile(tmp_path / "source.zip", "w") as archive:
            archive.writestr(name, b"")
        assert "has an absolute or foreign path" in refusal(tmp_path / "source.zip")


@pytest.mark.parametrize("kind", KINDS)
def test_composed_and_decomposed_names_are_one(tmp_path: Path, kind: str) -> None:
    composed, decomposed = "M\u00fcller/\u00e5.png", "Mu\u0308ller/a\u030a.png"
    for number, name in enumerate((composed, decomposed)):
        assert read_all(write_files(tmp_path / str(number), [(name, b"x")], kind)) == {composed: b"x"}


def test_a_zip_of_macos_does_not_say_that_its_names_are_utf_8(tmp_path: Path) -> None:
    source = write_files(tmp_path / "source.zip", [("n\u00e4evus.png", b"x")], "zip")
    data = bytearray(source.read_bytes())
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        struct.pack_into("<H", data, data.index(header) + flags, 0)
    source.write_bytes(data)
    assert read_all(source) == {"n\u00e4evus.png": b"x"}


@pytest.mark.parametrize("target", ["../outside", "inside", "../outside-folder", "nowhere"])
def test_links_in_a_folder_are_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "outside-folder").mkdir()
    for path in (tmp_path / "outside", tmp_path / "source" / "inside"):
        path.write_bytes(b"x")
    (tmp_path / "source" / "link.png").symlink_to(target)
    assert "member link.png is a link" in refusal(tmp_path / "source")


def test_the_source_itself_may_be_a_link(tmp_path: Path) -> None:
    for kind in ("tar.gz", "folder"):
        source = write_files(tmp_path / f"real.{kind}", FILES.items(), kind)
        (tmp_path / f"link.{kind}").symlink_to(source)
        assert read_all(tmp_path / f"link.{kind}") == FILES


def test_a_pipe_in_a_folder_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "one.png")
    assert "member one.png is a device or special file" in refusal(tmp_path)


def test_an_extended_tar_header_cannot_smuggle_a_size(tmp_path: Path) -> None:
    info = tarfile.TarInfo("data/huge")
    info.pax_headers = {"size": str(2**40)}
    (tmp_path / "source.tar").write_bytes(info.tobuf(tarfile.PAX_FORMAT) + bytes(10240))
    assert f"member data/huge declares {2**40} bytes" in refusal(tmp_path / "source.tar")


def test_huge_members_of_a_zip_and_a_folder_are_refused(tmp_path: Path) -> None:
    source = write_files(tmp_path / "source.zip", [("data/huge", b"x")], "zip")
    data = bytearray(source.read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, MAX_MEMBER_BYTES + 1)
    source.write_bytes(data)
    assert f"member data/huge declares {MAX_MEMBER_BYTES + 1} bytes" in refusal(source)
    (tmp_path / "folder").mkdir()
    with (tmp_path / "folder" / "huge").open("wb") as file:
        file.truncate(MAX_MEMBER_BYTES + 1)  # takes no room on the disk
    assert f"member huge declares {MAX_MEMBER_BYTES + 1} bytes" in refusal(tmp_path / "folder")


def test_a_zip_member_that_unpacks_to_more_than_it_declares(tmp_path: Path) -> None:
    source = tmp_path / "source.zip"
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data/bomb", bytes(10**6))
    data = bytearray(source.read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, 100)
    source.write_bytes(data)
    assert "in member data/bomb" in refusal(source)


def test_a_tar_gz_truncated_anywhere_is_refused(tmp_path: Path) -> None:
    source = write_files(tmp_path / "source.tar.gz", FILES.items(), "tar.gz")
    whole = source.read_bytes()
    for length in (20, len(whole) // 4, len(whole) // 2, *(len(whole) - n for n in (40, 8, 4, 1))):
        source.write_bytes(whole[:length])
        assert "truncated" in refusal(source), length


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["tar", "tar.gz"])
def test_a_tar_cut_between_two_members_or_without_its_end_mark(tmp_path: Path, pack) -> None:
    """The standard library takes the end of the file for the end of the archive."""
    whole = write_files(tmp_path / "whole.tar", FILES.items(), "tar").read_bytes()
    source = tmp_path / "source"
    sizes = [len(data) for data in FILES.values()]
    position = 0
    for size in sizes:
        position += 512 + (size + 511) // 512 * 512
        for cut in (position, position - 100):
            source.write_bytes(pack(whole[:cut]))
            assert "truncated" in refusal(source), cut
    source.write_bytes(pack(whole[: position + 512]))
    assert read_all(source) == FILES  # one block of the end mark is enough


def test_a_broken_header_within_a_tar_does_not_end_it_silently(tmp_path: Path) -> None:
    source = write_files(tmp_path / "source.tar", FILES.items(), "tar")
    data = bytearray(source.read_bytes())
    data[1024 + 150] ^= 0xFF  # in the checksum of the second header
    source.write_bytes(data)
    assert "after data/README" in refusal(source)


def test_a_corrupt_member_of_a_zip(tmp_path: Path) -> None:
    source = write_files(tmp_path / "source.zip", FILES.items(), "zip")
    data = bytearray(source.read_bytes())
    data[data.index(FILES["data/malignant/two.png"]) + 5] ^= 0xFF
    source.write_bytes(data)
    assert "in member data/malignant/two.png" in refusal(source)


def test_other_files_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "source.tar.gz"
    assert "no such archive or folder" in refusal(source)
    source.write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(1000))
    assert "is no tar.gz, tar or zip archive" in refusal(source)
    source.write_bytes(gzip.compress(b"a letter" * 1000, mtime=0))
    assert "truncated, corrupt" in refusal(source)


def test_an_empty_folder_has_no_members(tmp_path: Path) -> None:
    assert read_all(tmp_path) == {}
