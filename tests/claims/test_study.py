"""Verdicts of small made-up studies, worked out here from the scores and draws that they are given."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from histobench.claims import ledger as claims
from histobench.claims.checks import CHECKS
from histobench.claims.checks.variability import deviation_ratio, range_difference
from histobench.claims.evidence import Results
from histobench.claims.table_cells import Cell
from histobench.study.resolved import Arm, Study
from histobench.study.runs import Run
from tests.claims.paper import LEDGER, PAPER

PLACE = {"dataset": "breakhis", "split": "patient", "magnification": "200", "augmentation": "none", "selection": "last"}
TABLE6 = {"on": "bach", "scale": "squashed", "magnification": "40"}
KEY = ("dataset", "model", "mode", "split", "magnification", "augmentation", "selection", "metric")
EXTERNAL_KEY = ("on", "scale", *KEY[:6], "metric")
NORMAL = np.random.default_rng(0).permutation([math.nan, *np.random.default_rng(1).standard_normal(10_000)])
"""Draws, one of which has no value."""
Rows = Sequence[Mapping[str, str]]


def results(names: Mapping[str, str] | None = None, external: bool = False, **files: Rows) -> Results:
    """Return the results of a study with these models and result files."""
    names = names or {"resnet34": "ResNet34", "smolvlm": "SmolVLM", "vgg19": "VGG19"}
    block = {"on": "bach", "scales": ["squashed", "matched"], "dataset": "breakhis", "splits": ["patient"], "headline": 40,
             "augmentations": ["none"]}  # fmt: skip
    arms = [Arm(name, "ft", label, "cnn", "all") for name, label in names.items()]
    tables = {"dataset": "breakhis", "split": "patient", "without_augmentation": "none", "with_augmentation": "paper"}
    study = Study("made-up", 0, [], arms, {}, {}, {}, {}, {}, [], tables, [block] if external else [], {}, True)
    return Results(study, files)


def two(low: float, high: float) -> np.ndarray:
    """Return draws that have these two values alone, in halves: the ends of every interval of them."""
    return np.repeat([low, high], 500)


def with_draws(*cells: tuple[float, np.ndarray, Mapping[str, str]], external: bool = False) -> Results:
    """Return the results of a study that has these cells: mean over folds, draws, and columns that differ from ResNet34's."""
    found = results(external=external)
    files: dict[str, list[dict[str, str]]] = {}
    draws: dict[str, dict[str, np.ndarray]] = {}
    for mean, drawn, changes in cells:
        row = PLACE | {"model": "resnet34", "mode": "ft", "metric": "accuracy", "freedom": "1e9", "unit": "patient",
                       "seeds": "1"} | changes  # fmt: skip
        name, key, columns = "", KEY, ("fold_mean", "fold_mean_low", "fold_mean_high")
        if "on" in row:
            name, key, columns = "external_", EXTERNAL_KEY, ("estimate", "low", "high")
        files.setdefault(f"{name}intervals", []).append(dict.fromkeys(columns, str(mean)) | row)
        draws.setdefault(f"{name}draws", {})["/".join(row[column] for column in key)] = drawn
    return replace(found, files=files, draws=draws)


def claim(predicate: str, **arguments: object) -> claims.Claim:
    return claims.Claim(id="c", section="1", quote="A sentence", predicate=predicate, arguments=arguments)


VARIES = {"cells": "table4 {arm} {size}x accuracy", "each": {"size": [40, 100, 200, 400]}}
"""What the claims about variability are about."""


def on_study(item: claims.Claim, study: Results) -> tuple[str, object, object, object, str]:
    published = [item.texts | {"published_verdict": "holds", "published_evidence": "It does."}]
    (row,) = claims.on_study([item], published, study)
    assert set(row) == set(claims.COLUMNS)
    return str(row["study_verdict"]), row["effect"], row["low"], row["high"], str(row["study_evidence"])


OVER = claim("exceeds", terms={"table4 ResNet34/ft 200x accuracy": 1, "table4 SmolVLM/ft 200x accuracy": -1})
SMOLVLM = {"model": "smolvlm"}


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.05, "supported"), (-0.05, -0.01, "contradicted"), (-0.01, 0.03, "undecided"), (0.0, 0.03, "undecided")],
)
def test_a_difference_of_two_arms_is_formed_in_each_draw(low, high, verdict) -> None:
    # What both arms share in a draw cancels out, however large.
    shared, wrong = two(0, 1)[::-1] + two(-7, 8), {"selection": "best_epoch"}
    study = with_draws(
        (0.3, two(0, 0), {**SMOLVLM, **wrong}), (0.94, shared + two(low, high), {}), (0.91, shared, SMOLVLM)
    )
    found = on_study(OVER, study)
    assert found[:4] == (verdict, pytest.approx(0.03), pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize(
    ("study", "evidence_"),
    [
        (results(), "There is no intervals.csv."),
        (results(intervals=[]), "intervals.csv has no row for ResNet34 FT (accuracy, 200X, Table 4)."),
        (replace(with_draws((1, two(1, 1), {})), draws={}), "There is no draws.npz."),
        (replace(with_draws((1, two(1, 1), {})), draws={"draws": {}}), "No interval of ResNet34 FT (accuracy, 200X, Table 4)."),
        (with_draws((1, two(1, 1), {"fold_mean_low": ""})), "No interval of ResNet34 FT (accuracy, 200X, Table 4)."),
        (
            results({"smolvlm": "SmolVLM"}, intervals=[]),
            "The study has no ResNet34 that is trained and tested as in the paper.",
        ),
    ],
)  # fmt: skip
def test_what_the_study_lacks_is_not_run(study, evidence_) -> None:
    assert on_study(OVER, study) == ("not run", None, None, None, evidence_)


@pytest.mark.parametrize(
    ("changes", "basis"),
    [
        ({}, "(patients resampled, one seed: training variance is not included)."),
        ({"seeds": "3"}, "(patients resampled, one seed: training variance is not included)."),
        ({"seeds": "3", "unit": "accession number"}, "(accession numbers and patients resampled, one seed: "),
    ],
)
def test_the_evidence_says_what_is_random(changes, basis) -> None:
    study = with_draws((0.94, two(0.9, 0.95), changes), (0.8, two(0.8, 0.8), SMOLVLM))
    assert basis in on_study(OVER, study)[-1]
    both = with_draws((0.94, two(0.9, 0.95), {"seeds": "3"}), (0.8, two(0.8, 0.8), SMOLVLM | {"seeds": "4"}))
    assert "(patients resampled, 3 seeds: training variance is included)." in on_study(OVER, both)[-1]


def two_cases(first: tuple[float, float] | None, second: tuple[float, float] | None) -> tuple[str, object, str]:
    """Return the verdict on two differences with these means and standard errors."""
    both = claim(
        "exceeds",
        terms={"table4 ResNet34/ft 200x accuracy": 1, "table4 {other}/ft 200x accuracy": -1},
        each={"other": ["SmolVLM", "VGG19"]},
    )
    cells = [
        (0.9 - case[0], 0.9 - case[0] - case[1] * NORMAL, {"model": name})
        for name, case in (("smolvlm", first), ("vgg19", second))
        if case
    ]
    verdict, effect, _, _, text = on_study(both, with_draws((0.9, 0.9 + 0 * NORMAL, {}), *cells))
    return verdict, effect, text


def test_a_claim_about_many_takes_all_to_support_and_one_to_contradict() -> None:
    assert two_cases((0.03, 0.005), (0.03, 0.01))[:2] == ("supported", pytest.approx(0.03))
    assert two_cases((0.03, 0.005), (-0.005, 0.01))[0] == "undecided"
    verdict, effect, text = two_cases((0.03, 0.005), (-0.06, 0.01))
    assert (verdict, effect) == ("contradicted", pytest.approx(-0.06))
    assert "1 are inside the claim and 1 outside, 1 also when widened for 2 cases" in text
    # 2.1 standard errors from 0 are more than 1.96, but fewer than the 2.24 of two simultaneous intervals.
    assert two_cases((0.03, 0.005), (-0.042, 0.02))[0] == "undecided"
    assert two_cases((0.03, 0.005), (-0.048, 0.02))[0] == "contradicted"
    # A missing case leaves support open, but not contradiction.
    assert two_cases((0.03, 0.005), None)[0] == "not run"
    assert two_cases((-0.06, 0.01), None)[0] == "contradicted"


def test_intervals_have_the_smallest_degrees_of_freedom_and_are_widened() -> None:
    from scipy.stats import t

    terms = {Cell.parse(f"table4 {model}/ft 200x accuracy"): Fraction(1) for model in ("ResNet34", "SmolVLM")}
    cells = [(0.5, 0.5 + NORMAL, {"freedom": "1e9"}), (0.5, 0.5 + 0 * NORMAL, SMOLVLM | {"freedom": "12"})]
    few, many = (with_draws(cells[0], (*cells[1][:2], cells[1][2] | {"freedom": df})) for df in ("12", "1e9"))
    low, high = few.estimate(terms).ends(1)
    assert low < many.estimate(terms).low < 1 - 1.9
    assert high > many.estimate(terms).high > 1 + 1.9
    # Widened for 240 cases it is wider than 10,000 draws reach: 4.6 standard errors with 12 degrees of freedom.
    low, high = few.estimate(terms).ends(240)
    assert 1 - low == pytest.approx(-t.ppf(0.025 / 240, 12), rel=0.15)
    assert high - 1 == pytest.approx(-t.ppf(0.025 / 240, 12), rel=0.15)


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
    study = with_draws((0.05, two(0, 0.1), {"metric": "auc"}), (0.96, two(low, high), {}))
    assert on_study(item, study)[:4] == (verdict, 0.96, low, high)


def test_a_printed_number_is_contradicted_or_undecided() -> None:
    item = claim("printed", cells={"table4 ResNet34/ft 200x accuracy": "0.9824"})
    assert on_study(item, with_draws((0.98, two(0.97, 0.99), {})))[0] == "undecided"
    assert on_study(item, with_draws((0.95, two(0.90, 0.97), {})))[0] == "contradicted"
    # Half a unit of the last digit is still the printed number.
    assert on_study(item, with_draws((0.975, two(0.97, 0.98236), {})))[0] == "undecided"
    assert on_study(item, with_draws((0.975, two(0.97, 0.98234), {})))[0] == "contradicted"


def test_a_sum_over_settings_is_paired_too() -> None:
    item = claim("exceeds", terms={"table4 ResNet34/ft 200x accuracy": 1, "table5 ResNet34/ft 200x accuracy": -1})
    shared, augmented = two(-0.1, 0.1)[::-1], {"augmentation": "paper"}
    cells = [(0.94, 0.94 + shared, {}), (0.92, 0.92 + shared - two(0.01, -0.015), augmented)]
    verdict, effect, low, high, _ = on_study(item, with_draws(*cells))
    assert (verdict, effect) == ("supported", pytest.approx(0.02))
    assert (low, high) == (pytest.approx(0.02 - 0.015), pytest.approx(0.02 + 0.01))
    assert on_study(item, with_draws(cells[0]))[0] == "not run"


def test_the_external_test_has_draws_of_its_own() -> None:
    item = claim("exceeds", terms={"table4 ResNet34/ft 200x accuracy": 1, "table6 ResNet34/ft accuracy": -1})
    cells = [
        (0.92, two(0.90, 0.94), {}),
        (0.1, two(0, 0.2), TABLE6 | {"magnification": "200"}),
        (0.72, two(0.70, 0.74), TABLE6),
        (0.1, two(0, 0.2), TABLE6 | {"scale": "matched"}),
    ]
    verdict, effect, low, high, text = on_study(item, with_draws(*cells, external=True))
    assert (verdict, effect) == ("supported", pytest.approx(0.20))
    assert (low, high) == (pytest.approx(0.20), pytest.approx(0.20))  # both are low in the same half of the draws
    assert "(images of BACH (by patient where known) and patients resampled, one seed: " in text
    alone = claim("within", cells="table6 ResNet34/ft accuracy", at_least="0.70")
    assert on_study(alone, with_draws(*cells, external=True))[:4] == ("supported", 0.72, 0.70, 0.74)
    assert on_study(alone, with_draws(*cells[:2], external=True))[0] == "not run"
    assert on_study(alone, with_draws(*cells))[4] == "The study has no external test."


ARMS = ("ResNet34", "VGG19")


def fold_rows(scores: Sequence[Sequence[float]], magnification: str = "200") -> list[dict[str, str]]:
    """Return rows of metrics.csv: the scores of ResNet34 and of VGG19."""
    return [
        PLACE | {"model": arm.lower(), "mode": "ft", "seed": "0", "fold": str(fold), "accuracy": str(value),
                 "magnification": magnification}
        for arm, values in zip(ARMS, scores, strict=True)
        for fold, value in enumerate(values, start=1)
    ]  # fmt: skip


FIRST, SECOND = (Cell.parse(f"table4 {arm}/ft 200x accuracy") for arm in ARMS)


def test_a_ratio_of_deviations_has_the_interval_of_pitmans_and_morgans_test() -> None:
    from scipy.stats import pearsonr

    x, y = [0.90, 0.92, 0.91, 0.95, 0.93], np.array([0.90, 0.85, 0.92, 0.97, 0.80])
    rows = fold_rows([x, y])
    seeds = [
        row | {"seed": seed, "accuracy": str(float(row["accuracy"]) + float(seed) / 100)}
        for row in rows
        for seed in "02"
    ]
    for study in (results(metrics=rows), results(metrics=seeds)):  # a mean over seeds, which shifts every score alike
        found = deviation_ratio(study, FIRST, SECOND)
        assert found.effect == pytest.approx(y.std() / np.std(x))
        for cases in (1, 24):
            for ratio in found.ends(cases):
                # At the ends the test is just significant that x / y has this ratio: x + y / c and x - y / c correlate.
                p = pearsonr(x + y / ratio, x - y / ratio).pvalue
                assert p == pytest.approx(0.05 / cases, rel=1e-6)


@pytest.mark.parametrize(("ratio", "shared"), [(1.0, 0.0), (2.0, 0.8)])
def test_a_ratio_of_deviations_misses_each_tail_as_often_as_it_should(ratio, shared) -> None:
    generator, missed, studies = np.random.default_rng(6), np.zeros(2), 400
    for _ in range(studies):
        x, y = generator.standard_normal((2, 5))
        found = deviation_ratio(
            results(metrics=fold_rows([x, ratio * (shared * x + math.sqrt(1 - shared**2) * y)])), FIRST, SECOND
        )
        missed += found.low > ratio, found.high < ratio
    assert (missed >= 2).all()  # binomial at 2.5 %: fewer than 2 of 400, or more than 20, have a probability of 0.002
    assert (missed <= 20).all()


@pytest.mark.parametrize(
    ("noise", "verdict"), [([0.05, -0.06, 0.02, 0.04, -0.05], "supported"), ([1e-3, 0, 2e-3, 0, 1e-3], "undecided")]
)
def test_less_variability_over_folds_is_decided(noise, verdict) -> None:
    x = np.array([0.901, 0.902, 0.900, 0.9015, 0.9005])
    rows = [row for size in ("40", "100", "200", "400") for row in fold_rows([x, x + noise], size)]
    item = claim("steadier", first=["ResNet34/ft"], second=["VGG19/ft"], over="folds", **VARIES)
    found = on_study(item, results(metrics=rows))
    assert found[0] == verdict
    assert "ratio of the deviations over folds, VGG19 FT over ResNet34 FT, " in found[-1]
    other = claim("steadier", first=["VGG19/ft"], second=["ResNet34/ft"], over="folds", **VARIES)
    assert on_study(other, results(metrics=rows))[0] == {"supported": "contradicted"}.get(verdict, verdict)
    for lacking in (rows[1:], [row | {"accuracy": "1"} for row in rows], []):
        assert on_study(item, results(metrics=lacking))[0] == "not run"


def ranges(means: np.ndarray, draws: np.ndarray) -> Results:
    """Return a study of ResNet34 and VGG19 at four magnifications; (2, 4) and (draws, 2, 4)."""
    places = [(arm, size) for arm in range(2) for size in range(4)]
    return with_draws(
        *(
            (means[arm, size], draws[:, arm, size], {"model": ARMS[arm].lower(), "magnification": SIZES[size]})
            for arm, size in places
        )
    )


SIZES = ("40", "100", "200", "400")
CELLS = [[Cell.parse(f"table4 {arm}/ft {size}x accuracy") for size in SIZES] for arm in ARMS]


def test_a_difference_of_ranges_is_off_by_no_more_than_the_ranges_of_the_errors() -> None:
    means = np.array([[0.90, 0.91, 0.92, 0.93], [0.90, 0.80, 0.95, 0.90]])
    # In every draw one mean of each arm is off by 0.01 or 0.02: the ranges of the errors add up to 0.03.
    errors = np.zeros((1000, 2, 4))
    errors[:, 0, 1], errors[:, 1, 3] = 0.01, -0.02
    found = range_difference(ranges(means, means + errors), *CELLS)
    assert found.effect == pytest.approx(0.15 - 0.03)
    assert found.ends(1) == (pytest.approx(0.12 - 0.03), pytest.approx(0.12 + 0.03))
    item = claim("steadier", first=["ResNet34/ft"], second=["VGG19/ft"], over="magnifications", **VARIES)
    assert on_study(item, ranges(means, means + errors))[0] == "supported"
    assert on_study(item, ranges(means, means + 5 * errors))[0] == "undecided"
    assert on_study(item, ranges(means[::-1], means[::-1] + errors))[0] == "contradicted"


def test_noise_that_increases_a_range_is_not_taken_for_variability() -> None:
    """Neither arm has a range, but the second has six times the noise: percentiles of the ranges of draws would mislead."""
    generator, deviations = np.random.default_rng(5), np.array([[0.005], [0.03]])
    missed, percentiles, studies = 0, 0, 60
    for _ in range(studies):
        means = generator.standard_normal((2, 4)) * deviations
        draws = means + generator.standard_normal((1000, 2, 4)) * deviations
        missed += range_difference(ranges(means, draws), *CELLS).low > 0
        percentiles += np.quantile(np.ptp(draws[:, 1], axis=1) - np.ptp(draws[:, 0], axis=1), 0.025) > 0
    assert missed <= 5  # binomial: more than 5 of 60 have a probability of 0.003 at 2.5 %
    assert percentiles > studies / 2


def histories(**losses: Sequence[float] | np.ndarray) -> dict[Run, dict[str, str]]:
    """Return the last epochs of models at 40X and 200X; the loss of a fold is 0.01 higher at 200X."""
    return {
        Run("breakhis", model, "ft", "patient", size, "none", 0, fold): {
            "train_loss": "0.1",
            "validation_loss": str(value + (size == 200) / 100),
        }
        for model, values in losses.items()
        for size in (40, 200)
        for fold, value in enumerate(values, start=1)
    }


def test_final_losses_are_compared_over_folds() -> None:
    item = claim(
        "lower_loss", figures="Figure 6", first=["ResNet34/ft"], second=["VGG19/ft"], losses=["validation_loss"]
    )
    one, other = [0.10, 0.12, 0.14, 0.16, 0.18], [0.20, 0.23, 0.24, 0.27, 0.28]
    study = replace(results(), histories=histories(resnet34=one, vgg19=other))
    verdict, effect, low, high, text = on_study(item, study)
    # Differences 0.10, 0.11, 0.10, 0.11, 0.10: mean 0.104, variance 0.00003; of five folds one is tested on, four trained.
    half = 2.776445105 * math.sqrt(0.00003) * math.sqrt(1 / 5 + 1 / 4)
    assert (verdict, effect) == ("supported", pytest.approx(0.104))
    assert (low, high) == (pytest.approx(0.104 - half), pytest.approx(0.104 + half))
    assert text == "Final validation loss, VGG19 FT over ResNet34 FT (t interval of 5 folds)."
    again = {replace(run, seed=1): row for run, row in histories(vgg19=np.array(other) + 0.2).items()}
    seeds = replace(study, histories={**study.histories, **again})  # the mean over two seeds is 0.1 higher
    assert on_study(item, seeds)[1] == pytest.approx(0.204)
    swapped = replace(results(), histories=histories(resnet34=other, vgg19=one))
    assert on_study(item, swapped)[0] == "contradicted"
    both = item.model_copy(update={"arguments": item.arguments | {"losses": ["train_loss", "validation_loss"]}})
    assert on_study(both, study)[0] == "undecided"  # training losses do not differ
    for lacking in (histories(resnet34=one), histories(resnet34=one, vgg19=other[1:])):
        assert on_study(item, replace(results(), histories=lacking))[0] == "not run"
    assert on_study(item, results())[4] == "There is no history.csv of ResNet34 FT."


def test_deviations_over_folds_have_a_chi_square_interval() -> None:
    from scipy.stats import chi2

    item = claim(
        "fold_deviations", tables=["table4"], images="table1", arms=["ResNet34/ft"], reference={"a study": "0.04"},
        largest="0.023", folds=5,
    )  # fmt: skip
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
    item = claim("trainable", arms=["SmolVLM/ft"], rank=16, at_least="5", at_most="8")
    for count, verdict in (("6293505", "supported"), ("4359681", "contradicted")):
        study = results(parameters=[{"model": "smolvlm", "mode": "ft", "trainable": count}])
        assert on_study(item, study)[0] == verdict
    assert on_study(item, results())[0] == "not run"


def test_significance_is_asked_of_the_differences() -> None:
    pair = ["ResNet34/ft", "SmolVLM/ft"]
    item = claim("significant", table="table7", folds=5, pairs=[pair], metrics=["accuracy"], below="0.05")
    verdict, *_, text = on_study(item, with_draws((0.9, two(0.91, 0.92), {}), (0.9, two(0.9, 0.9), SMOLVLM)))
    assert verdict == "supported"
    assert text.startswith("The differences, whatever their p-values: ")


def test_the_whole_ledger_can_be_asked_of_an_empty_study() -> None:
    published = claims.on_paper(list(LEDGER.values()), PAPER)
    rows = claims.on_study(list(LEDGER.values()), published, results())
    # What no study can test is not a run that lacks.
    untestable = {name for name, item in LEDGER.items() if CHECKS[item.predicate][1] is None}
    assert {row["id"] for row in rows if row["study_verdict"] == "not applicable"} == untestable
    assert {row["study_verdict"] for row in rows if row["id"] not in untestable} == {"not run"}
    assert {"no-normalisation", "native-batch"} < untestable
    assert all(row["study_evidence"] for row in rows)
    (alone,) = (row for row in rows if row["id"] == "signed-rank")
    assert (
        alone["study_evidence"]
        == "No study can test it: it is about the paper's own numbers, or what these do not show."
    )


def test_cells_have_addresses() -> None:
    assert Cell.parse("table4 Qwen2-VL-2B/lp 40x auc") == Cell("table4", "Qwen2-VL-2B", "lp", "40", "auc")
    assert Cell.parse("table6 SmolVLM/ft f1").setting == "f1, Table 6"
