"""The table of published scores beside a study's own."""

from dataclasses import replace

from histobench.report.render import Bold
from histobench.report.tables.benchmark_table import benchmark_table
from tests.report.studies import ARMS, block, study

THEIRS = {
    "source": "they 0123456",
    "column": "score",
    "metric": "macro_f1",
    "selection": "best_epoch",
    "note": "five runs.",
}


def row(selection: str, metric: str, mean: str, low: str, high: str, **other) -> dict[str, str]:
    place = {"dataset": "breakhis", "model": "resnet34", "mode": "ft", "split": "patient", "augmentation": "none"}
    own = {"magnification": "40", "class": "all", "selection": selection, "metric": metric, "seeds": "1"}
    numbers = {"fold_mean": mean, "fold_mean_low": low, "fold_mean_high": high, "images": "339", "groups": "14"}
    return place | own | numbers | other


def test_scores_of_a_metric_are_sorted_and_each_selection_has_a_row():
    made = replace(
        study(grid=[block(ARMS[2], magnifications=[40])], comparisons={"magnification": 40}),
        classes=["F", "DC"],
        benchmark=[THEIRS, THEIRS | {"metric": "accuracy", "selection": "last", "source": "others", "note": None}],
    )
    scores = [
        row("last", "macro_f1", "0.61236", "0.5", "0.7"),
        row("best_epoch", "macro_f1", "0.8", "0.8", "0.8"),
        row("last", "macro_f1", "0.9", "0.9", "0.9", magnification="200"),
        row("last", "accuracy", "0.7", "0.6", "0.8"),
        row("best_epoch", "accuracy", "0.9", "0.6", "0.9"),
        row("last", "recall", "0.7", "0.6", "0.8", **{"class": "DC", "groups": "9"}),
    ]
    table = benchmark_table([{"uni": "0.75", "plip": "0.6"}, {"knn": "0.71"}], scores, made)
    assert [
        tuple(one[name] for name in ("encoder", "source", "metric", "selection", "value")) for one in table.rows
    ] == [
        ("ResNet34 FT", "this study", "macro_f1", "best_epoch", "0.8000"),
        ("uni", "they 0123456", "macro_f1", "best_epoch", "0.75"),
        ("ResNet34 FT", "this study", "macro_f1", "last", "0.6124"),
        ("plip", "they 0123456", "macro_f1", "best_epoch", "0.6"),
        ("knn", "others", "accuracy", "last", "0.71"),
        ("ResNet34 FT", "this study", "accuracy", "last", "0.7000"),
    ]
    assert [cells[4] for cells in table.cells[:3]] == ["0.8000", "0.75", "0.6124 [0.5000, 0.7000]"]
    assert [isinstance(cells[0], Bold) for cells in table.cells] == [True, False, True, False, False, True]
    assert table.cells[0][2:4] == ("Macro F1", "best epoch (optimistic)")
    assert table.cells[0][5:] == ("339", "14")
    assert table.cells[1][5:] == ("", "")
    assert "they 0123456: five runs." in table.caption
    assert "(F –, DC 9; " in table.caption
