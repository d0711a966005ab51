"""BreakHis: the official images, the grammar of names and folders, and what is refused in a source."""

import csv
import hashlib
import os
import struct
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from histobench.datasets import manifest
from histobench.datasets.breakhis import identify, official, read
from histobench.datasets.manifest import Image, equal_pixels
from histobench.io.errors import HistoBenchError
from tests.datasets.standin import contents, paths, png, write_files, write_standin
from tests.scripts.running import rows, run

ROOT = Path(__file__).parents[2]
MEMBER = "BreaKHis_v1/histology_slides/breast/benign/SOB/adenosis/SOB_B_A_14-22549AB/40X/SOB_B_A-14-22549AB-40-001.png"
FOLDER = MEMBER.rpartition("/")[0]
COUNTS = {40: (625, 1370), 100: (644, 1437), 200: (623, 1390), 400: (588, 1232)}
SUBTYPES = {"A": 444, "F": 1014, "PT": 453, "TA": 569, "DC": 3451, "LC": 626, "MC": 792, "PC": 560}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_standin(tmp_path_factory.mktemp("standin") / "BreaKHis_v1.tar.gz")


@pytest.fixture(scope="module")
def reading(archive: Path) -> list[Image]:
    return read(archive, complete=True, workers=2)


def pairs(images: list[Image]) -> set[tuple[str, str]]:
    return {(image.subtype, image.slide) for image in images}


def refusal(source: Path, complete: bool = False) -> str:
    with pytest.raises(HistoBenchError) as error:
        read(source, complete, workers=2)
    assert "\n" not in str(error.value)
    assert str(source) in str(error.value)
    return str(error.value)


def of(path: Path, **files: bytes) -> Path:
    """A small archive of official images, with `files` (member: content) in place of or beside them."""
    return write_files(path, (dict(contents(paths()[:6])) | files).items())


# ---- the official images ----


def test_official_counts(reading: list[Image]) -> None:
    images = reading
    assert len(images) == 7909
    found = Counter((image.magnification, image.label) for image in images)
    assert {m: (found[m, "benign"], found[m, "malignant"]) for m in COUNTS} == COUNTS
    assert Counter(image.subtype for image in images) == SUBTYPES
    assert len(pairs(images)) == 82
    assert len({pair for pair in pairs(images) if pair[0] in ("A", "F", "PT", "TA")}) == 24
    assert (len({i.slide for i in images}), len({i.accession for i in images})) == (81, 70)
    assert all(image.patient == image.slide for image in images)
    assert Counter((image.width, image.height) for image in images) == {(28, 18): 7901, (28, 17): 8}


def test_the_images_of_slide_13412_are_found_twice_by_their_pixels(archive: Path, reading: list[Image]) -> None:
    twins = equal_pixels(reading)
    assert len(twins) == 123
    assert all(
        [(image.subtype, image.slide) for image in pair] == [("DC", "14-13412"), ("LC", "14-13412")] for pair in twins
    )
    assert Counter(pair[0].magnification for pair in twins) == {40: 32, 100: 33, 200: 32, 400: 26}
    with tarfile.open(archive) as tar:
        one, other = (tar.extractfile(image.member).read() for image in twins[0])  # type: ignore[union-attr]
    assert one != other


def test_rows_describe_the_files(archive: Path, reading: list[Image]) -> None:
    by_member = {image.member: image for image in reading}
    with tarfile.open(archive) as tar:
        for name in paths()[::800]:
            image = by_member[name]
            with PIL.Image.open(tar.extractfile(name)) as picture:  # type: ignore[arg-type]
                pixels = np.asarray(picture)
            shape = struct.pack("<II", image.height, image.width)
            assert image.sha256 == hashlib.sha256(shape + pixels.tobytes()).hexdigest()
            assert Path(name).stem == image.image_id


def test_every_kind_of_source_and_number_of_workers_gives_the_same_manifest(tmp_path: Path) -> None:
    members = paths()[::40]
    readings = [
        read(write_standin(tmp_path / f"{kind}{workers}", kind=kind, members=members), False, workers)
        for kind, workers in (("tar", 1), ("tar", 3), ("tar.gz", 2), ("zip", 5), ("folder", 1))
    ]
    assert len(readings[0]) == len(members)
    assert all(one == readings[0] for one in readings)


def test_the_tree_may_have_any_prefix(tmp_path: Path) -> None:
    members = paths()[::100]
    official_tree = read(write_standin(tmp_path / "a", members=members), False, 2)
    kaggle = read(write_standin(tmp_path / "b", members=members, prefix="BreaKHis_v1/"), False, 2)
    assert [image.image_id for image in kaggle] == [image.image_id for image in official_tree]
    assert all(image.member.startswith("BreaKHis_v1/BreaKHis_v1/") for image in kaggle)
    folder = write_standin(tmp_path / "c", members=members, kind="folder")
    inner = read(folder / "BreaKHis_v1" / "histology_slides" / "breast", False, 2)
    assert [image.sha256 for image in inner] == [image.sha256 for image in official_tree]
    assert inner[0].member.startswith("benign/SOB/")


# ---- names ----


@pytest.mark.parametrize(
    "name",
    [
        "logo.png",
        "SOB_B_A-14-22549AB-40-001.jpg",
        "SOB_B_A-14-22549AB-40-001.PNG",
        "SOB_B_A-14-22549AB-40-001.tif",
        "SOB_B_A-14-22549AB-40-1.png",
        "SOB_B_A-14-22549AB-50-001.png",
        "SOB_B_X-14-22549AB-40-001.png",
        "SOB_B_A_14-22549AB-40-001.png",
        "SOB_B_A-14-22549AB-40-001 (1).png",
        "SOB_B_A-14-22549AB-40-001.png.png",
        "SOB_B_A-14-22549AB-40-٠٠١.png",
        "SOB_B_A-14-22549ab-40-001.png",
        "SOB_B_A-1-22549AB-40-001.png",
    ],
)
def test_other_images_are_refused_by_name(tmp_path: Path, name: str) -> None:
    sentence = refusal(of(tmp_path / "source.tar.gz", **{f"{FOLDER}/{name}": png(np.zeros((2, 2, 3), np.uint8))}))
    assert f"{FOLDER}/{name}" in sentence
    assert "SOB_B_A-14-22549AB-40-001.png" in sentence


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("/benign/", "/malignant/"),
        ("/adenosis/", "/fibroadenoma/"),
        ("SOB_B_A_14-22549AB/", "SOB_B_A_14-22549CD/"),
        ("SOB_B_A_14-22549AB/", "SOB_B_A-14-22549AB/"),
        ("/40X/", "/100X/"),
        ("SOB_B_A-", "SOB_M_A-"),  # adenosis is benign
    ],
)
def test_a_name_that_contradicts_itself_or_its_folders_is_refused(part: str, other: str) -> None:
    with pytest.raises(HistoBenchError, match="name and folders contradict each other") as error:
        identify(MEMBER.replace(part, other))
    assert MEMBER.replace(part, other) in str(error.value)
    assert "expected benign/SOB/adenosis/SOB_B_A_14-22549AB/40X/SOB_B_A-14-22549AB-40-001.png;" in str(error.value)


def test_every_official_path_is_of_the_grammar() -> None:
    assert [identify(path) for path in paths()] == official()
    assert len(set(paths())) == 7909
    assert identify("b/Thumbs.db") is None


@pytest.mark.parametrize(
    "folders",
    [
        "",
        "BreaKHis 400X/train/benign/",
        "BreaKHis 400X/test/Benign/",
        "breakhis_400x/",
        "400X/adenosis/val/",
        "benign/sob/",
    ],
)
def test_other_trees_are_read_by_the_names_of_the_images(tmp_path: Path, folders: str) -> None:
    """Such as that of Kaggle's archive of the images at 400X; folders named train and test say nothing."""
    name = "SOB_B_A-14-22549AB-400-001"
    files = {f"{folders}{name}.png": png(np.zeros((2, 2, 3), np.uint8)), f"{folders}._{name}.png": b"resource fork"}
    (image,) = read(write_files(tmp_path / "source.zip", files.items(), "zip"), complete=False, workers=1)
    assert (image.image_id, image.label, image.subtype) == (name, "benign", "A")
    assert (image.patient, image.accession, image.magnification) == ("14-22549AB", "14-22549", 400)


@pytest.mark.parametrize(
    "folders", ["train/malignant/", "BreaKHis 100X/benign/", "benign/fibroadenoma/", "100X/", "SOB_B_A_14-22549CD/"]
)
def test_other_trees_must_not_contradict_the_names(folders: str) -> None:
    with pytest.raises(HistoBenchError, match="name and folders contradict each other"):
        identify(f"{folders}SOB_B_A-14-22549AB-400-001.png")


# ---- other faults of a source ----


def test_missing_and_surplus_images_are_named(tmp_path: Path) -> None:
    surplus = {MEMBER.replace("-001.png", "-999.png"): png(np.zeros((2, 2, 3), np.uint8))}
    sentence = refusal(of(tmp_path / "source.tar.gz", **surplus), complete=True)
    missing = sorted(Path(name).stem for name in paths()[6:])
    assert "is not the official BreakHis of 7909 images" in sentence
    assert f"7903 are missing ({', '.join(missing[:5])}, …)" in sentence
    assert "1 are surplus (SOB_B_A-14-22549AB-40-999)" in sentence


def test_a_source_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no image among its 0 files" in refusal(tmp_path / "empty")
    assert "holds no image among its 4 files" in refusal(write_standin(tmp_path / "source", members=[]), complete=True)


def test_an_image_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    copy = "copy/" + MEMBER
    sentence = refusal(of(tmp_path / "source.tar.gz", **{copy: png(np.zeros((2, 2, 3), np.uint8))}))
    assert "image SOB_B_A-14-22549AB-40-001 occurs twice" in sentence
    assert f"as {MEMBER} and as {copy}" in sentence


# ---- the script ----


def test_script(tmp_path: Path, archive: Path) -> None:
    files = ("--output", "manifest.csv", "--census", "census.csv", "--digest", "archive.sha256")
    done = run("manifest", tmp_path, "--source", archive, "--workers", 2, "--complete", *files)
    assert done.returncode == 0, done.stderr
    assert "7909/7909" in done.stderr  # the progress bar
    assert len(manifest.load(tmp_path / "manifest.csv")) == 7909
    census = rows(tmp_path / "census.csv")
    assert sum(int(row["images"]) for row in census if row["unit"] == "patient") == 7909
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive.sha256", "census.csv", "manifest.csv"]
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert (tmp_path / "archive.sha256").read_text() == f"{digest}  {archive}\n"


# ---- real images ----

shared = pytest.mark.skipif(
    "HISTOBENCH_SHARED_DATA" not in os.environ,
    reason="HISTOBENCH_SHARED_DATA does not name a folder with real BreakHis images",
)


@shared
def test_real_originals() -> None:
    images = read(Path(os.environ["HISTOBENCH_SHARED_DATA"]) / "breakhis-originals", False, 2)
    assert Counter((image.width, image.height) for image in images) == {(700, 460): 119, (700, 456): 2}
    assert Counter(image.magnification for image in images) == {40: 11, 100: 100, 200: 3, 400: 7}
    assert len(pairs(images)) == 23
    assert [[image.image_id for image in pair] for pair in equal_pixels(images)] == [
        [f"SOB_M_{subtype}-14-13412-100-{number}" for subtype in ("DC", "LC")] for number in ("001", "025", "026")
    ]


@shared
def test_the_embedded_census_is_the_official_list() -> None:
    with (Path(os.environ["HISTOBENCH_SHARED_DATA"]) / "breakhis_files.csv").open(newline="") as file:
        listed = [row["path"] for row in csv.DictReader(file)]
    assert sorted(identity.member for identity in official()) == sorted(listed)
