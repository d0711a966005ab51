"""Verdicts on the published tables, worked out here from the printed numbers, and on small made-up studies."""

import csv
import itertools
import math
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml

from histobench.claims import evidence, predicates
from histobench.claims import ledger as claims
from histobench.claims.evidence import Cell, Estimate, Paper, Study
from histobench.claims.predicates import ON_PAPER, ON_STUDY, signed_rank_p_values
from histobench.datasets import breakhis
from histobench.io.errors import HistoBenchError

ROOT = Path(__file__).parents[2]
LEDGER = ROOT / "resources" / "paper" / "claims.yaml"
CONFIG = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())


def table(number: int) -> list[dict[str, str]]:
    with (ROOT / "resources" / "paper" / "tables" / f"table{number}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


PAPER = Paper(
    tables={number: table(number) for number in range(1, 8)},
    patients=evidence.patients(breakhis.official()),
    models={model["label"]: model["config"] for model in CONFIG["models"].values() if "config" in model},
)


def doctored(number: int, where: Mapping[str, str], **values: str) -> Paper:
    """Return the paper with some numbers of the one row that `where` finds replaced."""
    rows = table(number)
    (row,) = (row for row in rows if all(row[key] == value for key, value in where.items()))
    row.update(values)
    return replace(PAPER, tables={**PAPER.tables, number: rows})


@pytest.fixture(scope="module")
def ledger() -> dict[str, claims.Claim]:
    return {claim.id: claim for claim in claims.load(LEDGER)}


@pytest.fixture(scope="module")
def verdicts(ledger) -> dict[str, tuple[str, str]]:
    rows = claims.on_paper(list(ledger.values()), PAPER)
    return {str(row["id"]): (str(row["published_verdict"]), str(row["published_evidence"])) for row in rows}


def on_paper(claim: claims.Claim, paper: Paper) -> tuple[str, str]:
    (row,) = claims.on_paper([claim], paper)
    return str(row["published_verdict"]), str(row["published_evidence"])


def test_the_ledger_is_large_short_and_consistent(ledger) -> None:
    assert len(ledger) >= 40
    assert all(len(claim.sentence.split()) <= 20 for claim in ledger.values())
    assert {claim.predicate for claim in ledger.values()} == set(ON_PAPER)  # none is dead
    for name, function in ON_STUDY.items():
        mine, theirs = (set(list(signature_of(item))[1:]) for item in (function, ON_PAPER[name]))
        assert mine == theirs, name


def signature_of(function) -> list[str]:
    return list(function.__code__.co_varnames[: function.__code__.co_argcount])


def test_every_finding_of_the_protocol_is_among_the_verdicts(verdicts) -> None:
    expected = {
        "signed-rank": ("impossible", ["0 of 9", "0.0625", "0.03125", "0.0431"]),
        "table1-patient-level": ("contradicted", ["4 of 4", "0 of 2,000,000"]),
        "bach-f1": ("impossible", ["F1 0.7851 exceeds 0.77795"]),
        "bach-auc": ("not checkable", ["AUC 0.7824 and accuracy 0.7825 coincide"]),
        "bach-accuracy": ("impossible", ["0.7215 where precision and recall imply 0.7411"]),
        "tables-accuracy": ("impossible", ["56 of 56 rows", "0.0019 to 0.0166"]),
        "no-vlm-reaches-a-cnn": ("contradicted", ["VGG19/ft 0.9405 against SmolVLM/ft 0.9408"]),
        "cnns-over-vlms": ("contradicted", ["2 of 96"]),  # in Table 4, and again in Table 5
        "augmentation-smolvlm-200x": ("contradicted", ["0.9570 in the text is 0.9453 in the table"]),
        "smolvlm-recall": ("contradicted", ["0.9415 at 100X, not 0.9495", "0.9682 at 40X, not 0.9806"]),
        "smolvlm-recall-again": ("contradicted", ["0.9415 at 100X, not 0.9495"]),
        "hidden-size": ("contradicted", ["1536"]),
        "patches": ("contradicted", ["14 in Qwen2-VL-2B, 14 in SmolVLM"]),
        "patient-level-folds": ("contradicted", ["56 of 56", "0.006 to 0.023", "0.04 to 0.07"]),
    }
    for name, (verdict, parts) in expected.items():
        assert verdicts[name][0] == verdict, name
        for part in parts:
            assert part in verdicts[name][1], (name, part)


def test_further_verdicts(verdicts) -> None:
    for name, verdict in {
        "all-significant": "impossible",
        "resnet34-vlm-p": "impossible",
        "resnet34-vlm-p-below": "contradicted",  # Table 7 has 0.010, which is not below 0.01
        "lora-5-to-8-million": "contradicted",
        "lora-under-10-million": "holds",
        "lora-over-probe": "contradicted",  # AUC of Qwen2 at 40X: 0.9188 after, 0.9215 before
        "vlms-worse-at-400x": "contradicted",  # Qwen2 lp: 0.8483 at 400X, 0.8124 at 100X
        "bach-recall-pattern": "contradicted",  # 0.7591 - 0.7327 = 0.0264 < 0.9682 - 0.9401 = 0.0281
        "augmentation-lowers": "holds",
        "resnet34-best": "holds",
        "bach-larger-drop": "holds",
        "tables-f1": "holds",
        "dataset-patients": "contradicted",
        "crop-scale": "impossible",
        "native-batch": "not checkable",
    }.items():
        assert verdicts[name][0] == verdict, name


# Arithmetic, worked out another way


def test_attainable_p_values_are_those_of_all_32_patterns_of_signs() -> None:
    sums = [
        sum(r for r, sign in zip(range(1, 6), signs, strict=True) if sign)
        for signs in itertools.product((0, 1), repeat=5)
    ]
    expected = {min(1.0, 2 * min(np.mean(np.array(sums) <= s), np.mean(np.array(sums) >= s))) for s in sums}
    assert [float(p) for p in signed_rank_p_values(5)] == sorted(expected)
    assert {p / Fraction(1, 16) for p in signed_rank_p_values(5)} <= set(range(1, 17))
    from scipy.stats import wilcoxon

    assert float(signed_rank_p_values(5)[0]) == wilcoxon([1, 2, 3, 4, 5], method="exact").pvalue == 0.0625
    # The approximation's floors, with and without ties: scipy's own.
    for differences, text in (([1, 2, 3, 4, 5], "0.0431"), ([1, 1, 1, 1, 1], "0.0253")):
        p = wilcoxon(differences, method="asymptotic", correction=False).pvalue
        assert f"{p:.4f}" == text
        assert text in ON_PAPER["signed_rank"](PAPER, 5).evidence


def test_p_values_that_a_test_can_give_are_possible() -> None:
    rows = [row | {"accuracy_p": "0.063", "f1_p": "0.125", "auc_p": "0.188"} for row in table(7)]
    paper = replace(PAPER, tables={**PAPER.tables, 7: rows})
    assert ON_PAPER["signed_rank"](paper, 5).verdict == "holds"
    ranking = [["ResNet34/ft", "SmolVLM/ft"]]
    assert ON_PAPER["significant"](paper, ranking, ["f1"], below="0.2").verdict == "holds"
    assert ON_PAPER["significant"](paper, ranking, ["f1"], below="0.05").verdict == "contradicted"


def test_scores_of_true_folds_agree_and_doctored_ones_do_not() -> None:
    """Five folds with true counts: whatever they are, their means must pass."""
    generator = np.random.default_rng(3)
    for _ in range(200):
        positive, negative = 200, 200
        hits = generator.binomial(positive, generator.uniform(0.6, 0.99, 5))
        false = generator.binomial(negative, generator.uniform(0.01, 0.3, 5))
        precision, recall = hits / (hits + false), hits / positive
        f1, accuracy = 2 * hits / (2 * hits + false + positive - hits), (hits + negative - false) / 400
        row = {"model": "M", "mode": "ft"}
        for name, values in (("precision", precision), ("recall", recall), ("f1", f1), ("accuracy", accuracy)):
            row |= {f"{name}_mean": f"{values.mean():.4f}", f"{name}_std": f"{values.std(ddof=1):.3f}"}
        paper = Paper({1: table(1), 6: [row]})
        assert ON_PAPER["f1_agrees"](paper, [6]).verdict == "holds"
        assert ON_PAPER["accuracy_agrees"](paper, [6], "1/2").verdict == "holds"
        higher = Paper({6: [row | {"f1_mean": f"{(precision.mean() + recall.mean()) / 2 + 0.0005:.4f}"}]})
        assert ON_PAPER["f1_agrees"](higher, [6]).verdict == "impossible"


def test_true_patient_level_folds_agree_at_any_class_balance() -> None:
    """Errors drawn on the official images, in random folds of patients: never called impossible."""
    generator = np.random.default_rng(4)
    images = np.array([patient.images for patient in PAPER.patients])
    malignant = np.array([patient.malignant for patient in PAPER.patients])
    rows = []
    for size, magnification in enumerate(("40", "100", "200", "400")):
        fold = np.empty(len(malignant), int)
        for side in (malignant, ~malignant):
            fold[side] = generator.permutation(side.sum()) % 5
        scores = []
        for number in range(5):
            positive = images[malignant & (fold == number), size].sum()
            negative = images[~malignant & (fold == number), size].sum()
            hits, false = generator.binomial(positive, 0.93), generator.binomial(negative, 0.12)
            accuracy = (hits + negative - false) / (positive + negative)
            scores.append((accuracy, hits / (hits + false), hits / positive))
        row = {"model": "M", "mode": "ft", "magnification": magnification}
        for name, values in zip(("accuracy", "precision", "recall"), np.array(scores).T, strict=True):
            row |= {f"{name}_mean": f"{values.mean():.4f}", f"{name}_std": f"{values.std(ddof=1):.3f}"}
        rows.append(row)
    found = ON_PAPER["accuracy_agrees"](replace(PAPER, tables={1: table(1), 4: rows}), [4], draws=2_000)
    assert found.verdict == "holds", found.evidence


def test_the_excess_of_accuracy_is_that_of_whole_counts(verdicts) -> None:
    """ResNet34 at 40X from counts: 1370 malignant, 625 benign, recall 0.9935, precision 0.9860, printed 0.9879."""
    hits = 0.9935 * 1370
    false = hits / 0.9860 - hits
    implied = (hits + 625 - false) / 1995
    row = doctored(4, {"model": "ResNet34", "magnification": "40"}).tables[4][4]
    assert (row["model"], row["magnification"]) == ("ResNet34", "40")
    text = ON_PAPER["accuracy_agrees"](replace(PAPER, tables={1: table(1), 4: [row]}), [4]).evidence
    assert f"imply {implied:.4f}" in text
    assert 0.002 < 0.9879 - implied < 0.003


def test_lora_counts_are_the_known_ones(verdicts) -> None:
    # 4,358,144 and 6,291,456 adapters, plus a head of 1536 + 1 and 2048 + 1.
    assert "4,359,681" in verdicts["lora-5-to-8-million"][1]
    assert "6,293,505" in verdicts["lora-5-to-8-million"][1]


def test_random_splits_of_patients_are_counted_as_one_by_one() -> None:
    paper = Paper(
        {
            1: [
                {"magnification": "40", "total": "6", "train": "3"},
                {"magnification": "100", "total": "6", "train": "3"},
            ]
        },
        [evidence.Patient(False, name, name, images) for name, images in (("a", (1, 2)), ("b", (2, 1)), ("c", (3, 3)))],
    )
    # Of the subsets with 1 or 2 patients, {c} and {a, b} hit; with share 1/2 all six are equally likely.
    exact, near = predicates.patient_splits(paper, 0.5, (1, 2), 30_000, seed=1, near=1)
    assert exact / 30_000 == pytest.approx(2 / 6, abs=0.01)
    # {a}, {b}, {a, c} and {b, c} are two images away at the worse magnification.
    assert near == exact
    assert predicates.patient_splits(paper, 0.5, (1, 2), 5_000, seed=1, near=2)[1] == 5_000
    assert predicates.patient_splits(paper, 0.5, (1, 2), 5_000, seed=1) == predicates.patient_splits(
        paper, 0.5, (1, 2), 5_000, seed=1
    )


def test_a_split_of_other_sizes_is_no_evidence_for_a_split_of_images(ledger) -> None:
    claim = ledger["table1-patient-level"]
    quick = replace(claim, arguments={**claim.arguments, "draws": 1000})
    assert on_paper(quick, PAPER)[0] == "contradicted"
    paper = doctored(1, {"magnification": "40"}, train="1380", test="615")
    assert on_paper(quick, paper)[0] == "not checkable"
    assert on_paper(ledger["table1-sizes"], paper)[0] == "contradicted"


# Doctored tables flip verdicts


@pytest.mark.parametrize(
    ("name", "number", "where", "values", "verdict"),
    [
        ("no-vlm-reaches-a-cnn", 4, {"model": "VGG19", "magnification": "40"}, {"accuracy_mean": "0.9409"}, "holds"),
        ("no-vlm-reaches-a-cnn", 4, {"model": "VGG19", "magnification": "40"}, {"accuracy_mean": "0.9408"}, "contradicted"),
        ("augmentation-lowers", 5, {"model": "AlexNet", "magnification": "40"}, {"auc_mean": "0.9912"}, "contradicted"),
        (
            "augmentation-smolvlm-200x",
            4,
            {"model": "SmolVLM", "mode": "ft", "magnification": "200"},
            {"accuracy_mean": "0.9570"},
            "holds",
        ),
        ("bach-f1", 6, {"model": "ResNet34"}, {"f1_mean": "0.7779"}, "impossible"),  # SmolVLM's row stays
        ("bach-auc", 6, {"model": "ResNet34"}, {"auc_mean": "0.8600"}, "holds"),
        ("resnet34-best", 4, {"model": "VGG19", "magnification": "200"}, {"auc_mean": "0.9970"}, "contradicted"),
        ("resnet34-variance", 4, {"model": "ResNet34", "magnification": "200"}, {"accuracy_std": "0.0100"}, "contradicted"),
        ("resnet34-vlm-p-below", 7, {"second": "ResNet34", "first": "SmolVLM"}, {"f1_p": "0.009"}, "impossible"),
        ("dataset-counts", 1, {"magnification": "40"}, {"benign": "626"}, "contradicted"),
        ("dataset-counts", 1, {"magnification": "total"}, {"test": "2374"}, "contradicted"),
        ("cnn-sizes", 2, {"model": "VGG19"}, {"parameters_millions": "20.0"}, "contradicted"),
        ("lora-5-to-8-million", 3, {"hyperparameter": "Rank r"}, {"value": "19"}, "holds"),
        ("tables-f1", 4, {"model": "AlexNet", "magnification": "40"}, {"f1_mean": "0.9630"}, "impossible"),
        ("smolvlm-recall-again", 4, {"model": "SmolVLM", "mode": "ft", "magnification": "100"}, {"recall_mean": "0.9495"}, "holds"),
    ],
)  # fmt: skip
def test_a_doctored_table_flips_the_verdict(ledger, name, number, where, values, verdict) -> None:
    assert on_paper(ledger[name], doctored(number, where, **values))[0] == verdict


def test_deviations_of_patient_level_size_pass(ledger) -> None:
    rows = {number: [row | {"accuracy_std": "0.0500"} for row in table(number)] for number in (4, 5)}
    assert on_paper(ledger["patient-level-folds"], replace(PAPER, tables={**PAPER.tables, **rows}))[0] == "holds"
    largest = max(row["accuracy_std"] for number in (4, 5) for row in table(number))
    assert Fraction(ledger["patient-level-folds"].arguments["largest"]) == Fraction(largest)


def test_what_is_not_at_hand_is_not_checkable(ledger) -> None:
    bare = Paper({**PAPER.tables, 4: [row for row in table(4) if row["model"] != "VGG19"]})
    for name in ("hidden-size", "dataset-patients", "vgg19-400x", "lora-5-to-8-million"):
        assert on_paper(ledger[name], bare)[0] == "not checkable"


# A study

NAMES = {"resnet34": "ResNet34", "smolvlm": "SmolVLM", "vgg19": "VGG19"}
PLACE = {"dataset": "breakhis", "split": "patient", "magnification": "200", "augmentation": "none", "selection": "last"}
EMPTY = Study(NAMES, "breakhis", "patient", {4: "none", 5: "paper"})


def compared(
    low: float, high: float, first: str = "resnet34/ft", second: str = "smolvlm/ft", **more: str
) -> dict[str, str]:
    numbers = {"pooled_difference": str((low + high) / 2), "low": str(low), "high": str(high)}
    return PLACE | {"first": first, "second": second, "metric": "accuracy"} | numbers | more


def interval(low: float, high: float, **more: str) -> dict[str, str]:
    numbers = {"estimate": str((low + high) / 2), "low": str(low), "high": str(high)}
    return PLACE | {"model": "resnet34", "mode": "ft", "metric": "accuracy"} | numbers | more


def fold_rows(values: list[float], **more: str) -> list[dict[str, str]]:
    return [
        PLACE | {"model": "resnet34", "mode": "ft", "fold": str(fold), "images": "100", "accuracy": str(value)} | more
        for fold, value in enumerate(values, start=1)
    ]


def claim(predicate: str, **arguments: object) -> claims.Claim:
    return claims.Claim("c", "1", "A sentence", predicate, arguments)


def on_study(item: claims.Claim, study: Study) -> tuple[str, object, object, object, str]:
    published = [{"id": "c", "published_verdict": "holds", "published_evidence": "It does."}]
    (row,) = claims.on_study([item], published, study)
    assert set(row) == set(claims.COLUMNS)
    return str(row["study_verdict"]), row["effect"], row["low"], row["high"], str(row["study_evidence"])


OVER = claim(
    "exceeds",
    terms={"table4 ResNet34/ft 200x accuracy": 1, "table4 SmolVLM/ft 200x accuracy": -1},
)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.05, "supported"), (-0.05, -0.01, "contradicted"), (-0.01, 0.03, "undecided"), (0.0, 0.03, "undecided")],
)
def test_a_difference_of_two_arms_is_that_of_the_comparison(low, high, verdict) -> None:
    study = replace(EMPTY, comparisons=[compared(low, high)])
    found = on_study(OVER, study)
    assert found[:4] == (verdict, (low + high) / 2, low, high)
    # The other way round in the file, and beside other rows.
    other = [compared(0.5, 0.6, selection="best_epoch"), compared(0.5, 0.6, augmentation="paper")]
    turned = compared(-high, -low, "smolvlm/ft", "resnet34/ft")
    assert on_study(OVER, replace(EMPTY, comparisons=[*other, turned]))[:4] == (verdict, (low + high) / 2, low, high)


@pytest.mark.parametrize(
    ("study", "evidence_"),
    [
        (EMPTY, "There is no comparisons.csv."),
        (replace(EMPTY, comparisons=[]), "comparisons.csv does not compare ResNet34/ft and SmolVLM/ft (accuracy, 200X, Table 4)."),
        (replace(EMPTY, names={"resnet34": "ResNet34"}, comparisons=[compared(1, 2)]), "The study has no model SmolVLM."),
        (
            replace(EMPTY, comparisons=[compared(1, 2) | {"low": ""}]),
            "No interval of ResNet34/ft and SmolVLM/ft (accuracy, 200X, Table 4).",
        ),
    ],
)  # fmt: skip
def test_what_the_study_lacks_is_not_run(study, evidence_) -> None:
    assert on_study(OVER, study) == ("not run", None, None, None, evidence_)


def test_a_claim_about_the_paper_alone_is_not_run() -> None:
    verdict, *_, text = on_study(claim("signed_rank", pairs=5), EMPTY)
    assert (verdict, text) == ("not run", "About the paper's own numbers: no study can test it.")


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
    verdict, effect, _, _, text = on_study(both, replace(EMPTY, comparisons=rows))
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
    study = replace(EMPTY, intervals=[interval(0, 0.1, metric="auc"), interval(low, high)])
    assert on_study(item, study)[:4] == (verdict, pytest.approx(0.96), low, high)


def test_a_printed_number_is_contradicted_or_undecided() -> None:
    item = claim("printed", cells={"table4 ResNet34/ft 200x accuracy": "0.9824"})
    assert on_study(item, replace(EMPTY, intervals=[interval(0.97, 0.99)]))[0] == "undecided"
    assert on_study(item, replace(EMPTY, intervals=[interval(0.90, 0.97)]))[0] == "contradicted"
    # Half a unit of the last digit is still the printed number.
    assert on_study(item, replace(EMPTY, intervals=[interval(0.97, 0.98236)]))[0] == "undecided"
    assert on_study(item, replace(EMPTY, intervals=[interval(0.97, 0.98234)]))[0] == "contradicted"


def test_a_difference_between_settings_has_the_corrected_t_interval_of_its_folds() -> None:
    item = claim("exceeds", terms={"table4 ResNet34/ft 200x accuracy": 1, "table5 ResNet34/ft 200x accuracy": -1})
    plain, augmented = [0.90, 0.92, 0.94, 0.96, 0.98], [0.89, 0.90, 0.93, 0.94, 0.97]
    metrics = fold_rows(plain) + fold_rows(augmented, augmentation="paper")
    verdict, effect, low, high, _ = on_study(item, replace(EMPTY, metrics=metrics))
    # Differences 0.01, 0.02, 0.01, 0.02, 0.01: mean 0.014, variance 4 x ... = 0.00003; 100 of 500 images per fold.
    half = 2.776445105 * math.sqrt(0.00003) * math.sqrt(1 / 5 + 100 / 400)
    assert effect == pytest.approx(0.014)
    assert (low, high) == (pytest.approx(0.014 - half), pytest.approx(0.014 + half))
    assert (verdict, half < 0.014) == ("supported", True)
    missing = replace(EMPTY, metrics=metrics[:-1])
    assert on_study(item, missing)[0] == "not run"


def test_the_external_test_is_paired_fold_by_fold() -> None:
    item = claim("exceeds", terms={"table4 ResNet34/ft 200x accuracy": 1, "table6 ResNet34/ft accuracy": -1})
    table6 = {"on": "bach", "dataset": "breakhis", "split": "patient", "magnification": "40", "augmentation": "none"}
    other = [row | {"on": "bach"} for row in fold_rows([0.7, 0.72, 0.71, 0.75, 0.7], magnification="40")]
    noise = [row | {"on": "bach"} for row in fold_rows([0.1] * 5)]
    study = replace(EMPTY, metrics=fold_rows([0.9, 0.91, 0.92, 0.93, 0.9]), external_metrics=noise + other)
    assert on_study(item, study)[0] == "not run"
    verdict, effect, *_ = on_study(item, replace(study, table6=table6))
    assert (verdict, effect) == ("supported", pytest.approx(0.912 - 0.716))


def test_a_score_on_the_external_dataset_has_its_own_interval() -> None:
    item = claim("within", cells="table6 ResNet34/ft accuracy", at_least="0.70")
    table6 = {"on": "bach", "dataset": "breakhis", "split": "patient", "magnification": "40", "augmentation": "none"}
    rows = [interval(0.72, 0.80, **table6), interval(0.1, 0.2, **table6 | {"magnification": "200"})]
    study = replace(EMPTY, table6=table6, external_intervals=rows)
    assert on_study(item, study)[:4] == ("supported", pytest.approx(0.76), 0.72, 0.80)
    assert on_study(item, replace(study, external_intervals=rows[1:]))[0] == "not run"
    assert on_study(item, replace(study, table6={}))[4] == "The study has no external test."


def test_deviations_over_folds_have_a_chi_square_interval() -> None:
    from scipy.stats import chi2

    item = claim("fold_deviations", arms=["ResNet34/ft"], reference=["0.04", "0.07"], largest="0.023")
    row = PLACE | {"model": "resnet34", "mode": "ft", "folds": "5", "accuracy_std": "0.06"}
    study = replace(EMPTY, summary=[row, row | {"model": "other", "accuracy_std": "0.9"}])
    verdict, effect, low, high, _ = on_study(item, study)
    assert (verdict, effect) == ("contradicted", pytest.approx(0.06))
    assert low == pytest.approx(0.06 * math.sqrt(4 / chi2.ppf(0.975, 4)))
    assert high == pytest.approx(0.06 * math.sqrt(4 / chi2.ppf(0.025, 4)))
    assert on_study(item, replace(EMPTY, summary=[row | {"accuracy_std": "0.02"}]))[0] == "undecided"
    assert on_study(item, replace(EMPTY, summary=[row | {"accuracy_std": "0.004"}]))[0] == "supported"
    assert on_study(item, replace(EMPTY, summary=[row | {"mode": "lp"}]))[0] == "not run"


def test_trained_parameters_are_counted() -> None:
    item = claim("trainable", arms=["SmolVLM/ft"], at_least="5", at_most="8")
    for count, verdict in (("6293505", "supported"), ("4359681", "contradicted")):
        study = replace(EMPTY, parameters=[{"model": "smolvlm", "mode": "ft", "trainable": count}])
        assert on_study(item, study)[0] == verdict
    assert on_study(item, EMPTY)[0] == "not run"


def test_significance_is_asked_of_the_differences() -> None:
    item = claim("significant", pairs=[["ResNet34/ft", "SmolVLM/ft"]], metrics=["accuracy"], below="0.05")
    verdict, *_, text = on_study(item, replace(EMPTY, comparisons=[compared(0.01, 0.02)]))
    assert verdict == "supported"
    assert text.startswith("The differences, whatever their p-values: ")


def test_two_models_of_one_name_are_told_apart_by_the_user() -> None:
    with pytest.raises(HistoBenchError, match="models a and b are both named 'ResNet34' in print"):
        on_study(OVER, replace(EMPTY, names={"a": "ResNet34", "b": "ResNet34"}, comparisons=[]))


def test_the_whole_ledger_can_be_asked_of_an_empty_study(ledger, verdicts) -> None:
    published = [{"id": name, "published_verdict": v, "published_evidence": e} for name, (v, e) in verdicts.items()]
    rows = claims.on_study(list(ledger.values()), published, EMPTY)
    assert {row["study_verdict"] for row in rows} == {"not run"}
    assert all(row["study_evidence"] for row in rows)
    with pytest.raises(HistoBenchError, match="run `snakemake claims_published` again"):
        claims.on_study(list(ledger.values()), published[1:], EMPTY)


# The ledger as a file

GOOD = "claims:\n- {id: a, section: '1', sentence: s, predicate: product, arguments: {factors: [2, 3], result: '6'}}\n"


def test_a_new_claim_is_a_line_of_yaml(tmp_path: Path) -> None:
    (tmp_path / "claims.yaml").write_text(GOOD)
    (item,) = claims.load(tmp_path / "claims.yaml")
    assert on_paper(item, PAPER) == ("holds", "2 x 3 = 6.")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("claims: [", "is not YAML"),
        ("", "expected a key `claims` with a list"),
        ("claims: {}", "expected a key `claims` with a list"),
        ("claims: [a]", "claim 1: expected the keys id, section"),
        (GOOD.replace("id: a, ", ""), "claim 1: id is None, expected a text"),
        (GOOD.replace("'1'", "1"), "claim a: section is 1, expected a text; write one, in quotes"),
        (GOOD.replace("predicate: product", "predicate: produkt"), "there is no predicate 'produkt'; choose one of"),
        (GOOD.replace("section:", "verdict: holds, section:"), "unknown key 'verdict'"),
        (GOOD + GOOD.splitlines()[1], "the id occurs a second time"),
        (GOOD.replace("factors", "factor"), "arguments of predicate product: "),
        (GOOD.replace("{factors: [2, 3], result: '6'}", "[2]"), "arguments are [2], expected names and values"),
    ],
)
def test_a_malformed_ledger_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(text)
    with pytest.raises(HistoBenchError) as error:
        claims.load(path)
    assert sentence in str(error.value)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_a_missing_ledger_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(HistoBenchError, match="no such file; restore it"):
        claims.load(tmp_path / "claims.yaml")


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("table4 ResNet34 200x accuracy", "is no cell; write for example"),
        ("table4 ResNet34/ft accuracy", "is no cell"),
        ("table6 ResNet34/ft 40x accuracy", "is no cell"),
        ("table4 ResNet34/ft 200x accurracy", "is no cell"),
        ("table4 {arm} 200x accuracy", "`each` gives no values for {arm}"),
    ],
)
def test_a_wrong_cell_is_one_sentence(address: str, fault: str) -> None:
    with pytest.raises(HistoBenchError) as error:
        on_paper(claim("exceeds", terms={address: 1}), PAPER)
    assert str(error.value).startswith("claim c: arguments of predicate exceeds: ")
    assert fault in str(error.value)
    assert str(error.value).endswith("; correct them in the ledger")


def test_cells_have_addresses() -> None:
    assert Cell.parse("table4 Qwen2-VL-2B/lp 40x auc") == Cell(4, "Qwen2-VL-2B", "lp", "40", "auc")
    assert Cell.parse("table6 SmolVLM/ft f1").setting == "f1, Table 6"
