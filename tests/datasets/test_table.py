"""The user's own datasets: tables and class folders, valid and invalid."""

import io
import re
import unicodedata

import numpy as np
import PIL.Image
import pytest

from histobench.datasets import folds, table
from histobench.io.errors import HistoBenchError
from tests.datasets.standin import png, write_files

CLASSES = {"healthy": "benign", "carcinoma": "malignant"}


def image(number: int) -> bytes:
    return png(np.full((6, 8, 3), number, np.uint8))


FILES = {f"case{n}/{n}.png": image(n) for n in range(6)}
ROWS = [f"case{n}/{n}.png,{'healthy' if n < 3 else 'carcinoma'},P{n}" for n in range(6)]


@pytest.fixture
def write(tmp_path):
    def write(lines, header="path,label,patient", files=FILES):
        write_files(tmp_path / "images", files.items(), "folder")
        (tmp_path / "images.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8-sig")
        return tmp_path / "images", tmp_path / "images.csv"

    return write


def read(source, listing, classes=CLASSES):
    return table.read_table(source, listing, classes, workers=2)


def test_a_table(write) -> None:
    images = read(*write(ROWS, files=FILES | {"notes.txt": b"", "unlisted.png": b"never opened"}))
    assert [(i.image_id, i.label, i.subtype, i.patient, i.accession, i.magnification) for i in images] == [
        (f"case{n}/{n}", *(("benign", "healthy") if n < 3 else ("malignant", "carcinoma")), f"P{n}", f"P{n}", 0)
        for n in range(6)
    ]
    assert {(i.width, i.height) for i in images} == {(8, 6)}


def test_columns_that_are_not_read_may_have_any_names(write) -> None:
    lines = [f"{number},{row},,," for number, row in enumerate(ROWS)]
    assert len(read(*write(lines, ",path,label,patient,age,age,"))) == len(ROWS)


@pytest.mark.parametrize(
    ("delimiter", "encoding", "newline"),
    [(";", "utf-8", "\r\n"), ("\t", "utf-16", "\r\n"), (",", "utf-8-sig", "\r"), (";", "utf-16", "\n")],
)
def test_a_table_as_spreadsheets_write_it(write, delimiter, encoding, newline) -> None:
    source, listing = write([])
    lines = [" Path,Label,PATIENT ", *ROWS]
    listing.write_bytes(newline.join(line.replace(",", delimiter) for line in lines).encode(encoding))
    assert [image.patient for image in read(source, listing)] == [f"P{number}" for number in range(6)]


def test_its_optional_columns(write) -> None:
    header = "patient,accession,path,label,magnification,subtype,remark"
    lines = [f"P{n},A{n // 2},case{n}/{n}.png,{'healthy' if n < 3 else 'carcinoma'},200,,x" for n in range(5)]
    lines.append("P5,,case5/5.png,carcinoma,,ductal,x")
    images = read(*write(lines, header))
    rows = {i.image_id: i for i in images}
    assert [(rows[f"case{n}/{n}"].accession, rows[f"case{n}/{n}"].magnification) for n in (0, 1, 4, 5)] == [
        *(("A0", 200), ("A0", 200), ("A2", 200), ("P5", 0))
    ]
    assert (rows["case4/4"].subtype, rows["case5/5"].subtype) == ("carcinoma", "ductal")
    assert (images[0].image_id, images[0].magnification) == ("case5/5", 0)  # manifest order
    # What a split by accession never divides: patients 0 and 1, 2 and 3.
    assert [folds.group_of(rows[f"case{n}/{n}"], "accession") for n in range(6)] == ["A0", "A0", "A1", "A1", "A2", "P5"]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("case5/5.png,carcinoma", "has more or fewer values than the header's 3 columns"),
        ("case5/5.png,carcinoma,P5,x", "has more or fewer values than the header's 3 columns"),
        (",carcinoma,P5", "path is empty"),
        ("case5/5.png,carcinoma,P5\u200b", "patient is 'P5\\u200b', which holds characters that nobody sees"),
        ("case5/5.png,carcinoma,P\u00a05", "patient is 'P\\xa05', which holds characters that nobody sees"),
        ("case5/5.png,carcinoma, ", "patient is empty"),
        ("case5/5.png,cancer,P5", "label is 'cancer', expected healthy or carcinoma"),
        ("../5.png,carcinoma,P5", "path is '../5.png', expected one inside the source"),
        ("/case5/5.png,carcinoma,P5", "expected one inside the source"),
        ("case5\\5.png,carcinoma,P5", "expected one inside the source"),
        (f"{'5' * 9999}.png,carcinoma\\,P5", "label is 'carcinoma\\\\', expected"),
        (
            '"case5/5.png' + "\n6" * 9999 + '",carcinoma,P5',
            "path is 'case5/5.png\\n6\\n6",
        ),  # a quote that ends too late
        ("case5/5.svs,carcinoma,P5", "case5/5.svs has none of the suffixes .png, .tif"),
        ("case4/4.png,carcinoma,P4", "case4/4.png is listed a second time"),
        *(
            (f"case5/5.png,carcinoma,{text}", f"patient is '{text}', which means missing, so that all such images")
            for text in ("nan", "NaN", "NA", "N/A", "None", "null", "<NA>", "?", "-", "Unknown")
        ),
    ],
)
def test_a_bad_row_is_one_sentence(write, row, sentence) -> None:
    with pytest.raises(HistoBenchError) as error:
        read(*write([*ROWS[:5], row]))
    assert sentence in str(error.value)
    assert re.search("images.csv, line (7|10006): ", str(error.value))
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 800


@pytest.mark.parametrize(
    ("header", "row", "sentence"),
    [
        ("path,label,patient,accession", "case5/5.png,carcinoma,P5,nan", "accession is 'nan', which means missing"),
        ("path,label,patient,subtype", "case5/5.png,carcinoma,P5,None", "subtype is 'None', which means missing"),
        ("path,label,patient,magnification", "case5/5.png,carcinoma,P5,20", "magnification is '20', expected 40, 100, 200, 400"),
        ("path,label,patient,accession", "case5/5.png,carcinoma,P0,A9", "patient P0 has accession A9 here and A0 above, expected one"),
        ("path,label,patient,subtype", "case5/5.png,carcinoma,P5,x", "subtype x has label malignant here and benign above, expected one"),
    ],
)  # fmt: skip
def test_bad_optional_columns(write, header, row, sentence) -> None:
    value = {"magnification": "40", "accession": "A0", "subtype": "x"}[header.rpartition(",")[2]]
    with pytest.raises(HistoBenchError, match="line 3: ") as error:
        read(*write([f"{ROWS[0]},{value}", row], header))
    assert sentence in str(error.value)


def test_what_a_table_as_a_whole_must_have(write, tmp_path) -> None:
    for lines, header, sentence in (
        ([f"{row},x" for row in ROWS], "path,label,patient,patient", "two columns are named patient; rename or remove"),
        (ROWS, "path,label,person", "column patient is missing (found: 'path, label, person')"),
        (ROWS, '"pa\nth",label,patient', "column path is missing (found: 'pa\\nth, label, patient')"),
        (ROWS, "[1," + "2," * 9999, "column path is missing (found: '[1, 2, 2, "),  # another kind of file in one line
        ([], "path,label,patient", "lists no image"),
        ([*ROWS, "6.png,healthy,P6"], "path,label,patient", "6.png is not in"),
        (ROWS[:3], "path,label,patient", "all 3 images are benign and none is malignant"),
    ):
        with pytest.raises(HistoBenchError) as error:
            read(*write(lines, header))
        assert sentence in str(error.value)
        assert str(error.value).isprintable()
        assert len(str(error.value)) < 800
    with pytest.raises(HistoBenchError, match="cannot be read as a CSV table"):
        read(tmp_path / "images", tmp_path / "absent.csv")


@pytest.mark.parametrize(
    "names",
    [("p00", "P00"), ("0", "0.0"), ("7", "007"), ("P 1", "P1"), ("P-1", "p_01"), ("\u00c4 1", "\u00e41"), ("P1", "\uff30\uff11")],
)  # fmt: skip
def test_patients_whose_names_are_nearly_equal_are_told(write, capsys, names) -> None:
    rows = [f"case{n}/{n}.png,{'healthy' if n < 3 else 'carcinoma'},{names[n % 2]}" for n in range(6)]
    images = read(*write(rows))
    assert {image.patient for image in images} == set(names)
    (warning,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: "))
    assert all(repr(name) in warning for name in names)
    assert "differ only in case, zeros or punctuation, and count as 2 (such sets of names: 1)" in warning


def test_patients_whose_names_differ_are_not_told(write, capsys) -> None:
    names = ["P1", "P10", "P1-2", "P12", "1", "10"]
    read(*write([f"case{n}/{n}.png,{'healthy' if n < 3 else 'carcinoma'},{names[n]}" for n in range(6)]))
    assert "warning" not in capsys.readouterr().err


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_accented_names_meet_in_either_form(tmp_path, forms) -> None:
    """A table made on Linux, files copied from macOS, or the other way round."""
    table_form, file_form = (lambda text, form=form: unicodedata.normalize(form, text) for form in forms)
    files = {file_form(f"M\u00fcller/{n}_\u00e9.png"): image(n) for n in range(4)}
    rows = [
        table_form(f"M\u00fcller/{n}_\u00e9.png,{'böse' if n else 'gut'},\u00c5{n % 2 if n else 2}") for n in range(4)
    ]
    source = write_files(tmp_path / "images", files.items(), "folder")
    (tmp_path / "images.csv").write_text("\n".join(["path,label,patient", *rows]) + "\n", encoding="utf-8")
    images = read(source, tmp_path / "images.csv", {file_form("b\u00f6se"): "malignant", "gut": "benign"})
    assert sorted(one.patient for one in images) == ["\u00c50", "\u00c51", "\u00c51", "\u00c52"]
    named = table.read_folders(
        write_files(
            tmp_path / "folders", {file_form(f"{n}\u00e4/\u00c5{n}.png"): image(n) for n in (0, 1)}.items(), "zip"
        ),
        {table_form("0\u00e4"): "benign", table_form("1\u00e4"): "malignant"},
        table_form("(\u00c5\\d)"),
        workers=1,
    )
    assert [one.patient for one in named] == ["\u00c50", "\u00c51"]


def test_two_patients_or_classes_with_the_same_pixels(write) -> None:
    twin = FILES | {"case1/1.png": png(np.full((6, 8, 3), 0, np.uint8), text="other bytes")}
    with pytest.raises(HistoBenchError) as error:
        read(*write(ROWS, files=twin))
    assert "case0/0.png (benign, patient P0) and case1/1.png (benign, patient P1) have equal pixels" in str(error.value)
    same_patient = [ROWS[0], "case1/1.png,healthy,P0", *ROWS[2:]]
    assert len(read(*write(same_patient, files=twin))) == 6
    with pytest.raises(HistoBenchError, match="have equal pixels; remove one of them, or correct its label"):
        read(*write([ROWS[0], "case1/1.png,carcinoma,P0", *ROWS[2:]], files=twin))


FOLDERS = {f"set/{name}/P{n}_{k}.png": image(10 * n + k) for n, name in enumerate(["no", "yes"]) for k in range(3)}
FOLDER_CLASSES = {"no": "benign", "yes": "malignant"}


def read_folders(path, files, pattern=r"/(P\d+)_", kind="zip"):
    source = write_files(path / "folders", files.items(), kind)
    return table.read_folders(source, FOLDER_CLASSES, pattern, workers=2)


@pytest.mark.parametrize("kind", ["zip", "folder", "tar.gz"])
def test_class_folders(tmp_path, kind) -> None:
    images = read_folders(tmp_path, FOLDERS | {"set/README": b"", "set/no/._P0_0.png": b""}, kind=kind)
    assert [(i.image_id, i.label, i.subtype, i.patient, i.magnification) for i in images] == [
        *((f"set/no/P0_{k}", "benign", "no", "P0", 0) for k in range(3)),
        *((f"set/yes/P1_{k}", "malignant", "yes", "P1", 0) for k in range(3)),
    ]


@pytest.mark.parametrize(
    ("files", "pattern", "sentence"),
    [
        ({"set/maybe/P9_1.png": image(99)}, r"/(P\d+)_", "set/maybe/P9_1.png: is in no class folder, expected one of no, yes"),
        ({"no/yes/P9_1.png": image(99)}, r"/(P\d+)_", "no/yes/P9_1.png: is in no and yes, expected one of no, yes"),
        ({"set/no/X.png": image(99)}, r"/(P\d+)_", "set/no/X.png: the pattern /(P\\d+)_ finds no patient"),
        ({}, r"/P\d+(x?)_", "finds no patient in this path"),
        ({"set/no/NA_1.png": image(99)}, r"/(P\d+|NA)_", "set/no/NA_1.png: patient is 'NA', which means missing"),
        ({"set/no/P5_1.png": image(0)}, r"/(P\d+)_", "have equal pixels"),
    ],
)  # fmt: skip
def test_bad_folders_are_one_sentence(tmp_path, files, pattern, sentence) -> None:
    with pytest.raises(HistoBenchError) as error:
        read_folders(tmp_path, FOLDERS | files, pattern)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def encoded(kind: str, number: int) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.full((6, 8, 3), number, np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def test_every_kind_of_file_that_is_read_is_found(tmp_path) -> None:
    kinds = {"png": "PNG", "TIF": "TIFF", "tiff": "TIFF", "jpg": "JPEG", "JPEG": "JPEG", "bmp": "BMP", "webp": "WEBP"}
    files = {f"no/P{n}_1.{suffix}": encoded(kind, 20 * n) for n, (suffix, kind) in enumerate(kinds.items())}
    images = read_folders(tmp_path, files | {"yes/P9_1.bmp": encoded("BMP", 200)})
    assert [one.member for one in images] == [*sorted(files), "yes/P9_1.bmp"]


@pytest.mark.parametrize("kind", ["zip", "folder", "tar.gz"])
def test_images_that_are_not_read_are_refused_by_name_and_number(tmp_path, kind) -> None:
    unread = {f"set/yes/P1_{n}.gif": encoded("GIF", n) for n in range(12)} | {"set/scan.svs": b"", "P1_7": image(7)}
    with pytest.raises(HistoBenchError) as error:
        read_folders(tmp_path, FOLDERS | unread | {"set/notes.txt": b"BM, II*, P6", "._x.gif": b""}, kind=kind)
    assert f"images that are not read: {len(unread)} (.gif 12, " in str(error.value)
    assert f"the first is {'P1_7' if kind == 'folder' else 'set/yes/P1_0.gif'}; save them as PNG, TIFF, " in str(
        error.value
    )
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "JPEG2000", "PPM", "AVIF"])
def test_an_image_is_known_by_its_first_bytes_too(tmp_path, kind) -> None:
    with pytest.raises(
        HistoBenchError, match=r"images that are not read: 1 \(\.dat 1\), the first is set/yes/P1_9\.dat; save"
    ):
        read_folders(tmp_path, FOLDERS | {"set/yes/P1_9.dat": encoded(kind, 99)})


def test_one_class_only(tmp_path) -> None:
    with pytest.raises(HistoBenchError, match="all 3 images are malignant and none is benign"):
        read_folders(tmp_path, {name: data for name, data in FOLDERS.items() if "/yes/" in name})
