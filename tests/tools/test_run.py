"""How a study is started and what it ends with."""

import pytest

from histobench.io.errors import HistoBenchError
from histobench.tools import run
from histobench.tools.command_line import read


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such configuration file; correct the path"),
        (b"study: mine\nnote: caf\xe9\n", "line 2: is not in UTF-8; save it as UTF-8 in your editor"),
        (b"study: mine\n\nmodes:\n\tft: {}\n", "line 4: cannot be read as YAML: found character '\\t'"),
        (
            b"a: 1\nb: [1,\n2\n\n",
            "line 5: cannot be read as YAML: while parsing a flow sequence in line 2, expected ','",
        ),
        (b"a: b: c\n", "line 1: cannot be read as YAML: mapping values are not allowed here"),
        (
            b"a: 1\n---\nb: 2\n",
            "line 2: cannot be read as YAML: expected a single document in the stream in line 1, but",
        ),
        (b"a: *x\n", "line 1: cannot be read as YAML: found undefined alias 'x'"),
        (b"a: \x00\n", "cannot be read as YAML"),
        (b"a: 2026-99-99\n", "cannot be read as YAML"),
        (b"", "holds no keys, expected a configuration such as config/config.yaml"),
        (b"- a\n", "holds no keys"),
        ("folder", "is a folder, expected a configuration file"),
    ],
)
def test_a_file_that_is_no_configuration_is_one_sentence(tmp_path, content, message):
    path = tmp_path / "mine.yaml"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(HistoBenchError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}, {message}" if message.startswith("line") else f"{path}: {message}")
    assert "\n" not in str(error.value)


def test_a_second_one_in_the_folder_is_refused_until_the_first_ends(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = run.lock()
    with pytest.raises(HistoBenchError, match="another make is running jobs in this folder"):
        run.lock()
    first.close()
    assert run.lock()


def scores(arms: int) -> str:
    """A table as tables/scores.md has it."""
    rows = [
        "**Scores.** Dataset x: mean. Much more. Study: x.",
        "",
        "| Model | Mode | Split | Selection | Folds | Accuracy | F1-score | AUC |",
    ]
    rows += ["| --- | --- | --- | --- | --: | --: | --: | --: |"]
    for arm in range(arms):
        for selection in ("last epoch", "chosen on validation images (honest)", "best epoch (optimistic)"):
            rows.append(f"| m{arm} \\| x | FT | patient | {selection} | 5 | 0.{arm:04} | 0.5 | 0.{arm + 1:04} |")
    return "\n".join([*rows, ""])


@pytest.mark.parametrize("arms", [2, 60])
def test_a_study_ends_with_its_scores_and_where_they_are(tmp_path, arms):
    results = tmp_path / "results/studies/x"
    assert run.ending(results) == ""
    (results / "tables").mkdir(parents=True)
    (results / "report.html").touch()
    (results / "tables/scores.md").write_text(scores(arms))
    (results / "study.json").write_text('{"notes": ["SYNTHETIC.", "RANDOM."]}')
    caption, table, end = run.ending(results).strip().split("\n\n")
    assert caption == "Dataset x: mean. SYNTHETIC. RANDOM."
    shown = table.splitlines()
    assert shown[0] == " Model | Accuracy | AUC"  # Mode and Split are the same everywhere
    assert shown[2] == " m0 \\| x | 0.0000 | 0.0001"
    assert len(shown) == (4 if arms == 2 else 2 + 40 + 1)
    assert arms == 2 or shown[-1] == " ... and 20 more rows"
    assert end == f"Tables: {results}/tables/\nThe report, to open in a browser: {results}/report.html"
