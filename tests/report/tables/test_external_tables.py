"""Table 6 and the whole external test, beside the published table."""

from pathlib import Path

from histobench.evaluation import external as evaluation
from histobench.io.files import read_csv
from histobench.report.tables.results_tables import results_tables
from histobench.report.tables.scores_tables import external_table
from tests.report.studies import EXTERNAL, study

PUBLISHED = Path(__file__).parents[3] / "resources/paper/tables/table6.csv"
STUDY = study(notes=["The images are SYNTHETIC."], external=[EXTERNAL])


def arm(model: str, magnification: int) -> dict[str, object]:
    return {
        "on": "bach", "dataset": "breakhis", "model": model, "mode": "ft", "split": "patient",
        "magnification": magnification, "augmentation": "none",
    }  # fmt: skip


def summary() -> list[dict[str, object]]:
    return [
        arm(model, magnification)
        | {"folds": 5, "seeds": 1}
        | {f"{metric}_mean": mean + magnification / 10_000 for metric in evaluation.METRICS}
        | {f"{metric}_std": 0.0123456 for metric in evaluation.METRICS}
        for model, mean in (("smolvlm", 0.6), ("resnet34", 0.7))
        for magnification in (200, 40)
    ]


def groups() -> list[dict[str, object]]:
    return [
        arm(model, magnification) | {"class": group, "label": label, "fold": fold, "images": 100, "malignant_rate": rate}
        for model in ("smolvlm", "resnet34")
        for magnification in (200, 40)
        for group, label, rate in (("normal", 0, 0.125), ("benign", 0, 0.25), ("insitu", 1, 0.5), ("invasive", 1, 0.875))
        for fold in (1, "mean")
    ]  # fmt: skip


def texts(table: list[dict[str, object]]) -> list[dict[str, str]]:
    return [{key: str(value) for key, value in row.items()} for row in table]


def test_table_6_has_the_published_columns_and_arms_at_the_headline() -> None:
    theirs = read_csv(PUBLISHED, ())
    table, beside = results_tables(texts(summary()), theirs, 6, "last", STUDY)
    assert list(table.columns) == list(theirs[0])
    assert [(row["model"], row["mode"]) for row in table.rows] == [(row["model"], row["mode"]) for row in theirs]
    first, second = table.rows
    assert (first["accuracy_mean"], first["accuracy_std"], second["auc_mean"]) == ("0.7040", "0.0123", "0.6040")
    assert len(beside.rows) == 2 * 10
    assert beside.rows[0] == {
        "model": "ResNet34", "mode": "ft", "quantity": "accuracy_mean",
        "reproduced": "0.7040", "published": "0.7825", "difference": "-0.0785",
    }  # fmt: skip
    for caption in (table.caption, beside.caption):
        assert "models trained on breakhis at 40×" in caption
        assert "over 5 folds" in caption
        assert "The images are SYNTHETIC. BreakHis has neither normal tissue" in caption


def test_the_whole_test_stands_beside_it_with_the_rates_of_each_class() -> None:
    table = external_table(texts(summary()), texts(groups()), STUDY)
    assert [(row["model"], row["magnification"]) for row in table.rows] == [
        *(("SmolVLM", "40"), ("SmolVLM", "200"), ("ResNet34", "40"), ("ResNet34", "200"))
    ]
    rates = [table.rows[0][f"rate_{name}_mean"] for name in ("normal", "benign", "insitu", "invasive")]
    assert rates == ["0.1250", "0.2500", "0.5000", "0.8750"]
    assert table.header == (
        *("Model", "Mode", "Magnification", "Accuracy", "Precision", "Recall", "F1-score", "AUC"),
        *("Normal", "Benign", "Insitu", "Invasive"),
    )
    assert "called malignant, which is right for insitu and invasive" in table.caption


def test_what_has_gaps_only_is_empty_and_names_them() -> None:
    published = texts([{"model": "ResNet34", "mode": "ft", "accuracy_mean": "0.7825"}])
    elsewhere = study(external=[EXTERNAL | {"headline": 400}])
    both = results_tables(texts(summary()), published, 6, "last", elsewhere)
    for empty in (*both, external_table([], [], STUDY)):
        assert (empty.rows, empty.cells) == ([], [])
        assert "Empty: none of its rows could be made; external_gaps.csv says" in empty.caption


def test_images_without_magnification() -> None:
    own = texts([row | {"magnification": 0} for row in summary() if row["magnification"] == 40])
    table, _ = results_tables(own, [], 6, "last", study(external=[EXTERNAL | {"headline": 0}]))
    assert "trained on breakhis at unknown magnification, split" in table.caption
    whole = external_table(own, texts(groups()), STUDY)
    assert whole.cells[0][2] == "unknown"
