"""Verdicts on the published tables, worked out here from the printed numbers."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from histobench.claims import ledger as claims
from histobench.claims.checks.census import patient_splits
from histobench.claims.checks.consistency import accuracy_agrees, f1_agrees
from histobench.claims.checks.significance import signed_rank, signed_rank_p_values, significant, smallest_p_value
from histobench.claims.published import Paper, Patient
from histobench.claims.verdicts import ON_PAPER, ON_STUDY
from tests.claims.paper import FOLDER, LEDGER, PAPER, table


def doctored(name: str, where: Mapping[str, str], **values: str) -> Paper:
    """Return the paper with some numbers of the one row that `where` finds replaced."""
    rows = table(name)
    (row,) = (row for row in rows if all(row[key] == value for key, value in where.items()))
    row.update(values)
    return replace(PAPER, tables={**PAPER.tables, name: rows})


@pytest.fixture(scope="module")
def verdicts() -> dict[str, tuple[str, str]]:
    rows = claims.on_paper(list(LEDGER.values()), PAPER)
    return {str(row["id"]): (str(row["published_verdict"]), str(row["published_evidence"])) for row in rows}


def on_paper(claim: claims.Claim, paper: Paper) -> tuple[str, str]:
    (row,) = claims.on_paper([claim], paper)
    return str(row["published_verdict"]), str(row["published_evidence"])


def test_verdicts_worked_out_from_the_printed_numbers(verdicts) -> None:
    expected = {
        "signed-rank": ("impossible", ["0 of 9", "0.0625", "0.03125", "0.0431", "7 are below 0.0127"]),
        "table1-patient-level": ("implausible", ["4 of 4", "0 of 2,000,000"]),
        "bach-f1": ("impossible", ["F1 0.7851 exceeds 0.77795"]),
        "bach-auc": ("not checkable", ["AUC 0.7824 and accuracy 0.7825 coincide"]),
        "bach-accuracy": ("impossible", ["0.7215 where precision and recall imply 0.7411"]),
        "tables-accuracy": ("implausible", ["56 of 56 rows", "0.0019 to 0.0166", "any of 10,000 random"]),
        "no-vlm-reaches-a-cnn": ("contradicted", ["VGG19 FT 0.9405 against SmolVLM FT 0.9408"]),
        "cnns-over-vlms": ("contradicted", ["2 of 96"]),  # in Table 4, and again in Table 5
        "augmentation-smolvlm-200x": ("contradicted", ["0.9570 in the text is 0.9453 in the table"]),
        "smolvlm-recall": ("contradicted", ["0.9415 at 100X, not 0.9495", "0.9682 at 40X, not 0.9806"]),
        "smolvlm-recall-again": ("contradicted", ["0.9415 at 100X, not 0.9495"]),
        "hidden-size": ("contradicted", ["1536"]),
        "patches": ("contradicted", ["14 in Qwen2-VL-2B, 14 in SmolVLM"]),
        "patient-level-folds": ("implausible", ["56 of 56", "0.006 to 0.023", "0.044 (Priyanka 2026, ResNet50)"]),
        "all-significant": ("impossible", []),
        "resnet34-vlm-p": ("impossible", []),
        "resnet34-vlm-p-below": ("impossible", []),  # Table 7 has 0.010, which may be 0.0095
        "smolvlm-qwen2-p": (
            "implausible",
            ["7 of the 9"],
        ),  # a one-sided normal approximation with one tie gives 0.0211
        "lora-5-to-8-million": ("contradicted", ["4,359,681", "6,293,505"]),  # adapters, and heads of 1537 and 2049
        "lora-under-10-million": ("holds", []),
        "lora-over-probe": ("contradicted", []),  # AUC of Qwen2 at 40X: 0.9188 after, 0.9215 before
        "vlms-worse-at-400x": ("contradicted", []),  # Qwen2 lp: 0.8483 at 400X, 0.8124 at 100X
        "bach-recall-pattern": ("contradicted", []),  # 0.7591 - 0.7327 = 0.0264 < 0.9682 - 0.9401 = 0.0281
        "augmentation-lowers": ("holds", []),
        "resnet34-best": ("holds", []),
        "bach-larger-drop": ("holds", []),
        "tables-f1": ("holds", []),
        "dataset-patients": ("contradicted", ["at most 81 patients"]),
        "figure5-cnns-over-vlms": ("contradicted", ["1 of 48"]),
        # Mean of the CNNs minus SmolVLM: 0.0191 at 40X, 0.0338 at 100X, 0.0231 at 200X, 0.0334 at 400X.
        "figure5-smolvlm-approaches": ("holds", ["0.0104"]),
        "figure7-resnet34": ("not checkable", []),
        "crop-scale": ("impossible", []),
        "native-batch": ("not checkable", []),
    }
    for name, (verdict, parts) in expected.items():
        assert verdicts[name][0] == verdict, name
        for part in parts:
            assert part in verdicts[name][1], (name, part)


def test_the_documentation_defines_and_counts_the_verdicts(verdicts) -> None:
    text = (FOLDER / "README.md").read_text()
    found = [verdict for verdict, _ in verdicts.values()]
    for verdict, meaning in ON_PAPER.items():
        assert f"| {verdict} | {meaning} | {found.count(verdict)} |" in text, verdict
    assert set(found) == set(ON_PAPER)
    assert all(f"| {verdict} | {meaning} |" in text for verdict, meaning in ON_STUDY.items())
    assert f"reduces {len(verdicts)} claims" in text


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
    assert f"{wilcoxon([1, 2, 3, 4, 5], method='asymptotic').pvalue:.4f}" == "0.0431"


def test_no_version_of_the_signed_rank_test_gives_less_than_the_smallest_p_value() -> None:
    from scipy.stats import wilcoxon

    smallest, floor = 1.0, smallest_p_value(5)
    for sizes in itertools.combinations_with_replacement((-1, 0, 1, 2), 5):
        for zeros, correction in itertools.product(("wilcox", "pratt", "zsplit"), (False, True)) if any(sizes) else ():
            p = wilcoxon(
                sizes, zero_method=zeros, correction=correction, alternative="greater", method="asymptotic"
            ).pvalue
            smallest = min(smallest, float(p))
    assert smallest == pytest.approx(floor) == pytest.approx(0.01267, abs=5e-6)
    assert floor < 2**-5  # the exact one-sided p
    # What Table 7 prints for SmolVLM against Qwen2 can come from such an approximation, with one tie.
    tied = wilcoxon([1, 1, 2, 3, 4], alternative="greater", method="asymptotic", correction=False).pvalue
    assert f"{tied:.3f}" == "0.021"


def test_p_values_that_a_test_can_give_are_possible() -> None:
    rows = [row | {"accuracy_p": "0.063", "f1_p": "0.125", "auc_p": "0.188"} for row in table("table7")]
    paper = replace(PAPER, tables={**PAPER.tables, "table7": rows})
    assert signed_rank(paper, "table7", 5).verdict == "holds"
    ranking = [["ResNet34/ft", "SmolVLM/ft"]]
    assert significant(paper, "table7", 5, ranking, ["f1"], below="0.2").verdict == "holds"
    assert significant(paper, "table7", 5, ranking, ["f1"], below="0.05").verdict == "contradicted"


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
        paper = Paper({"table1": table("table1"), "table6": [row]})
        assert f1_agrees(paper, ["table6"], 5).verdict == "holds"
        assert accuracy_agrees(paper, ["table6"], 5, "1/2").verdict == "holds"
        higher = Paper({"table6": [row | {"f1_mean": f"{(precision.mean() + recall.mean()) / 2 + 0.0005:.4f}"}]})
        assert f1_agrees(higher, ["table6"], 5).verdict == "impossible"


def test_true_patient_level_folds_agree_at_any_class_balance() -> None:
    """Errors drawn on the official images, in random folds of patients: never called implausible."""
    generator = np.random.default_rng(4)
    images = np.array([patient.images for patient in PAPER.census])
    malignant = np.array([patient.malignant for patient in PAPER.census])
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
    found = accuracy_agrees(
        replace(PAPER, tables={"table1": table("table1"), "table4": rows}), ["table4"], 5, images="table1", draws=2_000
    )
    assert found.verdict == "holds", found.evidence


def test_the_excess_of_accuracy_is_that_of_whole_counts(verdicts) -> None:
    """ResNet34 at 40X from counts: 1370 malignant, 625 benign, recall 0.9935, precision 0.9860, printed 0.9879."""
    hits = 0.9935 * 1370
    false = hits / 0.9860 - hits
    implied = (hits + 625 - false) / 1995
    row = doctored("table4", {"model": "ResNet34", "magnification": "40"}).tables["table4"][4]
    assert (row["model"], row["magnification"]) == ("ResNet34", "40")
    text = accuracy_agrees(
        replace(PAPER, tables={"table1": table("table1"), "table4": [row]}), ["table4"], 5, images="table1"
    ).evidence
    assert f"imply {implied:.4f}" in text
    assert 0.002 < 0.9879 - implied < 0.003


def test_random_splits_of_patients_are_counted_as_one_by_one() -> None:
    paper = Paper(
        {
            "table1": [
                {"magnification": "40", "total": "6", "train": "3"},
                {"magnification": "100", "total": "6", "train": "3"},
            ]
        },
        [Patient(False, name, name, images) for name, images in (("a", (1, 2)), ("b", (2, 1)), ("c", (3, 3)))],
    )
    # Of the subsets with 1 or 2 patients, {c} and {a, b} hit; with share 1/2 all six are equally likely.
    exact, near = patient_splits(paper, "table1", 0.5, (1, 2), 30_000, seed=1, near=1)
    assert exact / 30_000 == pytest.approx(2 / 6, abs=4 * (1 / 3 * 2 / 3 / 30_000) ** 0.5)  # four standard errors
    # {a}, {b}, {a, c} and {b, c} are two images away at the worse magnification.
    assert near == exact
    assert patient_splits(paper, "table1", 0.5, (1, 2), 5_000, seed=1, near=2)[1] == 5_000
    assert patient_splits(paper, "table1", 0.5, (1, 2), 5_000, seed=1) == patient_splits(
        paper, "table1", 0.5, (1, 2), 5_000, seed=1
    )


def test_a_split_of_other_sizes_is_no_evidence_for_a_split_of_images() -> None:
    claim = LEDGER["table1-patient-level"]
    quick = claim.model_copy(update={"arguments": {**claim.arguments, "draws": 1000}})
    assert on_paper(quick, PAPER)[0] == "implausible"
    paper = doctored("table1", {"magnification": "40"}, train="1380", test="615")
    assert on_paper(quick, paper)[0] == "not checkable"
    assert on_paper(LEDGER["table1-sizes"], paper)[0] == "contradicted"


# Doctored tables flip verdicts


@pytest.mark.parametrize(
    ("name", "number", "where", "values", "verdict"),
    [
        ("no-vlm-reaches-a-cnn", "table4", {"model": "VGG19", "magnification": "40"}, {"accuracy_mean": "0.9410"}, "holds"),
        ("no-vlm-reaches-a-cnn", "table4", {"model": "VGG19", "magnification": "40"}, {"accuracy_mean": "0.9407"}, "contradicted"),
        # Two numbers of four decimals may be off by 0.0001 together: an apparent difference of that size decides nothing.
        ("no-vlm-reaches-a-cnn", "table4", {"model": "VGG19", "magnification": "40"}, {"accuracy_mean": "0.9408"}, "not checkable"),
        ("no-vlm-reaches-a-cnn", "table4", {"model": "VGG19", "magnification": "40"}, {"accuracy_mean": "0.9409"}, "not checkable"),
        ("augmentation-lowers", "table5", {"model": "AlexNet", "magnification": "40"}, {"auc_mean": "0.9914"}, "contradicted"),
        ("augmentation-smolvlm-200x", "table4", {"model": "SmolVLM", "mode": "ft", "magnification": "200"}, {"accuracy_mean": "0.9570"}, "holds"),
        ("bach-f1", "table6", {"model": "ResNet34"}, {"f1_mean": "0.7779"}, "impossible"),  # SmolVLM's row stays
        ("bach-auc", "table6", {"model": "ResNet34"}, {"auc_mean": "0.8600"}, "holds"),
        ("resnet34-best", "table4", {"model": "VGG19", "magnification": "200"}, {"auc_mean": "0.9970"}, "contradicted"),
        ("resnet34-variance", "table4", {"model": "ResNet34", "magnification": "200"}, {"accuracy_std": "0.0110"}, "contradicted"),
        ("resnet34-variance", "table4", {"model": "ResNet34", "magnification": "200"}, {"accuracy_std": "0.0100"}, "not checkable"),
        # Precision 0.9603 and recall 0.9641 leave at most 1 - 2 x 0.9641 + 0.9641 / 0.9603 = 0.0758 errors per malignant
        # image, so that no class balance gives an accuracy below 0.924.
        ("tables-accuracy", "table4", {"model": "AlexNet", "magnification": "40"}, {"accuracy_mean": "0.9200"}, "impossible"),
        ("resnet34-vlm-p-below", "table7", {"second": "ResNet34", "first": "SmolVLM"}, {"f1_p": "0.011"}, "contradicted"),
        ("resnet34-vlm-p-below", "table7", {"second": "ResNet34", "first": "SmolVLM"}, {"f1_p": "0.009"}, "impossible"),
        ("dataset-counts", "table1", {"magnification": "40"}, {"benign": "626"}, "contradicted"),
        ("dataset-counts", "table1", {"magnification": "total"}, {"test": "2374"}, "contradicted"),
        ("cnn-sizes", "table2", {"model": "VGG19"}, {"parameters_millions": "20.0"}, "contradicted"),
        ("tables-f1", "table4", {"model": "AlexNet", "magnification": "40"}, {"f1_mean": "0.9630"}, "impossible"),
        ("smolvlm-recall-again", "table4", {"model": "SmolVLM", "mode": "ft", "magnification": "100"}, {"recall_mean": "0.9495"}, "holds"),
    ],
)  # fmt: skip
def test_a_doctored_table_flips_the_verdict(name, number, where, values, verdict) -> None:
    assert on_paper(LEDGER[name], doctored(number, where, **values))[0] == verdict


def test_a_higher_rank_trains_more_parameters() -> None:
    (rank,) = (row["value"] for row in table("table3") if row["hyperparameter"] == "Rank r")
    ranks = {item.arguments["rank"] for item in LEDGER.values() if item.predicate == "trainable"}
    assert ranks == {int(rank)}
    claim = LEDGER["lora-5-to-8-million"]
    higher = claim.model_copy(update={"arguments": {**claim.arguments, "rank": 19}})
    assert (on_paper(claim, PAPER)[0], on_paper(higher, PAPER)[0]) == ("contradicted", "holds")


def test_deviations_of_patient_level_size_pass() -> None:
    rows = {number: [row | {"accuracy_std": "0.0500"} for row in table(number)] for number in ("table4", "table5")}
    assert on_paper(LEDGER["patient-level-folds"], replace(PAPER, tables={**PAPER.tables, **rows}))[0] == "holds"
    largest = max(row["accuracy_std"] for number in ("table4", "table5") for row in table(number))
    assert Fraction(LEDGER["patient-level-folds"].arguments["largest"]) == Fraction(largest)


def test_what_the_paper_lacks_is_not_checkable() -> None:
    bare = Paper({**PAPER.tables, "table4": [row for row in table("table4") if row["model"] != "VGG19"]})
    for name in ("hidden-size", "vgg19-400x", "lora-5-to-8-million"):
        assert on_paper(LEDGER[name], bare)[0] == "not checkable"
