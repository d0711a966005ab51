import csv
import re
from pathlib import Path

import pytest

from histobench.report.render import Bold, Table, escape, latex, markdown, write

TABLE = Table(
    title="Table 9",
    caption="Two arms of study a_b & 100 % more.",
    columns=("model", "accuracy_mean", "accuracy_std"),
    rows=[
        {"model": "my_net", "accuracy_mean": "0.9000", "accuracy_std": "0.0100"},
        {"model": "ResNet34", "accuracy_mean": "0.8000", "accuracy_std": None},
    ],
    header=("Model", "Accuracy"),
    cells=[("my_net", Bold("0.9000 ± 0.0100")), ("ResNet34", "0.8000")],
)


def test_markdown_is_a_padded_table_under_its_caption() -> None:
    assert markdown(TABLE) == (
        "**Table 9.** Two arms of study a_b & 100 % more.\n"
        "\n"
        "| Model    |            Accuracy |\n"
        "| -------- | ------------------: |\n"
        "| my_net   | **0.9000 ± 0.0100** |\n"
        "| ResNet34 |              0.8000 |\n"
    )


def test_markdown_keeps_a_bar_inside_its_cell_and_a_table_without_rows_has_its_head() -> None:
    assert markdown(Table("T", "C.", ("a",), [], ("A",), [("|D|",)])).splitlines()[-1] == r"| \|D\| |"
    empty = Table("T", "C.", ("a",), [], ("Model",), [])
    assert "| Model |" in markdown(empty)
    assert r"\begin{longtable}{l}" in latex(empty, "t")


def test_latex_is_a_booktabs_table() -> None:
    text = latex(TABLE, "table9")
    assert text.count(r"\toprule") == text.count(r"\midrule") == 2
    assert r"\begin{longtable}{lr}" in text
    assert r"\caption{Two arms of study a\_b \& 100 \% more.}\label{tab:table9}" in text
    assert r"my\_net & \textbf{0.9000 $\pm$ 0.0100} \\" in text
    assert r"ResNet34 & 0.8000 \\" in text
    assert escape(r"50% of a_b & {c} \ d") == r"50\% of a\_b \& \{c\} \textbackslash{} d"


@pytest.mark.parametrize("character", list("&%$#_{}~^\\|<>±×−–α"))
@pytest.mark.parametrize(("breaks", "environments"), [(True, ["longtable"]), (False, ["tabular", "table*"])])
def test_latex_has_balanced_braces_and_as_many_cells_as_columns(
    character: str, breaks: bool, environments: list[str]
) -> None:
    table = Table("T", f"C{character}", ("a", "b"), [], (f"A{character}", "B"), [(f"x{character}y", Bold(character))])
    text = latex(table, "t", breaks)
    bare = re.sub(r"\\[{}&%$#_]", "", text)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    body = bare[bare.index(r"\toprule") : bare.index(rf"\end{{{environments[0]}}}")].splitlines()
    rows = [line for line in body if line.endswith(r"\\")]
    assert len(rows) == (3 if breaks else 2)
    assert all(row.count("&") == 1 for row in rows)
    assert re.findall(r"\\begin{([\w*]+)}", text)[::-1] == re.findall(r"\\end{([\w*]+)}", text) == environments


def test_four_files_with_the_same_numbers(tmp_path: Path) -> None:
    write(TABLE, tmp_path / "tables" / "table9")
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == [
        *("table9-tabular.tex", "table9.csv", "table9.md", "table9.tex")
    ]
    with (tmp_path / "tables" / "table9.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["model", "accuracy_mean", "accuracy_std"],
        ["my_net", "0.9000", "0.0100"],
        ["ResNet34", "0.8000", ""],
    ]
    assert (tmp_path / "tables" / "table9.md").read_text() == markdown(TABLE)
    assert (tmp_path / "tables" / "table9.tex").read_text() == latex(TABLE, "table9")
    assert (tmp_path / "tables" / "table9-tabular.tex").read_text() == latex(TABLE, "table9", breaks=False)


def test_columns_of_sentences_are_broken_into_lines() -> None:
    table = Table("T", "C.", ("a", "b", "c"), [], ("A", "B", "C"), [("x", "y" * 100, "z" * 200), ("1", "2", "3")])
    assert r"\begin{longtable}{lp{0.22\linewidth}p{0.44\linewidth}}" in latex(table, "t")
