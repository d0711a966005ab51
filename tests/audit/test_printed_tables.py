"""Audits of printed tables: made-up ones against matrices tried one by one, and the paper's."""

import csv
import itertools
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from histobench.audit.confusion_matrices import Window, folds_allow, matrices
from histobench.audit.printed_p_values import check_p_value
from histobench.audit.printed_scores import number, p_value, read
from histobench.audit.printed_tables import sections
from histobench.audit.table_options import load
from histobench.claims.rank_tests import rank_sum_p_values, sign_p_values, signed_rank_p_values
from histobench.io.errors import HistoBenchError
from tests.claims.paper import FOLDER, LEDGER

TABLES = FOLDER / "tables"
GRC_SOM = """fold;malignant;benign;accuracy;precision;recall;AUC
1;1896;1008;0,9063;0,959;0,904;0,9411
2;1679;724;0,8531;0,861;0,922;0,9186
3;1799;778;0,8824;0,897;0,929;0,9452
"""
"""Printed precision and recall of GrC_SOM, accuracy and AUC from its votes on the official folds 1 to 3."""


def one_by_one(tp: int, fp: int, positives: int, negatives: int) -> dict[str, float]:
    """Scores of the positive class as they are defined."""
    precision = tp / (tp + fp) if tp + fp else 0.0
    recall = tp / positives
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    accuracy = (tp + negatives - fp) / (positives + negatives)
    return {"accuracy": accuracy, "precision": precision, "recall": recall, "f1": f1}


def audit(folder: Path, text: str, **options):
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return sections(path, options)


def verdicts(section) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for finding in section.data["findings"]:
        found.setdefault(finding["verdict"], set()).add(finding["where"])
    return found


@pytest.mark.parametrize(
    "names", [("accuracy", "precision", "recall"), ("accuracy", "f1"), ("precision", "recall", "f1")]
)
def test_one_test_set_is_decided_as_by_trying_every_matrix(names) -> None:
    generator = np.random.default_rng(1)
    every = [one_by_one(tp, fp, 13, 9) for tp, fp in itertools.product(range(14), range(10))]
    decided = []
    for _ in range(150):
        chosen = every[generator.integers(len(every))]
        printed = {name: round(chosen[name] + generator.choice([0, 0, 0.01]), 2) for name in names}
        expected = sum(all(abs(scores[name] - printed[name]) <= 0.005 + 1e-9 for name in names) for scores in every)
        found = matrices({name: Window(value, 0.005) for name, value in printed.items()}, (13, 9))
        assert found is not None
        assert found[0] == expected
        decided.append(expected > 0)
    assert 20 < sum(decided) < 150


def test_what_true_folds_give_is_never_excluded_and_impossible_means_are() -> None:
    generator = np.random.default_rng(2)
    shapes = [(6, 4), (6, 4), (5, 5)]
    every = [
        [one_by_one(tp, fp, *shape) for tp, fp in itertools.product(range(shape[0] + 1), range(shape[1] + 1))]
        for shape in shapes
    ]
    names = ("accuracy", "precision", "recall", "f1")
    for _ in range(60):
        folds = [choices[generator.integers(len(choices))] for choices in every]
        windows = {}
        for name in names:
            values = [fold[name] for fold in folds]
            spread = round(statistics.stdev(values), 3)
            low, high = max(spread - 5e-4, 0) * (2 / 3) ** 0.5, spread + 5e-4
            windows[name] = Window(round(statistics.mean(values), 3), 5e-4, (low, high))
        assert folds_allow(windows, shapes) is not False
    # Of all ways to choose a matrix in each of two folds, which means of accuracy and recall (3 decimals) exist?
    pairs = [
        (one_by_one(*a, 4, 3), one_by_one(*b, 4, 3))
        for a, b in itertools.product(itertools.product(range(5), range(4)), repeat=2)
    ]
    for _ in range(60):
        accuracy, recall = generator.integers(0, 15) / 14 + generator.choice([0, 0.02]), generator.integers(0, 9) / 8
        exists = any(
            abs((a["accuracy"] + b["accuracy"]) / 2 - accuracy) <= 5e-4
            and abs((a["recall"] + b["recall"]) / 2 - recall) <= 5e-4
            for a, b in pairs
        )
        windows = {"accuracy": Window(accuracy, 5e-4), "recall": Window(recall, 5e-4)}
        assert (folds_allow(windows, [(4, 3)] * 2) is not False) == exists


def test_tables_of_true_scores_contradict_nothing(tmp_path) -> None:
    generator, lines = np.random.default_rng(3), ["model,Acc (%),Precision,Sensitivity,F1-score"]
    for index in range(20):
        scores = one_by_one(int(generator.integers(100, 200)), int(generator.integers(0, 60)), 200, 150)
        lines.append(
            f"M{index},{scores['accuracy']:.1%},{scores['precision']:.3f},{scores['recall']:.3f},{scores['f1']:.3f}"
        )
    (section,) = audit(tmp_path, "\n".join(lines), positives=200, negatives=150)
    assert not section.data["findings"]
    assert section.sentences[0].startswith("No contradiction")
    doctored = lines[7].split(",")
    lines[7] = ",".join([*doctored[:-1], f"{float(doctored[-1]) + 0.002:.3f}"])
    (section,) = audit(tmp_path, "\n".join(lines), positives=200, negatives=150)
    assert verdicts(section)["impossible"] == {"M6"}


def test_means_over_true_folds_contradict_nothing(tmp_path) -> None:
    generator, lines = np.random.default_rng(4), ["model,accuracy,precision,recall,f1"]
    for index in range(12):
        folds = [
            one_by_one(int(generator.binomial(60, 0.9)), int(generator.binomial(40, 0.2)), 60, 40) for _ in range(5)
        ]
        cells = [
            f"{np.mean(v):.4f} ± {np.std(v, ddof=1):.4f}" for v in zip(*(fold.values() for fold in folds), strict=True)
        ]
        lines.append(",".join([f"M{index}", *cells]))
    for options in ({"balance": "stratified"}, {}, {"fold_counts": [(60, 40)] * 5}):
        (section,) = audit(tmp_path, "\n".join(lines), positives=300, negatives=200, folds=5, **options)
        assert not {"impossible", "implausible"} & verdicts(section).keys()


def test_tables_4_and_5_of_the_paper_give_the_findings_of_the_ledger() -> None:
    reference = LEDGER["patient-level-folds"].arguments["reference"]
    given = {
        "dataset": "breakhis",
        "folds": 5,
        "reference_deviations": {name: float(v) for name, v in reference.items()},
    }
    found = [section for number in (4, 5) for section in sections(TABLES / f"table{number}.csv", given)]
    rows = [finding for section in found for finding in section.data["findings"]]
    assert sum(finding["check"] == "accuracy" and finding["verdict"] == "implausible" for finding in rows) == 39
    assert {finding["verdict"] for finding in rows} == {"implausible", "note"}
    assert "+0.0019" in " ".join(found[0].sentences)
    assert "+0.0166" in " ".join(found[1].sentences)
    for section in found:
        text = " ".join(section.sentences)
        assert "in 28 of 28 rows" in text
        assert "28 of 28 deviations of accuracy" in text
        assert "0.044 (Priyanka 2026, ResNet50)" in text
        assert not any(finding["check"] == "F1" for finding in section.data["findings"])


def test_table_6_of_the_paper_gives_the_findings_of_the_ledger() -> None:
    (section,) = sections(TABLES / "table6.csv", dataset="bach", folds=5, tested="whole")
    assert verdicts(section)["impossible"] == {"ResNet34 ft", "SmolVLM ft"}
    text = " ".join([*section.sentences, *(finding["text"] for finding in section.data["findings"])])
    assert "F1 0.7851 exceeds 0.77795, the mean of precision 0.7784 and recall 0.7775" in text
    assert "accuracy is 0.7215, but precision, recall and 200 positives of 400 images imply 0.7411" in text
    assert "AUC 0.7824 and accuracy 0.7825 coincide" in text


def test_table_7_of_the_paper_gives_the_findings_of_the_ledger() -> None:
    (section,) = sections(TABLES / "table7.csv", test="signed_rank", pairs=5)
    checks = [finding["verdict"] for finding in section.data["findings"]]
    assert (checks.count("impossible"), checks.count("implausible")) == (7, 2)
    assert {"0.0625", "0.03125", "0.0127"} <= set(" ".join(section.sentences).replace(",", "").split())
    (open_,) = sections(TABLES / "table7.csv")
    assert not open_.data["findings"]
    assert any("give `test`" in warning for warning in open_.warnings)


def test_exchanged_precision_and_recall_are_noticed(tmp_path) -> None:
    (section,) = audit(tmp_path, GRC_SOM)
    assert verdicts(section)["impossible"] == {"fold 1", "fold 2", "fold 3"}
    (finding,) = [finding for finding in section.data["findings"] if finding["check"] == "columns"]
    assert finding["text"].startswith("precision and recall look exchanged")
    lines = ["model,positives,negatives,accuracy,precision,recall"]
    for tp, fp in ((170, 40), (185, 60), (150, 20)):
        scores = one_by_one(tp, fp, 200, 150)
        lines.append(f"M{tp},200,150,{scores['accuracy']:.4f},{scores['recall']:.4f},{scores['precision']:.4f}")
    (section,) = audit(tmp_path, "\n".join(lines))
    assert "precision and recall look exchanged: the 3 rows" in " ".join(f["text"] for f in section.data["findings"])


def test_deviations_smaller_than_independent_images_give_are_noticed(tmp_path) -> None:
    (section,) = audit(
        tmp_path, "model,acc\nA,0.850 ± 0.0001\nB,0.850 ± 0.030\n", positives=300, negatives=200, folds=5
    )
    assert verdicts(section)["implausible"] == {"A"}


def test_p_values_are_those_of_all_patterns() -> None:
    from scipy.stats import binomtest, mannwhitneyu, wilcoxon

    for n in (4, 6):
        signs = list(itertools.product((-1, 1), repeat=n))
        sizes = np.arange(1, n + 1)
        expected = {round(float(wilcoxon(sizes * s, method="exact").pvalue), 9) for s in signs}
        assert {round(float(p), 9) for p in signed_rank_p_values(n)} == expected
        assert {round(binomtest(k, n).pvalue, 9) for k in range(n + 1)} == {
            round(float(p), 9) for p in sign_p_values(n)
        }
    groups = [
        ([i for i in range(6) if i in g], [i for i in range(6) if i not in g])
        for g in itertools.combinations(range(6), 3)
    ]
    expected = {round(float(mannwhitneyu(a, b, method="exact").pvalue), 9) for a, b in groups}
    assert {round(float(p), 9) for p in rank_sum_p_values(3)} == expected


@pytest.mark.parametrize(
    ("text", "test", "pairs", "verdict"),
    [
        ("0.0625", "signed_rank", 5, None),
        ("0.031", "signed_rank", 5, None),
        ("0.043", "signed_rank", 5, "implausible"),
        ("0.003", "signed_rank", 5, "impossible"),
        ("<0.001", "signed_rank", 5, "impossible"),
        ("<0.05", "signed_rank", 5, None),  # one-sided it is 0.031
        ("<0.001", "signed_rank", 10, None),
        ("<0.001", "rank_sum", 5, "impossible"),  # 1/252 and 1 - Phi(3) = 0.00135
        ("0.008", "rank_sum", 5, None),
        ("0.03", "sign_flip", 5, None),
        ("0.02", "sign_flip", 5, "impossible"),
    ],
)
def test_p_values_that_a_test_can_and_cannot_have(text, test, pairs, verdict) -> None:
    found = check_p_value("row", p_value(text), test, pairs)
    assert (found and found.verdict) == verdict


@pytest.mark.parametrize(
    ("cell", "mean", "deviation"),
    [("0.91", 0.91, None), ("0.91 ± 0.02", 0.91, 0.02), ("0.91 (0.02)", 0.91, 0.02), ("91.2 %", 0.912, None),
     ("91.2±1.3", 0.912, 0.013), ("91,2 ± 1,3 %", 0.912, 0.013), ("91.2% (1.3%)", 0.912, 0.013), ("0.91+/-0.02", 0.91, 0.02),
     ("0.91 [0.88, 0.94]", 0.91, None), ("0.91*", 0.91, None)],
)  # fmt: skip
def test_cells_as_people_print_them(tmp_path, cell, mean, deviation) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"model;Accuracy\nA;{cell}\n", encoding="utf-8")
    score = read(path, {}).rows[0].scores["accuracy"]
    assert float(score.value) == pytest.approx(mean)
    assert (score.deviation and float(score.deviation.value)) == (deviation and pytest.approx(deviation))


def test_half_a_unit_is_that_of_the_last_printed_digit() -> None:
    assert [float(number(text).half) for text in ("0.910", "0,91", "91", "1e-3")] == [0.0005, 0.005, 0.5, 0.0005]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "is empty"), (b"\x89PNG\0\0\0", "is not text"), (b"accuracy\n0.9\n", "has 1 column"),
        (b"model,accuracy\n", "no row"), (b"a,b\n1,2\n", "no column is a score"),
        (b"model,accuracy\nA,high\n", "line 2, column accuracy: 'high'"), (b"model,accuracy\nA,0.9,3\n", "has 3 values"),
        (b"model,accuracy\nA,0.9\nB,91\n", "numbers above 1"), (b"model,accuracy\nA,120\n", "is not a score"),
        (b"model,recall,sensitivity\nA,0.9,0.9\n", "two columns hold recall"), (b"model,accuracy\nA,nan\n", "no score"),
        (b"model,p\nA,1.5\n", "p-value from 0 to 1"), (b"m,accuracy\nA," + b"9" * 5000 + b"\n", "is not a score"),
        (b"m,accuracy\n" + b"A,0.9\n" * 900_000, "900,000 rows"), (b"m,accuracy\n" + b"A,0.9\n" * 6000, "6,000 rows"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_sentence(tmp_path, content, part) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(HistoBenchError) as error:
        sections(path)
    assert part in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [("folds: five", "folds"), ("fold: 5", "options are"), ("positives: 5", "together"), ("- 1", "no list of keys"),
     ("a: [", "as YAML"), ("a: &x 1\nb: *x", "alias"), ("columns: {acc: best}", "'best' is none of"),
     ("a: !!python/object/apply:os.system [ls]", "as YAML"), ("test: z", "test")],
)  # fmt: skip
def test_options_that_cannot_be_used_are_one_sentence(tmp_path, text, part) -> None:
    path = tmp_path / "options.yaml"
    path.write_text(text)
    with pytest.raises(HistoBenchError) as error:
        load(path)
    assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_an_audit_imports_no_torch_and_takes_seconds() -> None:
    code = "import sys; from histobench.audit.printed_tables import sections; "
    code += f"sections({str(TABLES / 'table6.csv')!r}, dataset='bach', folds=5, tested='whole'); print('torch' in sys.modules)"
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": "workflow"},
        cwd=FOLDER.parents[2],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "False\n", done.stderr
    assert time.monotonic() - started < 60


def test_one_test_set_is_decided_as_by_mlscorecheck() -> None:
    from mlscorecheck.check.binary import check_1_testset_no_kfold

    generator, seen = np.random.default_rng(5), set()
    for _ in range(60):
        scores = one_by_one(int(generator.integers(20, 41)), int(generator.integers(0, 20)), 40, 30)
        printed = {name: round(value + generator.choice([0, 0, 0.001]), 3) for name, value in scores.items()}
        names = {"accuracy": "acc", "precision": "ppv", "recall": "sens", "f1": "f1"}
        other = check_1_testset_no_kfold(
            testset={"p": 40, "n": 30}, scores={names[name]: value for name, value in printed.items()}, eps=5e-4
        )
        found = matrices({name: Window(value, 5e-4) for name, value in printed.items()}, (40, 30))
        assert found is not None
        assert (found[0] == 0) == other["inconsistency"]
        seen.add(found[0] > 0)
    assert seen == {True, False}


def test_the_grc_som_counts_are_those_of_the_votes() -> None:
    import os

    folder = Path(os.getenv("HISTOBENCH_SHARED_DATA", "none")) / "public-audit" / "normalised"
    rows = list(csv.DictReader(GRC_SOM.replace(",", ".").splitlines(), delimiter=";"))
    for row in rows:
        name = f"predictions-GrC_SOM-fold{row['fold']}.csv"
        files = list(folder.rglob(name)) if folder.is_dir() else []
        if not files:
            pytest.skip("needs the shared data")
        with files[0].open(newline="") as file:
            labels = [image["label"] for image in csv.DictReader(file)]
        assert (labels.count("1"), labels.count("0")) == (int(row["malignant"]), int(row["benign"]))


@pytest.mark.parametrize("merged", [True, False])
def test_settings_of_merged_cells_and_of_heading_rows_count_for_the_rows_below(merged: bool, tmp_path: Path) -> None:
    good, bad = "0.913,0.921,0.955,0.938", r"\textbf{0.954},$0.931$,**0.942**,0.936*"
    text = f"size,model,accuracy,precision,recall,f1\n40x,A,{good}\n,B,{bad}\n100x,A,{good}\n,B,{bad}\n"
    if not merged:
        text = f"model,accuracy,precision,recall,f1\n40x,,,,\nA,{good}\nB,{bad}\n100x,,,,\nA,{good}\nB,{bad}\n"
    (found,) = audit(tmp_path, text, dataset="breakhis", folds=1)
    assert [row[1:3] for row in found.tables[-1].rows] == [[1370, 625]] * 2 + [[1437, 644]] * 2
    assert found.data["rows_impossible"] == 2
    assert any("read as" in note for note in found.warnings)


def test_rows_of_one_name_are_told_apart_by_their_lines(tmp_path: Path) -> None:
    bad = "0.954,0.931,0.942,0.936"
    (found,) = audit(tmp_path, f"model,accuracy,precision,recall,f1\nA,{bad}\nA,{bad}\n", dataset="breakhis", folds=1)
    assert found.data["rows_impossible"] == 2
    assert [row[0] for row in found.tables[-1].rows] == ["A line 2", "A line 3"]


def test_marks_of_latex_are_no_part_of_a_number(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text(
        "model,accuracy,auc,p\nA,$91.2 \\pm 1.3$,91.2\\%,$<0.001^{***}$\nB,\\underline{90},$\\mathbf{93}$,n.s.\n"
    )
    first, second = read(file, {}).rows
    assert (float(first.scores["accuracy"].value), float(first.scores["auc"].value)) == (0.912, 0.912)
    assert first.scores["accuracy"].deviation
    assert (float(second.scores["accuracy"].value), float(second.scores["auc"].value)) == (0.9, 0.93)
    assert (first.p_values["p"].sign, second.p_values) == ("<", {})
