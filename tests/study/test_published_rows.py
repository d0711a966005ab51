"""Published scores: what is read of a table, and what is refused."""

import pytest

from histobench.io.errors import HistoBenchError
from histobench.study import published_rows


def test_scores_are_read_as_printed(tmp_path):
    table = tmp_path / "theirs.csv"
    table.write_text("Encoder;BACH;other\nuni;0.850;1\nconch;;2\nplip; 1 ;3\n")
    assert published_rows.read(table, "BACH") == {"uni": "0.850", "plip": "1"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("encoder,f1\nuni,0.85\n", "has no column bach, but 'encoder, f1'; correct table or key"),
        ("model,bach\nuni,0.85\n", "has no column encoder, but 'model, bach'; correct table or key"),
        (
            "encoder,bach\nuni,0.85\nplip,63.9\n",
            "line 3: bach is '63.9', expected a score between 0 and 1, or nothing; correct the row",
        ),
        (
            "encoder,bach\nuni,high\n",
            "line 2: bach is 'high', expected a score between 0 and 1, or nothing; correct the row",
        ),
    ],
)
def test_anything_else_is_refused_in_one_sentence(tmp_path, text, sentence):
    table = tmp_path / "theirs.csv"
    table.write_text(text)
    with pytest.raises(HistoBenchError) as error:
        published_rows.read(table, "bach")
    assert str(error.value).endswith(sentence)
    assert str(error.value).startswith(str(table))
