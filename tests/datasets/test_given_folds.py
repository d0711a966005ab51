"""Folds from a CSV table: which forms of it are read, what is told, and what is refused."""

import csv
import json
import os
from pathlib import Path

import pytest

from histobench.datasets import folds, given_folds, manifest
from histobench.datasets.breakhis import official
from histobench.datasets.given import check_given
from histobench.datasets.manifest import Image
from histobench.io.errors import HistoBenchError
from histobench.study.config import load
from tests.datasets.test_folds import sides, small
from tests.scripts.running import run
from tests.study.test_config import with_change

IMAGES = small(3)
"""Patients 14-100 to 14-102, benign, and 14-200 to 14-202, malignant, each with two images at 40x and at 200x."""


def write(path: Path, header: str, rows: list[str]) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8-sig")
    return path


def of(path: Path, header: str, rows: list[str], count: int, images: list[Image] = IMAGES) -> folds.Folds:
    return given_folds.read(images, write(path, header, rows), count)


def ids(*patients: str) -> set[str]:
    return {image.image_id for image in IMAGES if image.patient in patients}


def test_folds_of_patients(tmp_path: Path, capsys) -> None:
    """Numbered from 0, as scikit-learn does, with a column more, and as pandas writes them beside missing values."""
    rows = [
        f"a note,14-{100 * label + patient},{patient}{end}"
        for label in (1, 2)
        for patient, end in enumerate(("", ".0", ""))
    ]
    made = of(tmp_path / "folds.csv", "remark,group,fold", rows, 3)
    for fold, (train, test) in enumerate(sides(made, IMAGES)):
        assert test == ids(f"14-{100 + fold}", f"14-{200 + fold}")
        assert train == ids(*(image.patient for image in IMAGES)) - test
    assert capsys.readouterr().err == ""
    folds.save(made, IMAGES, tmp_path / "saved.csv")
    assert folds.load(tmp_path / "saved.csv", IMAGES, "file") == made


@pytest.mark.parametrize(
    "form",
    ["{0}", "{0}.png", "/home/other/BreaKHis_v1/40X/{0}.png", "C:\\Users\\other\\images\\{0}.png", "{0}.TIF", "{1}"],
    ids=["id", "name", "path", "Windows", "another suffix", "member"],
)
def test_sets_of_images_named_as_people_do(tmp_path: Path, form: str) -> None:
    set_of = {"14-102": "Test", "14-202": "testing", "14-100": "TRAIN"}
    rows = [f"{set_of.get(i.patient, 'training')},{form.format(i.image_id, i.member)}" for i in IMAGES]
    made = of(tmp_path / "sets.csv", "set,image", rows, 1)
    assert sides(made, IMAGES) == [(ids("14-100", "14-101", "14-200", "14-201"), ids("14-102", "14-202"))]


def test_what_is_on_no_side_or_on_both_is_told(tmp_path: Path, capsys) -> None:
    """An image that validates, one without a row, names that the dataset does not have, and a patient on both sides."""
    rows = [f"{i.image_id},{'test' if i.patient in ('14-102', '14-202') else 'train'}" for i in IMAGES]
    first, second, third = (row.rpartition(",")[0] for row in rows[:3])
    rows = [f"{first},val", *rows[2:], f"{third},train", "SOB_B_F-14-999-40-001.png,train", "14-999,test"]
    rows = [row.replace("test", "train") if "14-202-40-001" in row else row for row in rows]
    made = of(tmp_path / "sets.csv", "image,set", rows, 1)
    ((train, test),) = sides(made, IMAGES)
    moved = {name for name in ids("14-202") if "-40-001" in name}
    assert test == ids("14-102", "14-202") - moved
    assert train == ids("14-100", "14-101", "14-200", "14-201") - {first, second} | moved
    told = capsys.readouterr().err.splitlines()
    assert [line.removeprefix(f"warning: {tmp_path}/sets.csv: ") for line in told] == [
        "names that are not in the dataset: 2, the first is SOB_B_F-14-999-40-001.png",
        f"images of the dataset that neither train nor evaluate: 2, the first is {first}",
        "patients with images on both sides of a fold: 1, the first is 14-202",
    ]
    folds.save(made, IMAGES, tmp_path / "saved.csv")
    assert folds.load(tmp_path / "saved.csv", IMAGES, "file") == made
    saved = {row["group"]: row["fold_1"] for row in csv.DictReader((tmp_path / "saved.csv").open())}
    assert (saved[first], saved[second], saved[third]) == ("unused", "unused", "train")
    names = ("train_images", "test_images", "train_groups", "test_groups", "shared_patients", "slide_in_training")
    assert [tuple(row[name] for name in names) for row in folds.census(IMAGES, made)] == [
        (6, 4, 6, 4, 0, 0),
        (9, 3, 9, 3, 1, 1),
    ]


ROWS = [f"14-{100 * label + patient},{patient + 1}" for label in (1, 2) for patient in range(3)]


@pytest.mark.parametrize(
    ("header", "rows", "count", "found"),
    [
        ("patient,fold", ROWS, 3, "found the columns 'patient, fold', expected one of image and group and one of fold and set"),
        ("group,fold,set", [f"{row},train" for row in ROWS], 3, "expected one of image and group and one of fold and set"),
        ("group,group,fold", [f"{row},1" for row in ROWS], 3, "expected one of image and group and one of fold and set"),
        ('"gro\nup",fold', ROWS, 3, "found the columns 'gro\\nup, fold', expected"),
        ("[1," + "2," * 9999, ROWS, 3, "found the columns '[1, 2, 2, "),
        ("group,fold", [f"14-100,{'9' * 9999}"], 3, "line 2: group is '14-100' and fold is '999"),
        ("image,fold", ROWS, 3, "none of its 6 names is in the dataset, the first is 14-100; correct column image"),
        ("group,fold", [], 3, "none of its 0 names is in the dataset"),
        ("group,fold", ROWS, 5, "are in fold 1, 2, 3 and `folds` of the split is 5, expected"),
        ("group,fold", ROWS, 2, "are in fold 1, 2, 3 and `folds` of the split is 2, expected"),
        ("group,fold", [f"14-{n},{k}" for n, k in ((100, 1), (101, 3), (200, 1), (201, 3))], 2, "are in fold 1, 3 and"),
        ("group,fold", [f"14-{n},1" for n in (100, 200)], 1, "are in fold 1 and `folds` of the split is 1"),
        ("group,set", [f"14-{n},{s}" for n, s in ((100, "train"), (200, "test"))], 2, "are in set train, test and `folds` of the split is 2"),
        ("group,set", [f"14-{n},train" for n in (100, 200)], 1, "are in set train and `folds`"),
        ("group,set", [f"14-{n},val" for n in (100, 200)], 1, "are in set test and `folds`"),
        ("group,fold", [*ROWS, "14-100,2"], 3, "line 8: 14-100 is in fold 2 here and in another one above; remove"),
        ("group,fold", [*ROWS[:2], "14-102,"], 3, "line 4: group is '14-102' and fold is '', expected a name and a number"),
        ("group,fold", [*ROWS[:2], ",1"], 3, "line 4: group is '' and fold is '1', expected a name and a number"),
        ("group,fold", [*ROWS[:2], "14-102"], 3, "line 4: group is '14-102' and fold is ''"),
        ("group,fold", [*ROWS[:2], "14-102,-1"], 3, "line 4: group is '14-102' and fold is '-1'"),
        ("group,set", ["14-100,nan"], 1, "line 2: group is '14-100' and set is 'nan', expected a name and train, test or val"),
        ("group,fold", [row.replace("14-202,3", "14-202,2") for row in ROWS], 3, "fold 3 has no malignant image on its test side at 40x"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_one_sentence(tmp_path: Path, header: str, rows: list[str], count: int, found: str) -> None:
    with pytest.raises(HistoBenchError) as error:
        of(tmp_path / "folds.csv", header, rows, count)
    assert found in str(error.value)
    assert str(error.value).startswith(f"{tmp_path}/folds.csv")
    assert "\n" not in str(error.value)


def test_the_validation_set_evaluates_where_there_is_no_test_set(tmp_path: Path) -> None:
    set_of = {"14-102": "val", "14-202": "Validation"}
    rows = [f"{patient},{set_of.get(patient, 'train')}" for patient in sorted({i.patient for i in IMAGES})]
    made = of(tmp_path / "sets.csv", "group,set", rows, 1)
    assert sides(made, IMAGES) == [(ids("14-100", "14-101", "14-200", "14-201"), ids("14-102", "14-202"))]


def test_a_file_name_of_two_images(tmp_path: Path) -> None:
    """As in a dataset of class folders; a path, or the whole id, says which one is meant."""
    images = [
        Image(f"{patient}/{number}", label, label, patient, patient, patient, 0, 8, 6, f"{patient}{number}", f"{patient}/{number}.png")
        for patient, label in (("a", "benign"), ("b", "benign"), ("c", "malignant"), ("d", "malignant"))
        for number in (1, 2)
    ]  # fmt: skip
    rows = [f"{i.member},{'train' if i.patient in 'ac' else 'test'}" for i in images]
    assert sides(of(tmp_path / "sets.csv", "image,set", rows, 1, images), images) == [
        ({"a/1", "a/2", "c/1", "c/2"}, {"b/1", "b/2", "d/1", "d/2"})
    ]
    with pytest.raises(HistoBenchError, match=r"line 10: 1.png may be a/1 or b/1; give its path inside"):
        of(tmp_path / "sets.csv", "image,set", [*rows, "1.png,train"], 1, images)


def test_the_script(tmp_path: Path) -> None:
    manifest.save(tmp_path / "manifest.csv", IMAGES)
    write(
        tmp_path / "mine.csv",
        "group,set",
        [f"14-{n},{'test' if n % 100 == 2 else 'train'}" for n in (100, 101, 102, 200, 202)],
    )
    split = json.dumps({"by": "file", "folds": 1, "seed": 0, "files": [], "file": "mine.csv"})
    given = {"manifest": "manifest.csv", "output": "folds.csv", "census": "census.csv", "split": split}
    status, said = run("folds", tmp_path, **given)
    assert status == 0
    assert said.startswith(
        "warning: mine.csv: images of the dataset that neither train nor evaluate: 4, the first is SOB_M_DC-14-201"
    )
    assert sides(folds.load(tmp_path / "folds.csv", IMAGES, "file"), IMAGES) == [
        (ids("14-100", "14-101", "14-200"), ids("14-102", "14-202"))
    ]


@pytest.mark.skipif(
    "HISTOBENCH_SHARED_DATA" not in os.environ, reason="HISTOBENCH_SHARED_DATA names no folder of real splits"
)
def test_real_published_splits(tmp_path: Path) -> None:
    """Every list of BreakHis that others have published; shares counted from the lists themselves."""
    images = manifest.ordered(
        Image(
            i.image_id,
            i.label,
            i.subtype,
            i.patient,
            i.slide,
            i.accession,
            i.magnification,
            700,
            460,
            i.image_id,
            i.member,
        )
        for i in official()
    )
    sources = sorted((Path(os.environ["HISTOBENCH_SHARED_DATA"]) / "public-audit/normalised").glob("*__*.csv"))
    lists = [path for path in sources if "bach" not in path.name]
    assert len(lists) > 10
    for path in lists:
        rows = list(csv.DictReader(path.open()))
        sets: dict[str, set[str]] = {}
        for row in rows:
            sets.setdefault(row["set"], set()).add(row["image"].removesuffix(".png"))
        made = given_folds.read(images, path, 1, [40])
        assert {name for name, (test,) in made.tested.items() if not test} == sets["train"]
        assert {name for name, (test,) in made.tested.items() if test} == sets.get("test", sets.get("val"))


def test_a_table_that_is_not_there_is_missed_before_any_job(tmp_path: Path, monkeypatch) -> None:
    config = load(with_change("splits.patient", {"by": "file", "file": "theirs.csv", "folds": 1}))
    assert {run.fold for run in config.runs if run.split == "patient"} == {1}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        HistoBenchError, match=r"^theirs.csv: there is no such file; put it there, or correct it in splits"
    ):
        check_given(config)
    (tmp_path / "theirs.csv").touch()
    check_given(config)
