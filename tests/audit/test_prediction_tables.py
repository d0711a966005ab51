"""What tables of predictions say, in the forms that people write, and what is refused with one sentence."""

import json
from pathlib import Path

import pytest

from histobench.audit.class_names import class_of
from histobench.audit.prediction_tables import Columns, Prediction, Reading, read
from histobench.audit.table_text import number
from histobench.io.errors import HistoBenchError

BENIGN, MALIGNANT = "SOB_B_A-14-22549AB-40-001", "SOB_M_DC-14-2523-40-010"


def rows(path: Path, text: str | bytes, **how) -> list[Prediction]:
    """Return the predictions of a file with this content."""
    return read(written(path, text), Reading(**how)).rows and [
        one for *_, one in read(path / "p.csv", Reading(**how)).rows
    ]


def written(path: Path, text: str | bytes) -> Path:
    file = path / "p.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


@pytest.mark.parametrize(
    "text",
    [
        f"image,score\n{BENIGN}.png,0.25\n{MALIGNANT}.png,0.75\n",
        f"image;score\r\nC:\\data\\{BENIGN}.png;0,25\r\n/home/x/{MALIGNANT}.png;0,75\r\n",
        f"Img. name\tBenign\tMalignant\n{BENIGN}\t21\t7\n{MALIGNANT}\t7\t21\n",
        f"filename,prob_benign,prob_malignant,label\n{BENIGN},0.75,0.25,benign\n{MALIGNANT},0.25,0.75,malignant\n",
        f"p_malignant,y_true,path\n0.25,0,a/{BENIGN}.png\n0.75,1,a/{MALIGNANT}.png\n",
        f"image,benign\n{BENIGN},0.75\n{MALIGNANT},0.25\n",
        f"image,prediction\n{BENIGN},0.25\n{MALIGNANT},0.75\n",
        f"{BENIGN}.png 0.25\n{MALIGNANT}.png 0.75\n",
        f"image,class_0,class_1\n{BENIGN},3,1\n{MALIGNANT},1,3\n",
        f"image,A,DC,LC\n{BENIGN},0.75,0.15,0.1\n{MALIGNANT},0.25,0.7,0.05\n",
        # 1 is benign in this file, by the names, so that its score is that of benign.
        f"image,score,label\n{BENIGN},0.75,1\n{MALIGNANT},0.25,0\n",
        f"image,score\n{BENIGN},25%\n{MALIGNANT},75%\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_forms_of_the_same_scores(text: str, encoding: str, tmp_path: Path) -> None:
    first, second = rows(tmp_path, text.encode(encoding))
    assert (first.image.image, first.label, first.called, first.score) == (BENIGN, 0, False, pytest.approx(0.25))
    assert (second.image.image, second.label, second.called, second.score) == (MALIGNANT, 1, True, pytest.approx(0.75))


@pytest.mark.parametrize(
    "classes",
    [("benign", "malignant"), ("0", "1"), ("B", "M"), ("0.0", "1.0"), ("A", "PC"), ("adenosis", "ductal_carcinoma")],
)
def test_predicted_classes_have_no_score(classes: tuple[str, str], tmp_path: Path) -> None:
    text = f"image,predicted\n{BENIGN},{classes[1]}\n{MALIGNANT},{classes[0]}\n"
    assert [(one.called, one.score) for one in rows(tmp_path, text)] == [(True, None), (False, None)]
    # A column of scores that holds only classes is one of classes.
    found = read(written(tmp_path, f"image,score\n{BENIGN},1\n{MALIGNANT},0\n"))
    assert (found.kind, [one.called for *_, one in found.rows]) == ("", [True, False])


def test_a_tie_of_votes_counts_as_benign(tmp_path: Path) -> None:
    found = read(written(tmp_path, f"image,Benign,Malignant\n{BENIGN},14,14\n{MALIGNANT},13,15\n"))
    assert [(one.called, one.tie, one.score) for *_, one in found.rows] == [(False, True, 0.5), (True, False, 15 / 28)]
    assert (found.kind, found.votes) == ("shares of votes", "28 votes an image")
    # A probability of 0.5 is malignant, as everywhere in HistoBench.
    assert [one.called for one in rows(tmp_path, f"image,score\n{BENIGN},0.5\n{MALIGNANT},0.4999\n")] == [True, False]


def test_thresholds_logits_and_predicted_classes(tmp_path: Path) -> None:
    text = f"image,score\n{BENIGN},0.6\n{MALIGNANT},0.8\n"
    assert [one.called for one in rows(tmp_path, text, threshold=0.7)] == [False, True]
    text = f"image,score\n{BENIGN},-3.5\n{MALIGNANT},12\n"
    assert [(one.called, one.score) for one in rows(tmp_path, text, scale="logit")] == [(False, -3.5), (True, 12)]
    text = f"image,benign,malignant\n{BENIGN},2,-1.5\n{MALIGNANT},0,12\n"
    assert [(one.called, one.score) for one in rows(tmp_path, text, scale="logit")] == [(False, -3.5), (True, 12)]
    # The predicted class goes before the score.
    text = f"image,score,predicted\n{BENIGN},0.6,0\n{MALIGNANT},0.8,1\n"
    assert [(one.called, one.score) for one in rows(tmp_path, text)] == [(False, 0.6), (True, 0.8)]


def test_other_datasets_by_columns(tmp_path: Path) -> None:
    text = "slide,case,diagnosis,out,junk\ns1.svs,P1,tumour,0.9,x\ns2.svs,P2,healthy,0.2,y\n"
    columns = Columns(name="slide", label="diagnosis", score="out")
    found = read(written(tmp_path, text), Reading(columns, patient="case", positive="tumour"))
    assert [(one.image.image, one.image.accession, one.label) for *_, one in found.rows] == [
        ("s1.svs", "P1", 1),
        ("s2.svs", "P2", 0),
    ]
    assert "not used: case, junk" in found.warnings[0]


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    text = f"image,score\n{BENIGN},0.1\n{BENIGN}.png,0.1\nmean,0.5\n{MALIGNANT},0.9\nSOB_M_DC-14-2523-40-999,0.9\n"
    found = read(written(tmp_path, text))
    assert [one.image.image for *_, one in found.rows] == [BENIGN, MALIGNANT, "SOB_M_DC-14-2523-40-999"]
    told = " ".join(found.warnings)
    assert "1 lines repeat" in told
    assert "1 names are not of official images" in told
    assert "first is line 4" in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", "is not text"),
        (b"\x80\x04\x95\0\0pickle", "is not text"),
        (b"PK\x03\x04\0\0\0", "is not text"),
        (b"image,score\n", "no row below it"),
        (b"image\nSOB_B_A-14-22549AB-40-001\n", "1 column"),
        (b",,,\n,,,\n", "no line with a value"),
        (f"image,score\n{BENIGN},nan\n".encode(), "line 2: score is 'nan', expected a finite number"),
        (f"image,score\n{BENIGN},inf\n".encode(), "expected a finite number"),
        (f"image,score\n{BENIGN},\n{MALIGNANT},0.4\n{MALIGNANT},0.3\n".encode(), "score is ''"),
        (f"image,score\n{BENIGN},1e9999\n".encode(), "expected a finite number"),
        (f"image,score\n{BENIGN},1.7\n".encode(), "outside 0 to 1"),
        (f"image,score\n{BENIGN},-0.1\n".encode(), "outside 0 to 1"),
        (f"image,score\n{BENIGN},0.1\n{BENIGN},0.2\n".encode(), "lines 2 and 3"),
        (f"image,score,label\n{BENIGN},0.1,malignant\n{MALIGNANT},0.2,malignant\n".encode(), "contradicts the name"),
        (f"image,score,label\n{BENIGN},0.1,1\n{MALIGNANT},0.2,1\n".encode(), "1 of 2"),
        (f"image,benign,malignant\n{BENIGN},0,0\n".encode(), "sum above 0"),
        (f"image,benign,malignant\n{BENIGN},-1,3\n".encode(), "at least 0"),
        (f"image,predicted\n{BENIGN},maybe\n".encode(), "the predicted class is 'maybe'"),
        (f"image,score\n{BENIGN},0.1,7\n".encode(), "line 2: has 3 values"),
        (f"image,score,Score\n{BENIGN},0.1,0.2\n".encode(), "two columns are named"),
        (f"image,colour,size\n{BENIGN},red,3\n".encode(), "no column holds scores"),
        (b"image,score\na.png,0.1\n", "are not those of BreakHis"),
        (b"colour,score\nred,0.1\n", "no column holds image names"),
        (b"image,score\nSOB_M_A-14-22549AB-40-001,0.2\n", "has a letter for the class that its subtype contradicts"),
        (b"image,score\n\"" + b"x" * 200_000, "cannot be read as a table"),
    ],
)  # fmt: skip
def test_faults_are_one_sentence(text: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(HistoBenchError) as told:
        read(written(tmp_path, text))
    message = str(told.value)
    assert words in message
    assert message.startswith(str(tmp_path / "p.csv"))
    assert "\n" not in message
    assert len(message) < 700 + len(str(tmp_path))


def test_other_faults(tmp_path: Path) -> None:
    with pytest.raises(HistoBenchError, match="is a folder"):
        read(tmp_path)
    with pytest.raises(HistoBenchError, match="no such file"):
        read(tmp_path / "absent.csv")
    file = written(tmp_path, f"image,score\n{BENIGN},0.1\n")
    with pytest.raises(HistoBenchError, match="there is no column 'logits'"):
        read(file, Reading(Columns(score="logits")))
    with file.open("wb") as large:
        large.truncate(2 * 2**30)  # sparse
    with pytest.raises(HistoBenchError, match="MB"):
        read(file)


@pytest.mark.parametrize(
    ("text", "value"), [("0.5", 0.5), ("0,5", 0.5), ("1e-3", 0.001), (".5", 0.5), ("97%", 0.97), ("1_000", None), ("", None), ("٣", None)]
)  # fmt: skip
def test_numbers(text: str, value: float | None) -> None:
    assert number(text) == (value if value is None else pytest.approx(value))


def test_names_of_classes() -> None:
    assert [class_of(text) for text in ("Benign", " M ", "phyllodes_tumor", "Phyllodes", "lobular carcinoma", "InSitu", "normal")] == [
        0, 1, 0, 0, 1, 1, 0,
    ]  # fmt: skip
    assert [class_of(text) for text in ("", "2", "maybe")] == [None] * 3
    assert [class_of(text, "tumour") for text in ("Tumour", "healthy", "")] == [1, 0, None]


@pytest.mark.parametrize(
    "content",
    [
        {"image": [BENIGN, MALIGNANT], "fold": [1, 1], "score": [0.25, 0.75]},
        {"1": {BENIGN: 0.25, MALIGNANT: 0.75}},
        {"net": {"1": {BENIGN: 0.25, MALIGNANT: 0.75}}},
    ],
)
def test_forms_of_json(content: dict, tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    file.write_text(json.dumps(content))
    assert [(fold, one.image.image, one.score) for _, fold, one in read(file).rows] == [
        ("1", BENIGN, 0.25),
        ("1", MALIGNANT, 0.75),
    ]
    assert {method for method, *_ in read(file).rows} == {"net" if "net" in content else ""}
