"""Verdicts of small made-up studies, worked out here from the intervals and scores that they are given."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from histobench.claims import ledger as claims
from histobench.claims.checks import CHECKS
from histobench.claims.evidence import Estimate, Results
from histobench.claims.table_cells import Cell
from histobench.study.resolved import Arm, Study
from tests.claims.paper import LEDGER, PAPER

PLACE = {"dataset": "breakhis", "split": "patient", "magnification": "200", "augmentation": "none", "selection": "last"}
TABLE6 = {
    "on": "bach",
    "scale": "squashed",
    "dataset": "breakhis",
    "split": "patient",
    "magnification": "40",
    "augmentation": "none",
}
Rows = Sequence[Mapping[str, str]]


def results(names: Mapping[str, str] | None = None, external: bool = False, **files: Rows) -> Results:
    """Return the results of a study with these models and result files."""
    names = names or {"resnet34": "ResNet34", "smolvlm": "SmolVLM", "vgg19": "VGG19"}
    block = {"on": "bach", "dataset": "breakhis", "splits": ["patient"], "headline": 40, "augmentations": ["none"]}
    block |= {"scales": ["squashed", "matched"]}
    arms = [Arm(name, "ft", label, "cnn", "all") for name, label in names.items()]
    tables = {"dataset": "breakhis", "split": "patient", "without_augmentation": "none", "with_augmentation": "paper"}
    study = Study("made-up", 0, [], arms, {}, {}, {}, {}, {}, [], tables, [block] if external else [], {}, True)
    return Results(study, files)


def compared(
    low: float, high: float, first: str = "resnet34/ft", second: str = "smolvlm/ft", **more: str
) -> dict[str, str]:
    numbers = {"difference": str((low + high) / 2), "difference_low": str(low), "difference_high": str(high)}
    return PLACE | {"first": first, "second": second, "metric": "accuracy"} | numbers | more


def interval(low: float, high: float, **more: str) -> dict[str, str]:
    numbers = {"estimate": str((low + high) / 2), "low": str(low), "high": str(high)}
    if "on" not in more:
        numbers = {"fold_mean": numbers["estimate"], "fold_mean_low": str(low), "fold_mean_high": str(high)}
    return PLACE | {"model": "resnet34", "mode": "ft", "metric": "accuracy"} | numbers | more


def fold_rows(values: list[float], **more: str) -> list[dict[str, str]]:
    return [
        PLACE | {"model": "resnet34", "mode": "ft", "fold": str(fold), "images": "100", "accuracy": str(value)} | more
        for fold, value in enumerate(values, start=1)
    ]


def claim(predicate: str, **arguments: object) -> claims.Claim:
    return claims.Claim(id="c", section="1", quote="A sentence", predicate=predicate, arguments=arguments)


def on_study(item: claims.Claim, study: Results) -> tuple[str, object, object, object, str]:
    published = [item.texts | {"published_verdict": "holds", "published_evidence": "It does."}]
    (row,) = claims.on_study([item], published, study)
    assert set(row) == set(claims.COLUMNS)
    return str(row["study_verdict"]), row["effect"], row["low"], row["high"], str(row["study_evidence"])


OVER = claim("exceeds", terms={"table4 ResNet34/ft 200x accuracy": 1, "table4 SmolVLM/ft 200x accuracy": -1})


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.05, "supported"), (-0.05, -0.01, "contradicted"), (-0.01, 0.03, "undecided"), (0.0, 0.03, "undecided")],
)
def test_a_difference_of_two_arms_is_that_of_the_comparison(low, high, verdict) -> None:
    study = results(comparisons=[compared(low, high)])
    found = on_study(OVER, study)
    assert found[:4] == (verdict, (low + high) / 2, low, high)
    # The other way round in the file, and beside other rows.
    other = [compared(0.5, 0.6, selection="best_epoch"), compared(0.5, 0.6, augmentation="paper")]
    turned = compared(-high, -low, "smolvlm/ft", "resnet34/ft")
    assert on_study(OVER, results(comparisons=[*other, turned]))[:4] == (verdict, (low + high) / 2, low, high)


@pytest.mark.parametrize(
    ("study", "evidence_"),
    [
        (results(), "There is no comparisons.csv."),
        (results(comparisons=[]), "comparisons.csv does not compare ResNet34 FT and SmolVLM FT (accuracy, 200X, Table 4)."),
        (results({"resnet34": "ResNet34"}, comparisons=[compared(1, 2)]), "The study has no SmolVLM that is trained and tested as in the paper."),
        (
            results(comparisons=[compared(1, 2) | {"difference_low": ""}]),
            "No interval of ResNet34 FT and SmolVLM FT (accuracy, 200X, Table 4).",
        ),
    ],
)  # fmt: skip
def test_what_the_study_lacks_is_not_run(study, evidence_) -> None:
    assert on_study(OVER, study) == ("not run", None, None, None, evidence_)


def two_cases(first: tuple[float, float] | None, second: tuple[float, float] | None) -> tuple[str, object, str]:
    both = claim(
        "exceeds",
        terms={"table4 ResNet34/ft 200x accuracy": 1, "table4 {other}/ft 200x accuracy": -1},
        each={"other": ["SmolVLM", "VGG19"]},
    )
    rows = [
        compared(*ends, second=f"{name}/ft")
        for name, ends in (("smolvlm", first), ("vgg19", second))
        if ends is not None
    ]
    verdict, effect, _, _, text = on_study(both, results(comparisons=rows))
    return verdict, effect, text


def test_a_claim_about_many_takes_all_to_support_and_one_to_contradict() -> None:
    assert two_cases((0.02, 0.04), (0.01, 0.05))[:2] == ("supported", pytest.approx(0.03))
    assert two_cases((0.02, 0.04), (-0.02, 0.01))[0] == "undecided"
    verdict, effect, text = two_cases((0.02, 0.04), (-0.08, -0.04))
    assert (verdict, effect) == ("contradicted", pytest.approx(-0.06))
    assert "1 are inside the claim and 1 outside, 1 also when widened for 2 cases" in text
    # Just outside: 0.0392 = 1.96 standard errors of 0.02; simultaneously for two it is 2.2414 of them, 0.0448.
    assert two_cases((0.02, 0.04), (-0.04 - 0.0392, -0.04 + 0.0392))[0] == "undecided"
    assert two_cases((0.02, 0.04), (-0.045 - 0.0392, -0.045 + 0.0392))[0] == "contradicted"
    # A missing case leaves support open, but not contradiction.
    assert two_cases((0.02, 0.04), None)[0] == "not run"
    assert two_cases((-0.08, -0.04), None)[0] == "contradicted"


def test_widened_intervals() -> None:
    from scipy.stats import norm, t

    wide = Estimate(1.0, 0.0, 3.0).widened(10)
    ratio = norm.ppf(1 - 0.0025) / norm.ppf(0.975)
    assert (wide.low, wide.high) == (pytest.approx(1 - ratio), pytest.approx(1 + 2 * ratio))
    ratio = t.ppf(1 - 0.0025, 4) / t.ppf(0.975, 4)
    assert Estimate(1.0, 0.0, 3.0, 4).widened(10).low == pytest.approx(1 - ratio)


@pytest.mark.parametrize(
    ("low", "high", "arguments", "verdict"),
    [
        (0.95, 0.97, {"at_least": "0.94"}, "supported"),
        (0.95, 0.97, {"at_least": "0.98"}, "contradicted"),
        (0.95, 0.97, {"at_least": "0.96"}, "undecided"),
        (0.95, 0.97, {"at_least": "0.90", "at_most": "0.96"}, "undecided"),
        (0.95, 0.97, {"at_most": "0.94"}, "contradicted"),
        (0.95, 0.97, {"at_least": "0.95", "at_most": "0.97"}, "supported"),
    ],
)
def test_a_score_between_bounds(low, high, arguments, verdict) -> None:
    item = claim("within", cells="table4 ResNet34/ft 200x accuracy", **arguments)
    study = results(intervals=[interval(0, 0.1, metric="auc"), interval(low, high)])
    assert on_study(item, study)[:4] == (verdict, pytest.approx(0.96), low, high)


def test_a_printed_number_is_contradicted_or_undecided() -> None:
    item = claim("printed", cells={"table4 ResNet34/ft 200x accuracy": "0.9824"})
    assert on_study(item, results(intervals=[interval(0.97, 0.99)]))[0] == "undecided"
    assert on_study(item, results(intervals=[interval(0.90, 0.97)]))[0] == "contradicted"
    # Half a unit of the last digit is still the printed number.
    assert on_study(item, results(intervals=[interval(0.97, 0.98236)]))[0] == "undecided"
    assert on_study(item, results(intervals=[interval(0.97, 0.98234)]))[0] == "contradicted"


def test_a_difference_between_settings_has_the_corrected_t_interval_of_its_folds() -> None:
    item = claim("exceeds", terms={"table4 ResNet34/ft 200x accuracy": 1, "table5 ResNet34/ft 200x accuracy": -1})
    plain, augmented = [0.90, 0.92, 0.94, 0.96, 0.98], [0.89, 0.90, 0.93, 0.94, 0.97]
    metrics = fold_rows(plain) + fold_rows(augmented, augmentation="paper")
    verdict, effect, low, high, _ = on_study(item, results(metrics=metrics))
    # Differences 0.01, 0.02, 0.01, 0.02, 0.01: mean 0.014, variance 4 x ... = 0.00003; 100 of 500 images per fold.
    half = 2.776445105 * math.sqrt(0.00003) * math.sqrt(1 / 5 + 100 / 400)
    assert effect == pytest.approx(0.014)
    assert (low, high) == (pytest.approx(0.014 - half), pytest.approx(0.014 + half))
    assert (verdict, half < 0.014) == ("supported", True)
    missing = results(metrics=metrics[:-1])
    assert on_study(item, missing)[0] == "not run"


def test_the_external_test_is_paired_fold_by_fold() -> None:
    item = claim("exceeds", terms={"table4 ResNet34/ft 200x accuracy": 1, "table6 ResNet34/ft accuracy": -1})
    other = [
        row | {"on": "bach", "scale": "squashed"} for row in fold_rows([0.7, 0.72, 0.71, 0.75, 0.7], magnification="40")
    ]
    noise = [row | {"on": "bach", "scale": "matched"} for row in fold_rows([0.1] * 5, magnification="40")]
    study = results(metrics=fold_rows([0.9, 0.91, 0.92, 0.93, 0.9]), external_metrics=noise + other)
    assert on_study(item, study)[0] == "not run"
    verdict, effect, *_ = on_study(item, replace(study, study=results(external=True).study))
    assert (verdict, effect) == ("supported", pytest.approx(0.912 - 0.716))


def test_a_score_on_the_external_dataset_has_its_own_interval() -> None:
    item = claim("within", cells="table6 ResNet34/ft accuracy", at_least="0.70")
    rows = [
        interval(0.72, 0.80, **TABLE6),
        interval(0.3, 0.4, **TABLE6 | {"scale": "matched"}),
        interval(0.1, 0.2, **TABLE6 | {"magnification": "200"}),
    ]
    study = results(external=True, external_intervals=rows)
    assert on_study(item, study)[:4] == ("supported", pytest.approx(0.76), 0.72, 0.80)
    assert on_study(item, results(external=True, external_intervals=rows[1:]))[0] == "not run"
    assert on_study(item, results(external_intervals=rows))[4] == "The study has no external test."


def test_deviations_over_folds_have_a_chi_square_interval() -> None:
    from scipy.stats import chi2

    item = claim("fold_deviations", arms=["ResNet34/ft"], reference=["0.04", "0.07"], largest="0.023", folds=5)
    row = PLACE | {"model": "resnet34", "mode": "ft", "folds": "5", "accuracy_std": "0.06"}
    study = results(summary=[row, row | {"model": "other", "accuracy_std": "0.9"}])
    verdict, effect, low, high, _ = on_study(item, study)
    assert (verdict, effect) == ("contradicted", pytest.approx(0.06))
    assert low == pytest.approx(0.06 * math.sqrt(4 / chi2.ppf(0.975, 4)))
    assert high == pytest.approx(0.06 * math.sqrt(4 / chi2.ppf(0.025, 4)))
    assert on_study(item, results(summary=[row | {"accuracy_std": "0.02"}]))[0] == "undecided"
    assert on_study(item, results(summary=[row | {"accuracy_std": "0.004"}]))[0] == "supported"
    assert on_study(item, results(summary=[row | {"mode": "lp"}]))[0] == "not run"


def test_trained_parameters_are_counted() -> None:
    item = claim("trainable", arms=["SmolVLM/ft"], at_least="5", at_most="8")
    for count, verdict in (("6293505", "supported"), ("4359681", "contradicted")):
        study = results(parameters=[{"model": "smolvlm", "mode": "ft", "trainable": count}])
        assert on_study(item, study)[0] == verdict
    assert on_study(item, results())[0] == "not run"


def test_significance_is_asked_of_the_differences() -> None:
    item = claim("significant", pairs=[["ResNet34/ft", "SmolVLM/ft"]], metrics=["accuracy"], below="0.05")
    verdict, *_, text = on_study(item, results(comparisons=[compared(0.01, 0.02)]))
    assert verdict == "supported"
    assert text.startswith("The differences, whatever their p-values: ")


def test_the_whole_ledger_can_be_asked_of_an_empty_study() -> None:
    published = claims.on_paper(list(LEDGER.values()), PAPER)
    rows = claims.on_study(list(LEDGER.values()), published, results())
    # What no study can test is not a run that lacks.
    untestable = {name for name, item in LEDGER.items() if CHECKS[item.predicate][1] is None}
    assert {row["id"] for row in rows if row["study_verdict"] == "not applicable"} == untestable
    assert {row["study_verdict"] for row in rows if row["id"] not in untestable} == {"not run"}
    assert {"no-normalisation", "native-batch", "figure6-losses"} < untestable
    assert all(row["study_evidence"] for row in rows)
    (alone,) = (row for row in rows if row["id"] == "signed-rank")
    assert (
        alone["study_evidence"]
        == "No study can test it: it is about the paper's own numbers, or what these do not show."
    )


def test_cells_have_addresses() -> None:
    assert Cell.parse("table4 Qwen2-VL-2B/lp 40x auc") == Cell(4, "Qwen2-VL-2B", "lp", "40", "auc")
    assert Cell.parse("table6 SmolVLM/ft f1").setting == "f1, Table 6"
