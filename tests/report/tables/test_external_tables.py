"""Table 6 and the whole external test, beside the published table."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from histobench.datasets.manifest import Image
from histobench.evaluation import external as evaluation
from histobench.io.files import read_csv
from histobench.report.tables.results_tables import results_tables
from histobench.report.tables.scales_table import GEOMETRY, scales_table
from histobench.report.tables.scores_tables import external_table
from tests.report.studies import EXTERNAL, study

PUBLISHED = Path(__file__).parents[3] / "resources/papers/zhaksylyk-2026/tables/table6.csv"
STUDY = study(notes=["The images are SYNTHETIC."], external=[EXTERNAL])


def arm(model: str, magnification: int, scale: str = "squashed") -> dict[str, object]:
    return {
        "on": "bach", "scale": scale, "dataset": "breakhis", "model": model, "mode": "ft", "split": "patient",
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


def test_both_scales_stand_side_by_side_with_what_a_pixel_covers() -> None:
    units = {
        "known_patients": 29,
        "known_images": 145,
        "images": 400,
        "low": 0.5,
        "high": 0.75,
        "freedom": 139,
        "folds": 5,
    }
    rows = [
        arm("resnet34", magnification, scale) | units | {"metric": metric, "estimate": value + magnification / 10_000}
        for scale, value in (("squashed", 0.6), ("matched", 0.7))
        for magnification in (200, 40)
        for metric in ("accuracy", "precision", "recall", "f1", "auc", "ece")
    ]
    photograph = Image("b001", "benign", "benign", "b001", "b001", "b001", 0, 2048, 1536, "", "")
    trained_on = [replace(photograph, magnification=scale, width=700, height=460) for scale in (40, 200)]
    wide = np.linspace(0.3, 0.9, 1000)  # a draw of matched less one of squashed is from -0.1 to +0.2
    draws = {
        f"bach/{scale}/breakhis/resnet34/ft/patient/{magnification}/none/{metric}": drawn
        for scale, drawn in (("squashed", wide), ("matched", wide + np.linspace(-0.1, 0.2, 1000)))
        for magnification in (200, 40)
        for metric in evaluation.METRICS
    }
    table = scales_table(texts(rows), draws, [photograph], trained_on, STUDY)
    assert [tuple(row[key] for key in ("model", "magnification", "scale")) for row in table.rows] == [
        ("ResNet34", magnification, scale) for magnification in ("40", "200") for scale in ("squashed", "matched")
    ]
    squashed, matched, _, fine = ([row[name] for name in GEOMETRY] for row in table.rows)
    # 2048 x 0.42 / 336 = 2.56 and 1536 x 0.42 / 336 = 1.92; 700 x 0.49 / 336 = 1.0208 and 460 x 0.49 / 336 = 0.6708.
    assert squashed == ["2.56", "1.92", "2.51", "2.86", "1", "1.000"]
    assert matched == ["1.02", "0.67", "1.00", "1.00", "9", "1.000"]
    # 700 x 0.1 / 0.42 = 167 and 460 x 0.1 / 0.42 = 110: nine of them are 0.0526 of the photograph.
    assert fine == ["0.21", "0.14", "1.00", "1.00", "9", "0.053"]
    assert table.cells[1][-7:-5] == ("0.7040 [0.5000, 0.7500]",) * 2
    assert table.cells[0][-2:] == ("", "")
    low, high = (table.rows[1][f"auc_difference_{end}"] for end in ("low", "high"))
    assert -0.1 <= float(low) < -0.09
    assert 0.19 < float(high) <= 0.2
    assert table.cells[1][-1] == f"+0.1000 [{low}, {high}]".replace("-", "−")
    assert "At 40× a pixel of a squashed image of bach is 2.5 times as wide and 2.9 times as high as" in table.caption
    assert "29 known patients with 145 images, and the other 255 images, each on its own" in table.caption
    assert "reflection" not in table.caption
    # Models of other folds are not compared, and nothing is said of differences where there are none.
    gap = [row | {"folds": 4} if row["scale"] == "matched" else row for row in rows]
    without = scales_table(texts(gap), draws, [photograph], trained_on, STUDY)
    assert {row["auc_difference"] for row in without.rows} == {""}
    assert "ifferences" in table.caption
    assert "ifferences" not in without.caption
    # Where no image of a training magnification was matched, the size of its pixels may not be known.
    some = scales_table(
        texts([row for row in rows if (row["scale"], row["magnification"]) != ("matched", 200)]),
        draws,
        [photograph],
        trained_on,
        STUDY,
    )
    assert {row["magnification"] for row in some.rows} == {"40"}
    small = [replace(photograph, width=700, height=537)]  # narrower than a tile of 817 pixels: 117 of 817 are 14 %
    caption = scales_table(texts(rows), draws, small, trained_on, STUDY).caption
    assert "At 40× 14% of a tile is beyond the edges of the image, which is continued there by reflection." in caption


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
