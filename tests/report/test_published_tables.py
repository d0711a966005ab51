from pathlib import Path

import pytest

from histobench.io.files import read_csv
from histobench.report.published_tables import beside, difference

TABLES = Path(__file__).parents[2] / "resources" / "papers" / "zhaksylyk-2026" / "tables"


@pytest.mark.parametrize(
    ("reproduced", "published", "expected"),
    [
        ("0.9343", "0.9512", "-0.0169"),
        ("0.9512", "0.9343", "+0.0169"),
        ("0.9512", "0.9512", "0.0000"),
        ("0.3", "0.1", "+0.2"),  # binary floats give 0.19999999999999998
        ("1596.0", "1396", "+200.0"),
        ("336", "336", "0"),
        ("1e-3", "1e-4", "+0.0009"),
        ("1e-4", "1e-4", "0.0000"),
        ("AdamW", "AdamW", "same"),
        ("SGD", "AdamW", "differs"),
        ("", "0.9", ""),
        ("0.9", "", ""),
    ],
)
def test_difference_is_what_a_reader_subtracts(reproduced: str, published: str, expected: str) -> None:
    assert difference(reproduced, published) == expected


def test_companion_of_several_quantities() -> None:
    ours = [
        {"model": "A", "mode": "ft", "auc": "0.9000", "f1": "0.5000"},
        {"model": "Own", "mode": "lora-r4", "auc": "0.7000", "f1": ""},
    ]
    table = beside(
        "Table 9", ours, [{"model": "A", "mode": "ft", "auc": "0.9500"}], ("model", "mode"), ("auc", "f1"), "C."
    )
    assert table.title == "Table 9 beside the published"
    assert table.columns == ("model", "mode", "quantity", "reproduced", "published", "difference")
    assert [tuple(row.values()) for row in table.rows] == [
        ("A", "ft", "auc", "0.9000", "0.9500", "-0.0500"),
        ("A", "ft", "f1", "0.5000", "", ""),
        ("Own", "lora-r4", "auc", "0.7000", "", ""),
        ("Own", "lora-r4", "f1", "", "", ""),
    ]
    assert table.header == ("Model", "Mode", "AUC", "F1-score")
    assert table.cells == [
        ("A", "FT", "0.9000 / 0.9500 (−0.0500)", "0.5000 / –"),
        ("Own", "lora-r4", "0.7000 / –", "– / –"),
    ]


def test_companion_of_one_quantity_has_a_column_for_each_side() -> None:
    table = beside("T", [{"model": "A", "value": "64"}], [{"model": "A", "value": "65"}], ("model",), ("value",), "C.")
    assert table.header == ("Model", "Reproduced", "Published", "Difference")
    assert table.cells == [("A", "64", "65", "−1")]
    assert beside("T", [{"model": "A", "value": "64"}], [], ("model",), ("value",), "C.").cells == [
        ("A", "64", "–", "–")
    ]


def test_the_published_tables_are_complete() -> None:
    rows = {number: len(read_csv(TABLES / f"table{number}.csv", ())) for number in range(1, 8)}
    # 4 magnifications and a total; 3 CNNs; 11 settings; 7 arms x 4 magnifications twice; 2 models; 3 pairs
    assert rows == {1: 5, 2: 3, 3: 11, 4: 28, 5: 28, 6: 2, 7: 3}
