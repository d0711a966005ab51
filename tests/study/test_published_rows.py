"""Published scores: what is read of a table, and what is refused."""

import pytest

from histobench.datasets.given import check_given
from histobench.io.errors import HistoBenchError
from histobench.study import published_rows
from tests.study.test_tasks import THEIRS, laid


def test_scores_are_read_as_printed(tmp_path):
    table = tmp_path / "theirs.csv"
    table.write_text("Encoder;BACH;other\nuni;0.850;1\nconch;;2\nplip; 1 ;3\n")
    assert published_rows.read(table, "BACH") == {"uni": "0.850", "plip": "1"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "encoder,f1\nuni,0.85\n",
            "has no column 'bach' (its columns: encoder, f1); correct the table, or `column` in `published`",
        ),
        (
            "model,bach\nuni,0.85\n",
            "has no column 'encoder' (its columns: model, bach); correct the table, or `column` in `published`",
        ),
        (
            "encoder,bach\nuni,0.85\nplip,63.9\n",
            "line 3: bach is '63.9', expected a score between 0 and 1, or nothing; correct the row",
        ),
        (
            "encoder,bach\nuni,high\n",
            "line 2: bach is 'high', expected a score between 0 and 1, or nothing; correct the row",
        ),
        (
            "encoder,bach\nuni,nan\n",
            "line 2: bach is 'nan', expected a score between 0 and 1, or nothing; correct the row",
        ),
        (
            "encoder,bach\nuni,0.8\n uni ,0.9\n",
            "line 3: encoder 'uni' is there twice, expected each encoder once; correct the row",
        ),
        (
            "encoder,bach\n ,0.8\n",
            "line 2: the name of the encoder is missing, expected each encoder once; correct the row",
        ),
        (
            "bach,encoder\n0.8\n",
            "line 2: the name of the encoder is missing, expected each encoder once; correct the row",
        ),
        (
            "encoder,bach,BACH\nuni,1,0\n",
            "has two columns 'bach' (its columns: encoder, bach, bach); correct the table, or `column` in `published`",
        ),
        ("encoder,bach\nuni,\n", "has no score in column bach; correct the table, or `column` in `published`"),
        ("", "has no column 'encoder' (its columns: none); correct the table, or `column` in `published`"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(tmp_path, text, sentence):
    table = tmp_path / "theirs.csv"
    table.write_text(text)
    with pytest.raises(HistoBenchError) as error:
        published_rows.read(table, "bach")
    assert str(error.value).endswith(sentence)
    assert str(error.value).startswith(str(table))


def test_a_table_that_is_not_there_is_missed_before_any_job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = laid(task="subtype", published=[THEIRS])
    with pytest.raises(HistoBenchError) as error:
        check_given(config)
    assert str(error.value) == "theirs.csv: there is no such file; put it there, or correct published.0.file"
    (tmp_path / "theirs.csv").write_text("encoder,score\nuni,0.8\n")
    check_given(config)
