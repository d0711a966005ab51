import csv
from dataclasses import replace
from pathlib import Path

import pytest

from histobench.datasets.manifest import (
    Image,
    accessions,
    census,
    equal_pixels,
    load,
    ordered,
    pairs,
    save,
    save_census,
    slides,
)
from histobench.io.errors import HistoBenchError


def image(subtype: str, slide: str, magnification: int, number: int, sha256: str = "") -> Image:
    label = "benign" if subtype in ("A", "F", "PT", "TA") else "malignant"
    image_id = f"SOB_{label[0].upper()}_{subtype}-{slide}-{magnification}-{number:03d}"
    return Image(
        image_id=image_id,
        label=label,
        subtype=subtype,
        patient=slide,
        slide=slide,
        accession=slide.rstrip("ABCDEFG"),
        magnification=magnification,
        width=700,
        height=460,
        sha256=sha256 or image_id,
        member=f"anywhere, in/{image_id}.png",
    )


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
HEADER = "image_id,label,subtype,patient,slide,accession,magnification,width,height,sha256,member"


def test_a_saved_manifest_loads_as_it_was_in_its_order(tmp_path: Path) -> None:
    save(tmp_path / "manifest.csv", IMAGES)
    text = (tmp_path / "manifest.csv").read_text()
    assert text.splitlines()[0] == HEADER
    assert text.splitlines()[1] == (
        "SOB_B_A-14-22549CD-40-001,benign,A,14-22549CD,14-22549CD,14-22549,40,700,460,"
        'SOB_B_A-14-22549CD-40-001,"anywhere, in/SOB_B_A-14-22549CD-40-001.png"'
    )
    loaded = load(tmp_path / "manifest.csv")
    assert loaded == ordered(IMAGES)
    assert [one.image_id.split("_")[2] for one in loaded] == [
        "A-14-22549CD-40-001",
        "DC-14-13412-40-001",
        "LC-14-13412-40-001",
        "A-14-22549AB-100-001",
        "A-14-22549AB-100-002",
        "A-14-22549CD-400-001",
        "F-14-22549CD-400-001",
        "F-14-22549CD-400-002",
    ]


def test_pairs_slides_accessions() -> None:
    assert pairs(IMAGES) == [
        ("A", "14-22549AB"),
        ("A", "14-22549CD"),
        ("DC", "14-13412"),
        ("F", "14-22549CD"),
        ("LC", "14-13412"),
    ]
    assert slides(IMAGES) == ["14-13412", "14-22549AB", "14-22549CD"]
    assert accessions(IMAGES) == ["14-13412", "14-22549"]


def test_equal_pixels() -> None:
    groups = [[one.image_id[6:] for one in group] for group in equal_pixels(IMAGES)]
    assert groups == [
        ["DC-14-13412-40-001", "LC-14-13412-40-001"],
        ["A-14-22549CD-400-001", "F-14-22549CD-400-001", "F-14-22549CD-400-002"],
    ]
    assert equal_pixels(IMAGES[1:4]) == []


def test_census(tmp_path: Path) -> None:
    save_census(tmp_path / "census.csv", IMAGES)
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
    assert sum(row["images"] for row in census(IMAGES) if row["unit"] == "class") == len(IMAGES)


def edited(tmp_path: Path, edit) -> str:
    """What :func:`load` says about a manifest whose rows `edit` has changed."""
    path = tmp_path / "manifest.csv"
    save(path, IMAGES)
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    edit(rows)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    with pytest.raises(HistoBenchError) as error:
        load(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_load_names_the_line_that_is_wrong(tmp_path: Path) -> None:
    assert "line 4: magnification, width and height" in edited(tmp_path, lambda rows: rows[3].__setitem__(7, "wide"))
    assert "line 3: magnification, width and height" in edited(tmp_path, lambda rows: rows[2].__delitem__(slice(6, 11)))
    assert "line 2: label is 'maligant'" in edited(tmp_path, lambda rows: rows[1].__setitem__(1, "maligant"))
    assert "line 6" in edited(tmp_path, lambda rows: rows.insert(5, rows[4]))
    assert "does not follow" in edited(tmp_path, lambda rows: rows.reverse() or rows.insert(0, rows.pop()))
    assert "holds no image" in edited(tmp_path, lambda rows: rows.__delitem__(slice(1, None)))
    assert "column sha256 is missing" in edited(tmp_path, lambda rows: rows[0].__setitem__(9, "md5"))


def test_load_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(HistoBenchError, match=r"manifest\.csv: no such file"):
        load(tmp_path / "manifest.csv")


def test_a_write_that_fails_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    save(path, IMAGES[:2])
    before = path.read_bytes()
    unwritable = replace(IMAGES[2], member="\udcff")  # no UTF-8
    with pytest.raises(UnicodeEncodeError):
        save(path, [*IMAGES[:2], unwritable])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
