"""The manifest: its rows and order, its counts, and what is refused when it is read."""

import csv
from pathlib import Path

import pytest

from histobench.datasets import manifest
from histobench.datasets.manifest import Image
from histobench.io.errors import HistoBenchError


def image(subtype: str, slide: str, magnification: int, number: int, sha256: str = "") -> Image:
    label = "benign" if subtype in ("A", "F", "PT", "TA") else "malignant"
    name = f"SOB_{label[0].upper()}_{subtype}-{slide}-{magnification}-{number:03d}"
    accession = slide.rstrip("ABCDEFG")
    member = f"anywhere, in/{name}.png"
    return Image(name, label, subtype, slide, slide, accession, magnification, 700, 460, sha256 or name, member)


IMAGES = [
    image("DC", "14-13412", 40, 1, "same"),
    image("LC", "14-13412", 40, 1, "same"),
    image("A", "14-22549AB", 100, 2),
    image("A", "14-22549AB", 100, 1),
    image("A", "14-22549CD", 400, 1, "other"),
    image("A", "14-22549CD", 40, 1),
    image("F", "14-22549CD", 400, 1, "other"),
    image("F", "14-22549CD", 400, 2, "other"),
]
IN_ORDER = [IMAGES[index] for index in (5, 0, 1, 3, 2, 4, 6, 7)]
"""By magnification, then by image id."""


def test_a_saved_manifest_is_loaded_unchanged_and_in_order(tmp_path: Path) -> None:
    manifest.save(tmp_path / "manifest.csv", IMAGES)
    header, first, *_ = (tmp_path / "manifest.csv").read_text().splitlines()
    assert header == "image_id,label,subtype,patient,slide,accession,magnification,width,height,sha256,member"
    assert first == (
        "SOB_B_A-14-22549CD-40-001,benign,A,14-22549CD,14-22549CD,14-22549,40,700,460,"
        'SOB_B_A-14-22549CD-40-001,"anywhere, in/SOB_B_A-14-22549CD-40-001.png"'
    )
    assert manifest.load(tmp_path / "manifest.csv") == IN_ORDER


def test_equal_pixels() -> None:
    assert manifest.equal_pixels(IMAGES) == [IMAGES[:2], [IMAGES[index] for index in (4, 6, 7)]]
    assert manifest.equal_pixels(IMAGES[1:4]) == []


def test_census(tmp_path: Path) -> None:
    manifest.save_census(tmp_path / "census.csv", IMAGES)
    assert (tmp_path / "census.csv").read_text() == (
        "unit,name,label,magnification,images\n"
        "class,benign,benign,40,1\nclass,benign,benign,100,2\nclass,benign,benign,400,3\n"
        "class,malignant,malignant,40,2\nclass,malignant,malignant,100,0\nclass,malignant,malignant,400,0\n"
        "patient,A 14-22549AB,benign,40,0\npatient,A 14-22549AB,benign,100,2\npatient,A 14-22549AB,benign,400,0\n"
        "patient,A 14-22549CD,benign,40,1\npatient,A 14-22549CD,benign,100,0\npatient,A 14-22549CD,benign,400,1\n"
        "patient,F 14-22549CD,benign,40,0\npatient,F 14-22549CD,benign,100,0\npatient,F 14-22549CD,benign,400,2\n"
        "patient,DC 14-13412,malignant,40,1\npatient,DC 14-13412,malignant,100,0\n"
        "patient,DC 14-13412,malignant,400,0\n"
        "patient,LC 14-13412,malignant,40,1\npatient,LC 14-13412,malignant,100,0\n"
        "patient,LC 14-13412,malignant,400,0\n"
    )


@pytest.mark.parametrize(
    ("edit", "found"),
    [
        (lambda rows: rows[3].__setitem__(7, "wide"), "line 4: magnification, width, height must be whole numbers"),
        (lambda rows: rows[2].__delitem__(slice(6, 11)), "line 3: magnification, width, height must be whole numbers"),
        (lambda rows: rows[1].__setitem__(1, "maligant"), "line 2: label is 'maligant'"),
        (lambda rows: rows.__delitem__(slice(1, None)), "holds no image"),
        (lambda rows: rows[0].__setitem__(9, "md5"), "column sha256 is missing"),
        (None, "no such file"),
    ],
)
def test_a_damaged_manifest_is_refused(tmp_path: Path, edit, found: str) -> None:
    path = tmp_path / "manifest.csv"
    manifest.save(path, IMAGES)
    if edit:
        with path.open(newline="") as file:
            rows = list(csv.reader(file))
        edit(rows)
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    else:
        path.unlink()
    with pytest.raises(HistoBenchError) as error:
        manifest.load(path)
    assert found in str(error.value)
    assert "\n" not in str(error.value)
