"""Table 7 and the intervals of Tables 4 and 5, from rows written by hand."""

from pathlib import Path

from histobench.evaluation.bootstrap import POOLED
from histobench.evaluation.comparisons import COMPARISONS_COLUMNS, INTERVALS_COLUMNS
from histobench.io.files import read_csv
from histobench.report.render import Bold, markdown
from histobench.report.tables.comparison_tables import HONEST_COLUMNS, comparison_tables
from histobench.report.tables.results_tables import intervals_table
from tests.report.studies import ARMS, EXTERNAL, study

PUBLISHED = Path(__file__).parents[3] / "resources" / "papers" / "zhaksylyk-2026" / "tables"
STUDY = study(arms=[arm for arm in ARMS if arm.model in ("resnet34", "smolvlm")], notes=["Numbers are MADE UP."])


GROUPS = {"unit": "patient", "groups": "81", "benign_groups": "24", "malignant_groups": "57", "freedom": "19"}


def compared(first: str, second: str, metric: str, difference: float, **more: str) -> dict[str, str]:
    """Return a row of comparisons.csv."""
    row = dict.fromkeys(COMPARISONS_COLUMNS, "")
    row |= {"dataset": "breakhis", "split": "patient", "magnification": "200", "augmentation": "none"}
    row |= {"selection": "last", "first": first, "second": second, "metric": metric, "folds": "5", **GROUPS}
    row |= {"first_value": "0.95", "second_value": str(0.95 - difference), "difference": str(difference)}
    row |= {"difference_low": "0.0095", "difference_high": "0.0505"}
    row |= {"effect_size": "1.5", "pooled_difference": "0.031", "low": "0.0102", "high": "0.0504"}
    row |= {"sign_flip_p": "0.01234", "holm_p": "0.2", "bootstrap_p": "0.0002", "nadeau_bengio_p": "0.07"}
    row |= {"wilcoxon_p": "0.0625", "wilcoxon_floor": "0.0625"}
    row |= {"mcnemar_p": "1.234e-9"} if metric == "accuracy" else {"delong_p": "0.03"} if metric == "auc" else {}
    return row | more


ROWS = [
    compared(first, second, metric, 0.03)
    for first, second in (("alexnet/ft", "resnet34/ft"), ("resnet34/ft", "smolvlm/ft"))
    for metric in ("accuracy", "precision", "recall", "f1", "auc", "patient_rate")
]


def test_table_7_in_the_papers_form_with_its_floor() -> None:
    table, beside, _ = comparison_tables(ROWS, read_csv(PUBLISHED / "table7.csv", ()), STUDY)
    # The published pair comes first, and in the published direction.
    assert [tuple(row.values()) for row in table.rows] == [
        ("200", "SmolVLM FT", "ResNet34 FT", *["0.0625"] * 6),
        ("200", "alexnet FT", "ResNet34 FT", *["0.0625"] * 6),
    ]
    assert "with 5 folds that is 0.0625" in table.caption
    assert table.cells[0][3:] == ("0.0625 (0.0625)",) * 3
    assert "Numbers are MADE UP." in table.caption
    # Published: 0.008, 0.010 and 0.007.
    assert beside.cells[0][3:] == (
        "0.0625 / 0.008 (+0.0545)", "0.0625 / 0.010 (+0.0525)", "0.0625 / 0.007 (+0.0555)",
    )  # fmt: skip
    assert beside.cells[1][3:] == ("0.0625 / –",) * 3


def test_table_7_in_full_has_the_effect_first_and_turns_with_its_pair() -> None:
    *_, full = comparison_tables(ROWS, read_csv(PUBLISHED / "table7.csv", ()), STUDY)
    assert tuple(full.columns) == HONEST_COLUMNS
    assert len(full.rows) == 6
    smolvlm, *_ = full.rows
    assert (smolvlm["first"], smolvlm["difference"], smolvlm["low"], smolvlm["high"], smolvlm["effect_size"]) == (
        "SmolVLM FT", "-0.0300", "-0.0504", "-0.0102", "-1.50",
    )  # fmt: skip
    assert (smolvlm["difference_low"], smolvlm["difference_high"]) == ("-0.0505", "-0.0095")
    assert full.cells[0][3:] == (
        "0.9200 / 0.9500", "−0.0300 [−0.0505, −0.0095]", "−1.50", "−0.0310 [−0.0504, −0.0102]",
        "0.2000", "0.0123", "0.0002", "0.0700", "0.0625 (0.0625)", "1.2e-09",
    )  # fmt: skip
    assert isinstance(full.cells[0][4], Bold)
    assert [cells[-1] for cells in full.cells[:3]] == ["1.2e-09", "–", "0.0300"]
    # An interval that holds zero is not bold.
    *_, full = comparison_tables([row | {"difference_low": "-0.01"} for row in ROWS], [], STUDY)
    assert not any(isinstance(cells[4], Bold) for cells in full.cells)


def test_a_fold_with_equal_scores_raises_the_floor_of_that_score_alone() -> None:
    # Five folds, in one of which the accuracies are equal: 2 / 2^4; in F1 and AUC all five differ: 2 / 2^5.
    rows = [
        row | ({"wilcoxon_p": "0.125", "wilcoxon_floor": "0.125"} if row["metric"] == "accuracy" else {})
        for row in ROWS
    ]
    table, _, full = comparison_tables(rows, [], STUDY)
    assert table.cells[0][3:] == ("0.1250 (0.1250)", "0.0625 (0.0625)", "0.0625 (0.0625)")
    assert [cells[-2] for cells in full.cells[:3]] == list(table.cells[0][3:])
    assert "a fold in which their scores are equal is left out" in table.caption


def test_an_interval_that_means_nothing_is_said_to() -> None:
    rows = [row | {"difference_low": "0.03", "difference_high": "0.03", "freedom": "2"} for row in ROWS]
    *_, full = comparison_tables(rows, [], STUDY)
    assert full.cells[0][4] == "+0.0300 (no interval)"
    assert "No interval: every draw gives the same value" in full.caption
    few = "Fewer than 6 degrees of freedom (the effective number of groups of the class that has fewer, less that of folds)"
    assert f"{few}: 95 % intervals cover the true value less often." in full.caption
    *_, full = comparison_tables([row | {"freedom": "0"} for row in ROWS], [], STUDY)
    assert "No interval where every fold has a single group of a class." in full.caption
    *_, full = comparison_tables(ROWS, [], STUDY)
    assert "nterval: every" not in full.caption
    assert "freedom" not in full.caption
    assert "5 folds, 81 patients (24 benign, 57 malignant)." in full.caption
    assert "a paired bootstrap of patients" in full.caption


def test_without_a_pair_the_tables_are_empty_and_name_the_gaps() -> None:
    for table in comparison_tables(ROWS, [], study(comparisons={"magnification": 40})):
        assert (table.rows, table.cells) == ([], [])
        assert (
            "40×, augmentation none, last epoch. Empty: no declared pair could be compared here; gaps.csv"
            in table.caption
        )
        assert markdown(table).count("\n|") == 2


def interval(model: str, magnification: int, metric: str, estimate: float) -> dict[str, str]:
    arm = ("breakhis", model, "ft", "patient", str(magnification), "none")
    ends = str(estimate), str(estimate - 0.05), str(estimate + 0.02)
    values = (*arm, "last", metric, *ends, "0.95", *GROUPS.values(), "1995")
    mean = ("5", "1", str(estimate - 0.01), str(estimate - 0.06), str(estimate + 0.01), *[""] * 7)
    return dict(zip(INTERVALS_COLUMNS, values + mean, strict=True))


def test_intervals_are_in_the_order_of_the_table() -> None:
    rows = [
        interval(model, magnification, metric, 0.9)
        for model in ("smolvlm", "resnet34")
        for magnification in (100, 40)
        for metric in POOLED
    ]
    table = intervals_table(rows, read_csv(PUBLISHED / "table4.csv", ()), 4, "last", STUDY)
    # The headline, which is the estimator of Table 4, is first.
    both = (("mean over folds", "0.8900 [0.8400, 0.9100]"), ("pooled", "0.9000 [0.8500, 0.9200]"))
    assert [cells[:5] for cells in table.cells] == [
        (model, "FT", magnification, *cells)
        for model in ("ResNet34", "SmolVLM")
        for magnification in ("40×", "100×")
        for cells in both
    ]
    assert len(table.columns) == 4 + 3 * 9
    odd = [row | {"fold_mean_low": "0.89", "fold_mean_high": "0.89", "one_class": "benign"} for row in rows]
    table = intervals_table(odd, [], 4, "last", STUDY)
    assert table.cells[0][4] == "0.8900 (no interval)"
    assert "No interval: every draw gives the same value" in table.caption
    assert (
        "One class for all images: SmolVLM FT (100×, always benign), SmolVLM FT (40×, always benign), ResNet34 FT (100×"
        in table.caption
    )
    assert "81 patients (24 benign, 57 malignant), resampled within class and fold." in table.caption
    # Two intervals of the same mean, one below the other; folds with few groups are named.
    few = {
        "accession_mean": "0.89",
        "accession_low": "0.80",
        "accession_high": "0.95",
        "accession_benign": "16",
        "accession_malignant": "54",
    }
    few |= {"few_groups": "benign: 4 in fold 2"}
    table = intervals_table([row | few for row in rows], [], 4, "last", STUDY)
    assert [cells[3:5] for cells in table.cells[:3]] == [
        ("mean over folds", "0.8900 [0.8400, 0.9100]"),
        ("mean over folds, by accession number", "0.8900 [0.8000, 0.9500]"),
        ("pooled", "0.9000 [0.8500, 0.9200]"),
    ]
    assert "By accession number: accession numbers (16 benign and 54 malignant) are resampled instead" in table.caption
    assert "Folds with fewer than 5 groups of a class: benign: 4 in fold 2." in table.caption
    empty = intervals_table(rows, [], 5, "last", STUDY)
    assert empty.rows == []
    assert "augmentation paper, selection last; no group" in empty.caption
    assert "Empty: none of its rows could be made; gaps.csv says" in empty.caption


UNITS = {"known_patients": "29", "known_images": "145", "images": "400", "groups": "284"}


def test_intervals_of_the_external_test_say_what_they_are() -> None:
    rows = [interval("resnet34", 40, metric, 0.7) | {"on": "bach", "scale": "squashed", **UNITS} for metric in POOLED]
    tested = study(external=[EXTERNAL])
    table = intervals_table(rows, read_csv(PUBLISHED / "table6.csv", ()), 6, "last", tested)
    assert table.title == "Table 6, intervals"
    assert table.cells[0][:5] == ("ResNet34", "FT", "40×", "mean over folds", "0.7000 [0.6500, 0.7200]")
    assert len(table.cells) == 1
    empty = intervals_table([], [], 6, "last", tested)
    assert "Empty: none of its rows could be made; external_gaps.csv says" in empty.caption
    assert (
        "resample 29 known patients with 145 images, and the other 255 images, each on its own, within class"
        in table.caption
    )
