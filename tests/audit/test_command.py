"""The command: what it prints and writes, how it ends, and files that cannot be audited."""

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from histobench.audit import __main__ as command
from histobench.audit import audit_arguments, regular_expressions, split_figures, splits, text_files

ROOT = Path(__file__).parents[2]
A, B, C = "SOB_B_A-14-22549AB-40-001", "SOB_B_A-14-22549CD-40-001", "SOB_M_DC-14-2523-100-001"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["audit", *map(str, arguments)])
    try:
        command.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_the_findings_are_printed_and_written(tmp_path, monkeypatch, capsys) -> None:
    file = tmp_path / "my <split>.csv"
    file.write_text(
        f"image,set\n{A},train\n{B},test\n{A},test\nSOB_M_DC-14-13412-200-012,train\nSOB_M_LC-14-13412-200-011,test\n"
    )
    assert run(monkeypatch, "--split", file, "--output", tmp_path / "out") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert (
        "Certain: of 3 test images, 1 (33.3 %) are also training images, 2 (66.7 %) are of a slide with training images "
        "and 1 have the pixels of a training image that has another diagnosis." in printed
    )
    assert "Strict reading: of 3 test images, all have the accession number of a training image, and may be " in printed
    assert "does not prove that scores are inflated" in printed
    written = json.loads((tmp_path / "out/audit.json").read_text())
    (section,) = written["sections"]
    assert section["data"]["overlaps"]["test"]["all"] == {
        **{"images": 3, "image": 1, "twin": 1, "namesake": 0, "slide": 2, "accession": 3, "known": 3}
    }
    page = (tmp_path / "out/audit.html").read_text()
    assert "my &lt;split&gt;.csv" in page
    assert "<split>" not in page
    assert page.count("data:image/svg+xml;base64,") == 1
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_a_clean_split_is_said_to_be_clean(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "a.csv").write_text(f"image,set\n{A},train\n{C},test\n")
    assert run(monkeypatch, "--split", tmp_path / "a.csv", "--output", tmp_path / "out") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Certain: test and training images have no image, pixels or slide in common" in printed
    assert "no test image has the accession number of a training image" in printed
    assert "inflated" not in printed


def test_several_splits_in_one_audit(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "a.csv").write_text(f"image,set\n{A},train\n{C},test\n")
    arguments = ["--split", tmp_path / "a.csv", "--split", "official", "--output", tmp_path / "out"]
    assert run(monkeypatch, *arguments) == 0
    titles = [section["title"] for section in json.loads((tmp_path / "out/audit.json").read_text())["sections"]]
    assert titles[:2] == ["Split: a.csv", "All 5 folds: official folds of BreakHis"]
    assert "1,095 of 7,909 images are never evaluated" in " ".join(capsys.readouterr().out.split())


SCORES = {A: 0.2, "SOB_B_F-14-14134-40-001": 0.6, C: 0.9, "SOB_M_DC-14-5695-40-001": 0.7}


def predictions(folder: Path, form: str) -> Path:
    file = folder / f"scores.{form}"
    file.write_text(
        json.dumps(SCORES)
        if form == "json"
        else "image,score\n" + "".join(f"{name}.png,{score}\n" for name, score in SCORES.items())
    )
    return file


@pytest.mark.parametrize("form", ["csv", "json"])
def test_predictions_with_the_split_that_they_were_made_on(form, tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "a.csv").write_text(f"image,set\n{B},train\n" + "".join(f"{name},test\n" for name in SCORES))
    arguments = ["--predictions", predictions(tmp_path, form), "--split", tmp_path / "a.csv", "--draws", 200]
    more = ["--printed", "accuracy=0.75", "recall=0.9", "--output", tmp_path / "out"]
    assert run(monkeypatch, *arguments, *more) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Accuracy is 0.7500" in printed
    assert "the accession number of 25.0 % trains (50.0 % of benign ones, 0.0 % of malignant ones)" in printed
    assert "1 of 2 printed scores are not those of the predictions" in printed
    first, second = json.loads((tmp_path / "out/audit.json").read_text())["sections"]
    assert (first["title"], second["title"]) == ("Split: a.csv", "Predictions of scores")
    assert second["data"]["scores"]["accuracy"]["estimate"] == 0.75
    page = (tmp_path / "out/audit.html").read_text()
    assert "Predictions of scores" in page
    assert page.count("data:image/svg+xml;base64,") == 3


def test_a_printed_table_with_options_and_in_make(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "t.csv").write_text("model,accuracy,precision,recall\nA,0.950,0.900,0.900\n")
    arguments = ["--table", tmp_path / "t.csv", "--positives", 100, "--negatives", 100, "--output", tmp_path / "out"]
    assert run(monkeypatch, *arguments) == 0
    assert "1 of 1 rows are impossible as printed" in capsys.readouterr().out
    (tmp_path / "o.yaml").write_text("positives: 100\nnegatives: 300\n")
    monkeypatch.setenv("TABLE", str(tmp_path / "t.csv"))
    environment = ["--from-environment", "--table-options", tmp_path / "o.yaml", "--output", tmp_path / "out"]
    assert run(monkeypatch, *environment) == 0
    assert "No contradiction was found in 1 rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--foo"], "unrecognized arguments: --foo"),
        (["--split", ""], "the name of a file is empty"),
        (["--split", "official", "{scores}"], "stands alone"),
        (["--predictions", "no\x1b[31m\nsuch"], r"no\x1b[31m\nsuch: there is no such file"),
        (["--others", "some"], "invalid choice: 'some'"),
        (["--predictions", "absent.csv"], "absent.csv: there is no such file"),
        (["--table", "absent.csv"], "absent.csv: there is no such file"),
        (["--predictions", "{scores}", "--printed", "accuracy"], "--printed 'accuracy' has no ="),
        (["--predictions", "{scores}", "--printed", "accuracy=1", "accuracy=1"], "repeats a score"),
        (["--predictions", "{scores}", "--printed", "accuracy=high"], "printed accuracy is 'high'"),
        (["--predictions", "{scores}", "--printed", "speed=1"], "printed score 'speed' is unknown"),
        (["--predictions", "{scores}", "--draws", "3"], "draws is 3, expected 100 to 100,000"),
        (["--predictions", "{scores}", "--draws", "99999999"], "expected 100 to 100,000"),
        (["--predictions", "{scores}", "--threshold", "nan"], "the threshold is nan, expected 0 to 1"),
        (["--predictions", "{scores}", "--threshold", "7"], "the threshold is 7, expected 0 to 1"),
        (["--predictions", "{scores}", "--score-column", "p"], "there is no column 'p'"),
        (["--predictions", "{scores}", "{scores}"], "is given twice"),
        (["--table", "{scores}", "--test", "t"], "options of the table: test"),
        (["--table", "{scores}"], "no column is a score"),
        (["--split", "official", "--dataset", "x", "--table", "{scores}"], "options of the table: dataset"),
        (["--table", "{scores}", "--table-options", "absent.yaml"], "absent.yaml: there is no such file"),
    ],
)
def test_options_that_cannot_be_used_are_one_sentence(arguments, words, tmp_path, monkeypatch, capsys) -> None:
    given = [str(predictions(tmp_path, "csv")) if text == "{scores}" else text for text in arguments]
    assert run(monkeypatch, *given, "--output", tmp_path / "out") == 2
    told = capsys.readouterr()
    assert words in told.err
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    assert told.out == ""
    assert not (tmp_path / "out").exists()


def test_make_passes_names_with_spaces_and_quotes(tmp_path, monkeypatch) -> None:
    odd = tmp_path / "my 'list' $(x).csv"
    odd.write_text(f"image,set\n{A},train\n{C},test\n")
    monkeypatch.setenv("SPLIT", str(odd))
    assert audit_arguments.parsed(["--from-environment"]).split == [[str(odd)]]
    monkeypatch.setenv("SPLIT", "a.csv 'b c.csv'")
    assert audit_arguments.parsed(["--from-environment"]).split == [["a.csv", "b c.csv"]]
    monkeypatch.setenv("SPLIT", "a.csv -b.csv")
    assert audit_arguments.parsed(["--from-environment"]).split == [["a.csv", "./-b.csv"]]
    monkeypatch.setenv("SPLIT", "")
    assert audit_arguments.parsed(["--from-environment"]).split == []


def test_help_and_what_is_loaded() -> None:
    code = "import sys; sys.argv = ['audit', '--help']\nimport histobench.audit.__main__ as c\ntry: c.main()\nexcept SystemExit: pass\n"
    code += (
        "import histobench.audit.split_figures as figures\n"
        "assert not {'torch', 'matplotlib', 'pydantic', 'pandas', 'sklearn', 'scipy.stats'} & set(sys.modules)\n"
        "import histobench.report.figures.style as style\nassert 'torch' not in sys.modules\n"
        "assert tuple(figures.COLOURS.values()) == style.COLOURS[:4]\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "--split FILE" in ended.stdout


GOOD = f"image,set\n{A},train\n{C},test\n"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01"
MALFORMED: dict[str, tuple[dict[str, bytes | str], str]] = {
    "empty": ({"a.csv": b""}, "is empty"),
    "only spaces": ({"a.csv": " \n\r\n\t\n"}, "is empty"),
    "only a byte order mark": ({"a.csv": b"\xef\xbb\xbf\n"}, "is empty"),
    "a header alone": ({"a.csv": "image,set\n"}, "has a header and no rows"),
    "a picture": ({"a.csv": PNG}, "is not text"),
    "a zip archive": ({"a.csv": b"PK\x03\x04\x14\0\0\0\x08\0"}, "is not text"),
    "a spreadsheet": ({"a.xlsx": b"PK\x03\x04\x14\0\x06\0\x08\0"}, "export it as CSV"),
    "a pickle": ({"a.pkl": b"\x80\x04\x95\x10\0\0\0\0\0\0\0}\x94."}, "is not text"),
    "binary without zeros": ({"a.csv": bytes(range(1, 32)) * 40}, "is not text"),
    "UTF-16 without its mark": ({"a.csv": GOOD.encode("utf-16-le")}, "is not text"),
    "half a UTF-16 letter": ({"a.csv": b"\xff\xfeabc"}, "is not text"),
    "a wrong delimiter": ({"a.csv": GOOD.replace(",", "~")}, "which names train and which evaluate"),
    "no set column": ({"a.csv": f"image,label\n{A},0\n{C},1\n"}, "which names train and which evaluate"),
    "sets with unknown names": ({"a.csv": f"image,split\n{A},alpha\n{C},beta\n"}, "expected train, val or test"),
    "two columns of sets": ({"a.csv": f"image,x,y\n{A},train,test\n{C},test,train\n"}, "--set-column"),
    "one set only": ({"a.csv": f"image,set\n{A},train\n{C},train\n"}, "holds only the set train"),
    "no training set": ({"a.csv": f"image,set\n{A},val\n{C},test\n"}, "expected train too"),
    "one fold only": ({"a.csv": f"image,fold\n{A},1\n{C},1\n"}, "holds only the set test"),
    "one list only": ({"train.txt": f"{A}\n{C}\n"}, "holds only the set train"),
    "names of another dataset": ({"a.csv": "image,set\nx1.png,train\nx2.png,test\n"}, "--patient"),
    "no names": ({"a.csv": "a,b\n1,2\n3,4\n"}, "no column holds names"),
    "no names in a list": ({"train.txt": "hello\nworld\n"}, "no line is the name"),
    "prose": ({"a.txt": "We split the data at random.\nThe code is available, on request.\n"}, "."),
    "a key twice in JSON": ({"a.json": f'{{"train": ["{A}"], "train": ["{C}"], "test": ["{B}"]}}'}, "'train' is there twice"),
    "a key twice in YAML": ({"a.yaml": f"train: [{A}]\ntrain: [{C}]\ntest: [{B}]\n"}, "'train' is there twice"),
    "3,000 lists in YAML": ({"a.yaml": "[" * 3000 + "a" + "]" * 3000}, "nested too deeply"),
    "broken JSON": ({"a.json": '{"train": ["a"'}, "cannot be read as JSON"),
    "empty JSON": ({"a.json": "{}"}, "holds no names"),
    "a JSON number": ({"a.json": "3"}, "no"),
    "JSON that nests deeply": ({"a.json": "[" * 100_000}, "."),
    "JSON of many levels": ({"a.json": '{"a":' * 12 + '"x"' + "}" * 12}, "nested too deeply"),
    "broken YAML": ({"a.yaml": "train: [a\ntest: b"}, "cannot be read as YAML"),
    "YAML that makes objects": ({"a.yaml": "!!python/object/apply:os.system ['touch x']"}, "cannot be read as YAML"),
    "YAML with aliases": ({"a.yaml": "a: &a [x, x]\ntrain: [*a, *a]\n"}, "aliases"),
    "a cell of a million letters": ({"a.csv": f"image,set\n{A},train\n{'x' * 1_000_000},test\n"}, "cannot be read as a table"),
    "an open quote": ({"a.csv": "image,set\n\"" + f"{A},train\n" * 20_000}, "."),
    "no such file": ({}, "there is no such file"),
    "HTML in place of the file": ({"a.csv": "<!DOCTYPE html>\n<html><body>404</body></html>\n"}, "no"),
    "an LFS pointer": ({"a.csv": "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n"}, "no"),
    "a name with a NUL": ({"a.csv": f"image,set\n{A}\0,train\n"}, "is not text"),
    "slides that do not exist": ({"train.txt": "99999A\n99998\n", "test.txt": "99997\n"}, "no"),
    "a set that no image has": ({"a.csv": f"image,set\nfoo,train\n{C},test\n{A},test\n"}, "holds only the set test"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_ends_with_one_sentence(case, tmp_path, monkeypatch, capsys) -> None:
    contents, message = MALFORMED[case]
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    files = [tmp_path / name for name in contents] or [tmp_path / "missing.csv"]
    assert run(monkeypatch, "--split", *files, "--output", tmp_path / "out") == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    assert len(told.err) < 700
    assert message in told.err
    assert not (tmp_path / "out").exists()


def test_more_files_than_the_limit_allows_and_other_kinds_of_files(tmp_path, monkeypatch, capsys) -> None:
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(2 * 2**30)  # sparse: it takes no space, and is not read
    assert run(monkeypatch, "--split", tmp_path / "huge.csv") == 2
    assert "has 2,147 MB" in capsys.readouterr().err
    os.mkfifo(tmp_path / "pipe")
    assert run(monkeypatch, "--split", tmp_path / "pipe") == 2
    assert "no regular file" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert run(monkeypatch, "--split", tmp_path / "empty") == 2
    assert "holds no image files" in capsys.readouterr().err
    assert run(monkeypatch) == 2
    assert "nothing to audit" in capsys.readouterr().err
    assert text_files.MAX_BYTES < 2**30


def test_latin_1_is_read_and_said(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "a.csv").write_bytes(f"image,set,note\n{A},train,é\n{C},test,\n".encode("latin-1"))
    assert run(monkeypatch, "--split", tmp_path / "a.csv", "--output", tmp_path / "out") == 0
    assert "was read as Latin-1" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "a.csv").write_text(GOOD)
    (tmp_path / "file").write_text("")
    assert run(monkeypatch, "--split", tmp_path / "a.csv", "--output", tmp_path / "file" / "out") == 2
    assert capsys.readouterr().err.count("\n") == 1


LONG = "image,set,case\n" + "".join(f"{'a' * 40}{n}!.png,{'train' if n % 2 else 'test'},{n}\n" for n in range(6))
FOLDS = "image,fold,case\n" + "".join(f"{n}.png,{n},{n}\n" for n in range(300))
BACH = "image,set\nb001.tif,train\nb002.tif,test\n"
REFUSED = {
    "an expression that takes years": (LONG, ["--patient", "(a+)+$"], "takes more than"),
    "the same for the class": (LONG, ["--patient", "case", "--class", "(a|aa)+$"], "takes more than"),
    "too large a repetition": (LONG, ["--patient", "a{99999999999}"], "nor a regular expression"),
    "too many parentheses": (LONG, ["--patient", "(" * 3000 + ")" * 3000], "nor a regular expression"),
    "magnifications of BACH": (BACH, ["--magnifications", "40"], "are for BreakHis"),
    "subtypes of BACH": (BACH, ["--subtypes", "A"], "are for BreakHis"),
    "a column of names as folds": (FOLDS, ["--patient", "case"], "has 300 folds"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_option_that_cannot_be_meant_ends_with_one_sentence(case, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(regular_expressions, "SECONDS", 0.1)
    content, options, message = REFUSED[case]
    (tmp_path / "a.csv").write_text(content)
    assert run(monkeypatch, "--split", tmp_path / "a.csv", *options, "--output", tmp_path / "out") == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert message in told.err
    assert not (tmp_path / "out").exists()


def test_a_name_that_no_file_can_have_and_a_page_that_is_a_folder(tmp_path, monkeypatch, capsys) -> None:
    assert run(monkeypatch, "--split", "x" * 5000) == 2
    assert "File name too long" in capsys.readouterr().err
    (tmp_path / "a.csv").write_text(GOOD)
    (tmp_path / "out/audit.html").mkdir(parents=True)
    assert run(monkeypatch, "--split", tmp_path / "a.csv", "--output", tmp_path / "out") == 2
    assert "audit.html: cannot be written (Is a directory)" in capsys.readouterr().err


def test_names_do_not_reach_terminal_and_page_as_commands(tmp_path, monkeypatch, capsys) -> None:
    odd = tmp_path / os.fsdecode(b"a\n\x1b[31m\xff.csv")
    rows = "".join(f"{n:0100}.png,{side},<b>x\x1b[2J,{n // 3}\n" for n, side in enumerate(["train", "test"] * 9))
    odd.write_text(f"image,set,kind,case\n{rows}")
    options = ["--patient", "case", "--class", "kind"]
    assert run(monkeypatch, "--split", odd, *options, "--output", tmp_path / "out") == 0
    printed = capsys.readouterr().out
    assert "Split: a\\n\\x1b[31m\\udcff.csv\n" in printed
    assert "\x1b" not in printed
    page = (tmp_path / "out/audit.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;x" in page
    assert "<b>x" not in page
    assert json.loads((tmp_path / "out/audit.json").read_text(encoding="utf-8"))["files"] == [str(odd)]
    (figure,) = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", page)
    drawn = ElementTree.fromstring(base64.b64decode(figure))
    assert "test <b>x\\x1b[2J" in [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]


def test_a_class_may_be_called_all(tmp_path, monkeypatch) -> None:
    (tmp_path / "a.csv").write_text("image,set,kind,case\n1.png,train,all,1\n2.png,test,all,1\n3.png,test,x,3\n")
    options = ["--patient", "case", "--class", "kind"]
    assert run(monkeypatch, "--split", tmp_path / "a.csv", *options, "--output", tmp_path / "out") == 0
    (section,) = json.loads((tmp_path / "out/audit.json").read_text())["sections"]
    assert section["tables"]["overlaps"]["rows"] == [
        ["test", "train", "all", 2, 0.0, 0.5],
        ["test", "train", "all", 1, 0.0, 1.0],
        ["test", "train", "x", 1, 0.0, 0.0],
    ]
    assert section["data"]["overlaps"]["test"]["all"]["images"] == 2


def test_bars_are_as_long_as_the_shares(tmp_path) -> None:
    (tmp_path / "a.csv").write_text(f"image,set\n{A},train\n{B},test\n{C},test\n{A},test\n")
    ((_, svg),) = split_figures.shares(splits.read([tmp_path / "a.csv"]))
    bars = [
        one for one in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}rect") if one.get("height") == "11"
    ]
    widths = {
        colour: [float(bar.get("width") or 0) for bar in bars if bar.get("fill") == colour]
        for colour in dict.fromkeys(str(bar.get("fill")) for bar in bars)
    }
    image, slide, accession = widths.values()  # no twin; rows: all, benign, malignant
    assert accession[0] / accession[1] == pytest.approx(2 / 3, abs=0.001)
    assert image[0] / accession[1] == pytest.approx(1 / 3, abs=0.001)
    assert image[1] / accession[1] == pytest.approx(1 / 2, abs=0.001)
    assert slide == image
    assert accession[2] == 0
