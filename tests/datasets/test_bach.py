"""BACH: the official tree with small made-up images, and what is refused."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from histobench.datasets import bach, synthetic
from histobench.datasets.archives import MAX_MEMBER_BYTES, members
from histobench.datasets.manifest import Image
from histobench.io.errors import HistoBenchError
from histobench.study.synthetic_settings import SyntheticSettings
from tests.datasets.standin import write_files

SMALL = SyntheticSettings(kind="bach", patients_per_class=2, images_per_patient=2, width=64, height=48)
PREFIX = "ICIAR2018_BACH_Challenge/"


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    """Path and content of every file of a synthetic BACH of 16 images."""
    path = tmp_path_factory.mktemp("bach") / "archive"
    synthetic.generate(SMALL, path)
    return {member.name: member.read() for member in members(path)}


@pytest.fixture(scope="module")
def official(tmp_path_factory, files) -> Path:
    """The official layout: 400 images of 64x48 pixels, whole slides, lists and files of macOS."""
    image = {name.split("/")[1]: data for name, data in files.items() if name.endswith(".tif")}
    prefixes = {"Normal": "n", "Benign": "b", "InSitu": "is", "Invasive": "iv"}
    entries = [
        (f"{PREFIX}Photos/{folder}/{prefix}{number:03}.tif", image[folder])
        for folder, prefix in prefixes.items()
        for number in range(1, 101)
    ]
    entries += [
        (f"{PREFIX}Photos/microscopy_ground_truth.csv", b"n001.tif,Normal\n"),
        (f"{PREFIX}Photos/Normal/Thumbs.db", b"\xd0\xcf"),
        (f"{PREFIX}Photos/Normal/._n001.tif", b"resource fork"),
        (f"{PREFIX}WSI/A01.svs", b"a whole slide"),
        (f"{PREFIX}WSI/gt_thumbnails/A01.tif", b"no photograph"),
    ]
    return write_files(tmp_path_factory.mktemp("official") / "ICIAR2018_BACH_Challenge.zip", entries, "zip")


@pytest.fixture
def as_official(monkeypatch, official) -> Path:
    """The same, taken for the official archive."""
    monkeypatch.setattr(bach, "OFFICIAL_MD5", hashlib.md5(official.read_bytes()).hexdigest())
    monkeypatch.setattr(bach, "OFFICIAL_SIZE", (64, 48))
    return official


def refusal(source: Path, complete: bool = True) -> str:
    with pytest.raises(HistoBenchError) as error:
        bach.read(source, complete, workers=2)
    assert "\n" not in str(error.value)
    assert str(source) in str(error.value)
    return str(error.value)


def test_the_official_layout(as_official) -> None:
    images = bach.read(as_official, complete=True, workers=2)
    assert Counter((image.subtype, image.label) for image in images) == {
        ("normal", "benign"): 100,
        ("benign", "benign"): 100,
        ("insitu", "malignant"): 100,
        ("invasive", "malignant"): 100,
    }
    assert [image.image_id for image in images][:2] == ["b001", "b002"]
    first = images[0]
    assert (first.patient, first.slide, first.accession, first.magnification) == ("b001", "b001", "b001", 0)
    # 29 known patients of 145 photographs, as counted in the organisers' list; three of them have both classes.
    patients: dict[str, list[Image]] = {}
    for image in images:
        if image.patient != image.image_id:
            patients.setdefault(image.patient, []).append(image)
    assert (len(patients), sum(map(len, patients.values()))) == (29, 145)
    both = {name for name, own in patients.items() if len({image.label for image in own}) == 2}
    assert both == {"patient-14", "patient-19", "patient-22"}
    assert [image.image_id for image in patients["patient-22"]] == ["is056", "iv058", "n061", "n062"]
    assert first.member == f"{PREFIX}Photos/Benign/b001.tif"


def test_archive_and_folder_give_the_same_manifest(tmp_path, files) -> None:
    archive = write_files(tmp_path / "bach.zip", files.items(), "zip")
    folder = write_files(tmp_path / "bach", files.items(), "folder")
    one = bach.read(archive, complete=False, workers=2)
    assert bach.read(folder, complete=False, workers=1) == one
    assert len(one) == 16
    inner = bach.read(folder / "Photos", complete=False, workers=1)
    assert [image.sha256 for image in inner] == [image.sha256 for image in one]
    for image in one:
        with PIL.Image.open(folder / image.member) as picture:
            pixels = np.asarray(picture)
        size = (48).to_bytes(4, "little") + (64).to_bytes(4, "little")
        assert image.sha256 == hashlib.sha256(size + pixels.tobytes()).hexdigest()


def test_a_complete_dataset_must_be_the_official_one(monkeypatch, as_official, tmp_path, files) -> None:
    folder = write_files(tmp_path / "few", files.items(), "folder")
    assert "holds 4 images in Photos/Normal, but the official dataset has 100" in refusal(folder)
    monkeypatch.setattr(bach, "OFFICIAL_SIZE", (2048, 1536))
    assert "400 images are not of 2048x1536 pixels, the first is " in refusal(as_official)
    own = hashlib.md5(as_official.read_bytes()).hexdigest()
    monkeypatch.setattr(bach, "OFFICIAL_MD5", "8ae1801334aa943c44627c1eef3631b2")
    assert f"has MD5 {own}, but the official archive has 8ae1801334aa943c44627c1eef3631b2" in refusal(as_official)
    assert bach.read(as_official, complete=False, workers=2)  # not required


def test_a_whole_slide_larger_than_any_image_is_passed_over(tmp_path, files) -> None:
    folder = write_files(tmp_path / "bach", files.items(), "folder")
    (folder / "WSI").mkdir()
    with (folder / "WSI" / "A01.svs").open("wb") as file:
        file.truncate(MAX_MEMBER_BYTES + 1)  # takes no room on the disk
    images = bach.read(folder, complete=False, workers=1)
    assert len(images) == 16


def test_images_of_a_class_that_are_not_read_are_refused(tmp_path, files) -> None:
    more = {"Photos/Normal/n900.gif": b"GIF89a", "Photos/Normal/notes.txt": b"", "WSI/thumbnails/A01.gif": b"GIF89a"}
    source = write_files(tmp_path / "bach.zip", (files | more).items(), "zip")
    assert "images that are not read: 1 (.gif 1), the first is Photos/Normal/n900.gif" in refusal(
        source, complete=False
    )


def test_an_image_twice_and_no_image_are_refused(tmp_path, files) -> None:
    name, data = next(item for item in files.items() if item[0].endswith("n101.tif"))
    twice = write_files(tmp_path / "twice.zip", [(name, data), ("Photos/Benign/n101.tif", data)], "zip")
    assert "image n101 occurs twice" in refusal(twice, complete=False)
    none = write_files(tmp_path / "none.zip", [("a/Normal/n001.tif", data), ("Photos/Odd/n001.tif", data)], "zip")
    expected = "holds no image among its 2 files, expected TIFF files such as Photos/Normal/n001.tif"
    assert expected in refusal(none, complete=False)
