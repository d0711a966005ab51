"""The table and figure of the shares of variance, and what is said and drawn of several seeds."""

from dataclasses import replace

import pytest
from matplotlib.patches import Rectangle

from histobench.evaluation.variance import COLUMNS
from histobench.report.figures import losses
from histobench.report.figures.variance_shares import shares
from histobench.report.tables.scores_tables import folds
from histobench.report.tables.variance_table import variance_table
from histobench.report.terms import remarks
from histobench.study import outputs
from histobench.study.runs import Run
from tests.report.studies import ARMS, block, study
from tests.report.test_figures import history

FOUND = ("0.0016", "-0.0001", "0.0004", "0.04", "0", "0.02", "0.044721", "0.8", "0", "0.2")


def row(
    metric: str, magnification: int = 40, selection: str = "last", found: tuple[str, ...] = FOUND
) -> dict[str, str]:
    names = (
        "breakhis",
        "resnet34",
        "ft",
        "patient",
        str(magnification),
        "none",
        selection,
        metric,
        "3",
        "5",
        "patient",
    )
    return dict(zip(COLUMNS, (*names, *found), strict=True))


def rows() -> list[dict[str, str]]:
    constant = (*("0",) * 7, "", "", "")
    return [
        *(row(metric, magnification) for magnification in (40, 100) for metric in ("accuracy", "recall")),
        row("auc"), row("auc", 100, found=constant), row("accuracy", 40, "best_epoch"),
    ]  # fmt: skip


def repeated(seeds: list[int]) -> list[dict]:
    return [block(arm, seeds=seeds if arm.model == "resnet34" else [0]) for arm in ARMS]


def test_the_table_has_the_shares_of_accuracy_and_auc_at_the_last_epoch() -> None:
    table = variance_table(rows(), study())
    assert [(line["magnification"], line["metric"]) for line in table.rows] == [
        ("40", "Accuracy"), ("100", "Accuracy"), ("40", "AUC"), ("100", "AUC"),
    ]  # fmt: skip
    assert table.cells[0] == (
        *("ResNet34", "FT", "40×", "Accuracy", "3"),
        *("0.8000", "0.0000", "0.2000", "0.0400", "0.0000", "0.0200", "0.0447"),
    )
    assert table.header[5] == "Seed, share"
    assert "which patients evaluate" in table.caption
    assert "3 seeds for each of 5 folds" in table.caption
    assert "gaps.csv" in variance_table([], study()).caption


def test_the_bars_of_the_figure_are_the_shares() -> None:
    figure = shares(rows(), study())
    left, right = figure.axes
    widths = {bar.get_gid(): (bar.get_x(), bar.get_width()) for bar in left.patches if isinstance(bar, Rectangle)}
    assert widths["ResNet34 FT, 40×: accuracy seed"] == (0, 0.8)
    assert widths["ResNet34 FT, 40×: accuracy group"] == pytest.approx((0.8, 0.2))
    assert sum(bar.get_width() for bar in right.patches if isinstance(bar, Rectangle)) == pytest.approx(
        1
    )  # the AUC at 100x does not vary
    assert [text.get_text() for text in left.texts] == ["SD 0.045"] * 2
    shares([], study()).draw_without_rendering()


@pytest.mark.parametrize(("seeds", "has"), [([0], False), ([0, 1], True)])
def test_a_study_has_them_where_an_arm_has_several_seeds(seeds: list[int], has: bool) -> None:
    made = study(grid=repeated(seeds))
    assert ("variance" in outputs.tables(made)) == ("variance" in outputs.results(made)) == has
    assert ("variance-shares" in outputs.figures(made)) == has
    apart = study(grid=[*repeated([0]), *repeated(seeds)])  # blocks that name an arm again add to its seeds
    assert ("variance" in outputs.tables(apart)) == has


def test_captions_of_intervals_say_whether_they_include_training() -> None:
    def said(*numbers: dict[str, str]) -> list[str]:
        return remarks([{"freedom": "50", **number} for number in numbers], {})

    assert said({"seeds": "1"}) == ["One seed: intervals leave out the variance of training."]
    assert said({"seeds": "3"}, {"seeds": "3"}) == ["Intervals include the variance of training, by 3 seeds."]
    assert "where an arm has several seeds" in said({"first_seeds": "3", "second_seeds": "1"})[0]
    assert remarks([{"seeds": "3"}], {}) == []  # there are no intervals


def test_captions_of_scores_say_over_how_many_seeds_they_are() -> None:
    assert folds([{"folds": "5", "seeds": "3"}]) == "5 folds, each the mean over 3 seeds"
    assert folds([{"folds": "5", "seeds": "1"}]) == "5 folds"
    assert folds([{"folds": "5", "seeds": "1"}, {"folds": "5", "seeds": "3"}]).endswith("the mean over 1 to 3 seeds")


def test_losses_are_means_over_the_seeds_of_a_fold() -> None:
    first = Run("small", "resnet34", "ft", "patient", 40, "none", 0, 1)
    histories = {first: history(0.1), replace(first, seed=1): history(0.3), replace(first, fold=2): history(0.6)}
    _, values = losses.curves(histories, ARMS[2], 40, "validation_loss")
    assert values[:, 0].tolist() == pytest.approx([0.2, 0.6])
