"""Splits in the forms that people publish, on small files."""

import json
import os
from pathlib import Path

import pytest

from histobench.audit import split_findings, splits
from histobench.audit.split_columns import Options
from histobench.audit.splits import Splits
from histobench.io.errors import HistoBenchError

TRAIN = ["SOB_B_A-14-22549AB-40-001", "SOB_B_A-14-22549AB-40-002", "SOB_M_DC-14-2523-100-001"]
TEST = ["SOB_B_A-14-22549CD-40-001", "SOB_M_DC-14-2773-100-001"]
TREE = "BreaKHis_v1/histology_slides/breast/benign/SOB/adenosis/SOB_B_A_14-22549AB/40X"


def sets(found: Splits, place: int = 0) -> dict[str, list[str]]:
    return {name: [one.image for one in images] for name, images in found.splits[place].sets.items()}


def write(folder: Path, files: dict[str, str]) -> list[Path]:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode("utf-8"))
    return [folder / name for name in files]


def table(delimiter: str, header: str, end: str = "\n") -> str:
    rows = [f"{name}.png{delimiter}{side}" for side, part in (("train", TRAIN), ("test", TEST)) for name in part]
    return end.join([header.replace(",", delimiter), *rows]) + end


FORMS = {
    "a table": {"split.csv": table(",", "image,set")},
    "semicolons and Windows line ends": {"split.csv": table(";", "Filename,Partition", "\r\n")},
    "an object a line": {
        "split.jsonl": "".join(
            json.dumps({"file": name, "subset": side}) + "\n"
            for side, part in (("train", TRAIN), ("test", TEST))
            for name in part
        )
    },
    "tabs and odd line ends": {"split.tsv": table("\t", "x,y", "\r\r\n")},
    "a byte order mark": {"split.csv": "\ufeff" + table(",", "image,set")},
    "no header": {"split.csv": table(",", "").lstrip()},
    "several columns of names": {
        "split.csv": "id,file,phase,label\n"
        + "".join(f"{n},{name}.png,{side},0\n" for side, part in (("TRAIN", TRAIN), ("Test", TEST)) for n, name in enumerate(part))
    },
    "paths of another machine": {
        "split.csv": "path,split\n"
        + "".join(f'"C:\\my data\\{name}.png",{side}\n' for side, part in (("training", TRAIN), ("testing", TEST)) for name in part)
    },
    "a table for each set": {
        "train.csv": "path,label\n" + "".join(f"{name}.png,0\n" for name in TRAIN),
        "test.csv": "path,label\n" + "".join(f"{name}.png,0\n" for name in TEST),
    },
    "a list for each set": {"my_train.txt": "\n".join(TRAIN), "my_test.txt": "\n".join(TEST) + "\n\n"},
    "a folder for each set": {"train/files.txt": "\n".join(TRAIN), "test/files.txt": "\n".join(TEST)},
    "sections": {"names.txt": "\n".join(["train:", "3 files", *TRAIN, "", "# TEST", *TEST])},
    "sets in the paths": {"all.txt": "\n".join([*(f"x/train/{n}.png" for n in TRAIN), *(f"x/test/{n}.png" for n in TEST)])},
    "the authors' form": {
        "dsfold1.txt": "".join(f"{n}.png|{n.split('-')[3]}|1|{side}\n" for side, part in (("train", TRAIN), ("test", TEST)) for n in part)
    },
    "a column for each set": {"splits_0.csv": ",train,test\n" + "".join(f"{k},{a},{b}\n" for k, (a, b) in enumerate(zip(TRAIN, [*TEST, ""], strict=True)))},
    "a mark for each set": {"splits_0_bool.csv": ",train,test\n" + "".join(f"{n},{n in TRAIN},{n in TEST}\n" for n in [*TRAIN, *TEST])},
    "a mark for training": {"a.csv": "file,is_train\n" + "".join(f"{n},{int(n in TRAIN)}\n" for n in [*TRAIN, *TEST])},
    "JSON of sets": {"split.json": json.dumps({"train": TRAIN, "test": TEST})},
    "JSON of sets and classes": {"split.json": json.dumps({"train": {"benign": TRAIN[:2], "malignant": TRAIN[2:]}, "test": {"x": TEST}})},
    "JSON of records": {"split.json": json.dumps([{"image": n, "set": s} for s, part in (("train", TRAIN), ("test", TEST)) for n in part])},
    "JSON of records in sets": {"split.json": json.dumps({"training": [{"image": n, "label": 0} for n in TRAIN], "test": [{"image": n, "label": 0} for n in TEST]})},
    "JSON of names": {"split.json": json.dumps({n: s for s, part in (("train", TRAIN), ("test", TEST)) for n in part})},
    "YAML": {"split.yaml": "train:\n" + "".join(f"- {n}.png\n" for n in TRAIN) + "test:\n" + "".join(f"- {n}.png\n" for n in TEST)},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_recognised_without_options(form: str, tmp_path: Path) -> None:
    found = splits.read(write(tmp_path, FORMS[form]))
    assert sets(found) == {"train": TRAIN, "test": TEST}
    assert (found.dataset, len(found.splits), found.unknown, found.contradictions) == ("breakhis", 1, [], [])


def test_a_folder_tree_and_its_links(tmp_path: Path) -> None:
    write(
        tmp_path,
        {f"data/train/benign/{TRAIN[0]}.png": "", f"data/test/benign/{TEST[0]}.png": "", "data/read me.txt": ""},
    )
    write(tmp_path, {f"outside/{TRAIN[1]}.png": ""})
    (tmp_path / "data/train/link").symlink_to(tmp_path / "outside", target_is_directory=True)
    assert sets(splits.read([tmp_path / "data"])) == {"train": TRAIN[:1], "test": TEST[:1]}


def test_a_column_of_folds_is_a_partition(tmp_path: Path) -> None:
    rows = "".join(f"{name},{fold}\n" for fold, name in enumerate([*TRAIN, TRAIN[0]]))
    found = splits.read(
        write(tmp_path, {"folds.csv": f"image,fold\n{rows}".replace(f"{TRAIN[0]},3\n", f"{TRAIN[0]},0\n")})
    )
    assert [split.title for split in found.splits] == ["fold 0", "fold 1", "fold 2"]
    assert sets(found, 1) == {"train": [TRAIN[0], TRAIN[2]], "test": [TRAIN[1]]}
    assert found.splits[0].repeated == 1


def test_folds_in_columns_in_files_and_beside_sets(tmp_path: Path) -> None:
    columns = "image,fold_1,fold_2\n" + f"{TRAIN[0]},train,test\n{TRAIN[1]},test,train\n{TRAIN[2]},unused,train\n"
    found = splits.read(write(tmp_path, {"a.csv": columns}))
    assert sets(found, 0) == {"train": [TRAIN[0]], "test": [TRAIN[1]]}
    assert sets(found, 1) == {"train": [TRAIN[1], TRAIN[2]], "test": [TRAIN[0]]}
    files = {
        "train_fold1.txt": TRAIN[0],
        "test_fold1.txt": TRAIN[1],
        "train_fold2.txt": TRAIN[1],
        "test_fold2.txt": TRAIN[0],
    }
    found = splits.read(write(tmp_path, files))
    assert [(split.title, sets(found, place)) for place, split in enumerate(found.splits)] == [
        ("fold 1", {"train": [TRAIN[0]], "test": [TRAIN[1]]}),
        ("fold 2", {"train": [TRAIN[1]], "test": [TRAIN[0]]}),
    ]
    kaggle = (
        "fold,mag,grp,filename\n"
        + f"1,100,train,{TREE}/{TRAIN[0]}.png\n1,100,test,x/{TEST[0]}.png\n2,40,test,{TRAIN[0]}\n2,40,train,{TEST[0]}\n"
    )
    found = splits.read(write(tmp_path, {"Folds.csv": kaggle}))
    assert sets(found, 0) == {"train": TRAIN[:1], "test": TEST[:1]}
    assert sets(found, 1) == {"train": TEST[:1], "test": TRAIN[:1]}


def test_folds_in_lists_and_in_numbered_columns(tmp_path: Path) -> None:
    folds = [{"train": TRAIN, "val": TEST}, {"train": TEST, "val": TRAIN}]
    many = [f"SOB_M_DC-14-{slide}-100-{number:03}" for slide in ("2523", "2773") for number in range(1, 25)]
    columns = "file,cv1,cv2\n" + "".join(f"{n},{n in TRAIN},{n in TEST}\n" for n in [*TRAIN, *TEST])
    forms = {
        "nnunet.json": json.dumps(folds),
        "lists.json": json.dumps({side: [fold[side] for fold in folds] for side in ("train", "val")}),
        "columns.csv": columns.replace("True", "train").replace("False", "val"),
    }
    for file in write(tmp_path, forms):
        found = splits.read([file])
        assert [sets(found, place) for place in range(2)] == folds, file
    (file,) = write(tmp_path, {"parts.json": json.dumps([many[:24], many[24:]])})
    assert [sets(splits.read([file]), place) for place in range(2)] == [
        {"train": many[24:], "test": many[:24]},
        {"train": many[:24], "test": many[24:]},
    ]


def test_other_datasets_with_a_mark_for_each_set(tmp_path: Path) -> None:
    rows = [("TCGA-A1-0001-DX1", "True,False"), ("TCGA-A1-0001-DX2", "False,True"), ("TCGA-A2-0002-DX1", "False,True")]
    file = write(tmp_path, {"s.csv": ",train,test\n" + "".join(f"{name},{marks}\n" for name, marks in rows)})
    found = splits.read(file, Options(patient=r"TCGA-\w\w-\d{4}"))
    assert sets(found) == {"train": ["TCGA-A1-0001-DX1"], "test": ["TCGA-A1-0001-DX2", "TCGA-A2-0002-DX1"]}


def test_a_split_whose_images_all_train_may_have_been_misread(tmp_path: Path) -> None:
    rows = "".join(f"{name},train\n{name},test\n" for name in TRAIN)
    (section,) = split_findings.sections(splits.read(write(tmp_path, {"a.csv": f"image,set\n{rows}"})))
    assert "several folds" in section.warnings[-1]


def test_files_with_several_sets_are_folds(tmp_path: Path) -> None:
    found = splits.read(write(tmp_path, {"a.csv": table(",", "image,set"), "b.csv": table(",", "image,set")}))
    assert [split.title for split in found.splits] == ["a.csv", "b.csv"]


def test_slides_stand_for_their_images(tmp_path: Path) -> None:
    files = write(tmp_path, {"split.csv": "slide,set\n22549AB,train\nSOB_B_A_14-22549CD,test\n"})
    found = splits.read(files, Options(magnifications=[40]))
    assert {name: len(part) for name, part in sets(found).items()} == {"train": 29, "test": 35}
    found = splits.read(write(tmp_path, {"val_slides.txt": "22549AB\n22549CD\n99999\n"}), Options(others="train"))
    assert {name: len(part) for name, part in sets(found).items()} == {"train": 7909 - 253, "val": 253}
    assert found.unknown == ["99999"]


def test_the_official_folds_from_names_alone() -> None:
    found = splits.read([Path("official")])
    assert [len(split.sets["test"]) for split in found.splits] == [2904, 2403, 2577, 2698, 3083]
    assert all(len(split.sets["train"]) + len(split.sets["test"]) == 7909 for split in found.splits)


def test_bach_and_a_dataset_of_another_kind(tmp_path: Path) -> None:
    found = splits.read(write(tmp_path, {"bach.csv": "image,set\nb032.tif,train\nb033.tif,test\niv001.tif,test\n"}))
    assert (found.dataset, sets(found)) == ("bach", {"train": ["b032"], "test": ["b033", "iv001"]})
    files = write(tmp_path, {"other.csv": "image,case,kind,set\na/1.png,P1,x,train\na/2.png,P1,y,test\n"})
    found = splits.read(files, Options(patient="case", label="kind"))
    assert [(one.accession, one.label) for one in found.splits[0].sets["test"]] == [("P1", "y")]
    found = splits.read(files, Options(patient=r"^(.)/"))
    assert [one.accession for one in found.splits[0].sets["train"]] == ["a"]


def test_what_is_odd_is_counted_and_not_refused(tmp_path: Path) -> None:
    rows = [
        f"{TRAIN[0]},train,benign",
        f"{TRAIN[0]}.png,train,benign",
        f"{TRAIN[0]},test,malignant",
        f"{TEST[1]},test,malignant",
    ]
    rows += ["readme.md,train,", f"{TRAIN[1]},train,benign", f"{TEST[0]},pool,benign"]
    found = splits.read(write(tmp_path, {"a.csv": "\n".join(["image,set,label", *rows])}))
    assert sets(found) == {"train": TRAIN[:2], "test": [TRAIN[0], TEST[1]]}
    assert found.unknown == ["readme.md"]
    assert found.splits[0].repeated == 1
    assert [place.rpartition(", ")[2] for place in found.contradictions] == ["line 4"]
    assert "a.csv: left out 1 rows whose set is not train, val or test." in found.notes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name_column": "nme"}, "there is no column 'nme'"),
        ({"set_column": "image"}, "expected train, val or test"),
        ({"dataset": "camelyon"}, "not known by name"),
        ({"patient": "("}, "neither a column nor a regular expression"),
        ({"dataset": "bach"}, "none of its 5 names is an image of bach"),
    ],
)
def test_a_wrong_option_is_refused(options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(HistoBenchError, match=message):
        splits.read(write(tmp_path, FORMS["a table"]), Options(**options))


def test_unknown_patients_of_training_images_are_said(tmp_path: Path) -> None:
    found = splits.read(write(tmp_path, {"bach.csv": "image,set\niv001,train\nb032,train\nb036,test\niv002,test\n"}))
    (section,) = split_findings.sections(found)
    assert section.sentences[1] == (
        "By patient: no test image has the patient of a training image. "
        "The patient of 1 test image and 1 training image is not known."
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_cannot_be_read_is_not_left_out(tmp_path: Path) -> None:
    write(tmp_path, {f"train/{TRAIN[0]}.png": "", f"test/{TEST[0]}.png": "", f"test/more/{TEST[1]}.png": ""})
    (tmp_path / "test/more").chmod(0)
    with pytest.raises(HistoBenchError, match="test/more: cannot be read"):
        splits.read([tmp_path])


def test_names_of_folds_with_and_without_their_word_are_one(tmp_path: Path) -> None:
    rows = f"{TRAIN[0]},fold_1\n{TRAIN[1]},1.0\n{TEST[0]},fold 2\n"
    found = splits.read(write(tmp_path, {"a.csv": f"image,fold\n{rows}"}))
    assert [split.title for split in found.splits] == ["fold 1", "fold 2"]
    assert sets(found) == {"train": [TEST[0]], "test": TRAIN[:2]}


def test_unknown_patients_have_no_share_and_images_in_validation_and_test_are_told(tmp_path: Path) -> None:
    (file,) = write(tmp_path, {"s.csv": "image,set,grade\na1,train,0\na2,val,0\na2,test,0\na3,test,1\na4,test,1\n"})
    found = splits.read([file], Options(patient=r"P(\d+)", label="grade"))
    (section,) = split_findings.sections(found, [])
    assert "Certain: of 3 test images, 1 (33.3 %) are also validation images." in section.sentences
    assert any("1 group of class 0, the fewest" in text for text in section.sentences)
    shares = next(one for one in section.tables if one.name == "overlaps")
    assert {row[-1] for row in shares.rows} == {None}
    bare = splits.read([file], Options(patient=r"P(\d+)"))
    assert "composition" not in {one.name for one in split_findings.sections(bare, [])[0].tables}
