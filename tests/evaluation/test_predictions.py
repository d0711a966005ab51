from pathlib import Path

import pytest

from histobench.evaluation.predictions import read
from histobench.evaluation.summary import score_run
from histobench.io.errors import HistoBenchError
from histobench.study.runs import Run

HEADER = "image_id,accession,group,fold,label,logit,best_epoch_logit"
GOOD = ["a-1,a,a,2,1,1.5,0.25", "b-1,b,b,2,0,-0.125,1e-3"]


def written(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "predictions.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_reads_what_was_written(tmp_path: Path) -> None:
    found = read(written(tmp_path, *GOOD), 2)
    assert found.image_id == ("a-1", "b-1")
    assert found.group.tolist() == ["a", "b"]
    assert found.label.tolist() == [1, 0]
    assert found.logit["last"].tolist() == [1.5, -0.125]
    assert found.logit["best_epoch"].tolist() == [0.25, 0.001]


def test_a_run_that_chooses_on_kept_groups_has_a_selection_more(tmp_path: Path) -> None:
    rows = [f"{row},{logit}" for row, logit in zip(GOOD, ("-0.5", "0.1"), strict=True)]
    path = written(tmp_path, *rows, header=f"{HEADER},validation_logit")
    found = read(path, 2)
    assert {name: values.tolist() for name, values in found.logit.items()} == {
        "last": [1.5, -0.125],
        "validation": [-0.5, 0.1],
        "best_epoch": [0.25, 0.001],
    }
    scored = score_run(Run("d", "m", "lp", "patient", 40, "none", 0, 2), found)
    assert [(row["selection"], row["accuracy"]) for row in scored] == [
        ("last", 1),
        ("validation", 0),
        ("best_epoch", 0.5),
    ]
    with pytest.raises(HistoBenchError, match="line 3: validation_logit is 'nan'"):
        read(written(tmp_path, rows[0], f"{GOOD[1]},nan", header=f"{HEADER},validation_logit"), 2)


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([*GOOD, "a-1,a,a,2,1,0,0"], "line 4: image a-1 occurs a second time"),
        ([*GOOD, "c-1,c,c,2,malignant,0,0"], "line 4: label is 'malignant', expected 0"),
        ([*GOOD, "c-1,c,c,2,1,nan,0"], "line 4: logit is 'nan', expected a finite number"),
        ([*GOOD, "c-1,c,c,2,1,0,inf"], "line 4: best_epoch_logit is 'inf'"),
        ([*GOOD, "c-1,c,c,2,1,,0"], "line 4: logit is ''"),
        ([*GOOD, "c-1,c,c,one,1,0,0"], "line 4: fold is 'one', expected 2"),
        ([*GOOD, "c-1,c,,2,1,0,0"], "line 4: group is empty"),
        ([*GOOD, "c-1,c,c,2,1,0"], "line 4: more or fewer values"),
        ([*GOOD, "c-1,c,c,2,1,0,0,0"], "line 4: more or fewer values"),
        ([*GOOD, "c-1,c,c,3,1,0,0"], "line 4: fold is '3', expected 2"),
        ([GOOD[0]], "1 of 1 images are malignant, but both classes must occur"),
        ([GOOD[1]], "0 of 1 images are malignant, but both classes must occur"),
        ([], "0 of 0 images"),
    ],
)
def test_a_faulty_file_is_one_message_that_names_it(tmp_path: Path, rows: list[str], fault: str) -> None:
    path = written(tmp_path, *rows)
    with pytest.raises(HistoBenchError) as caught:
        read(path, 2)
    assert str(caught.value).startswith(str(path))
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(HistoBenchError, match=r"predictions.csv: column best_epoch_logit is missing"):
        read(written(tmp_path, "a-1,a,a,2,1,1.5", header=HEADER.removesuffix(",best_epoch_logit")), 2)
    with pytest.raises(HistoBenchError, match=r"nowhere.csv: no such file"):
        read(tmp_path / "nowhere.csv", 2)
