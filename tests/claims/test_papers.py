"""Ledgers of other papers than the default one: every folder of resources/papers, and made-up tables."""

import csv
import inspect
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from histobench.claims import ledger as claims
from histobench.claims.checks import CHECKS
from histobench.claims.published import Paper, read_paper
from histobench.io.errors import HistoBenchError
from histobench.study.published_papers import FOLDER, ledgers
from tests.scripts.running import ROOT, rows, run


def paper(name: str) -> Paper:
    architectures = FOLDER / name / "architectures.yaml"
    return read_paper(
        sorted((FOLDER / name / "tables").glob("*.csv")), architectures if architectures.is_file() else None
    )


def verdict(of: Mapping[str, Sequence[Mapping[str, str]]], predicate: str, **arguments: object) -> tuple[str, str]:
    item = claims.Claim(id="c", section="1", paraphrase="p", predicate=predicate, arguments=arguments)
    (row,) = claims.on_paper([item], Paper(of))
    return str(row["published_verdict"]), str(row["published_evidence"])


@pytest.mark.parametrize("name", ledgers())
def test_every_ledger_is_small_sentences_and_has_a_verdict_on_every_claim(name: str, tmp_path: Path) -> None:
    folder, prefix = FOLDER / name, tmp_path / "made"
    items = claims.load(folder / "claims.yaml")
    tables = sorted((folder / "tables").glob("*.csv"))
    done = run(
        "claims_of_paper", tmp_path, "--claims", folder / "claims.yaml", "--output-prefix", prefix, "--tables", *tables,
        *(["--architectures", folder / "architectures.yaml"] if (folder / "architectures.yaml").is_file() else []),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    found = rows(prefix.with_suffix(".csv"))
    assert [row["id"] for row in found] == [item.id for item in items]
    assert all(row["published_verdict"] and row["published_evidence"] for row in found)
    assert all(len((item.quote or item.paraphrase).split()) <= 20 for item in items)
    text = (folder / "README.md").read_text()
    assert "https://doi.org/" in text
    assert all(f"{table.stem}.csv" in text for table in tables)


# Hao et al. 2022. The expected verdicts compare the printed rates directly.

HAO = {
    (row["model"], row["magnification"]): row
    for row in csv.DictReader((FOLDER / "hao-2022/tables/table7.csv").open(newline="", encoding="utf-8"))
}


def lead(
    others: Sequence[str], levels: Sequence[str], sizes: Sequence[str] = ("40", "100", "200", "400")
) -> list[float]:
    """Return how much more accurate the paper's method is than each other one, in per cent, ascending."""
    return sorted(
        float(HAO["Our method", size][f"{level}_mean"]) - float(HAO[other, size][f"{level}_mean"])
        for other in others
        for level in levels
        for size in sizes
    )


def test_the_verdicts_on_the_second_paper() -> None:
    items = claims.load(FOLDER / "hao-2022/claims.yaml")
    found = {
        row["id"]: (row["published_verdict"], row["published_evidence"])
        for row in claims.on_paper(items, paper("hao-2022"))
    }
    assert {name for name, (text, _) in found.items() if text != "holds"} == {"baselines"}
    assert found["baselines"] == ("not checkable", "Table 7 has none of these networks.")
    smallest = {
        "comparable-same-split": lead(["Gour et al."], ["image", "patient"]),
        "comparable-patient-level": lead(["Gour et al.", "Li et al."], ["patient"]),
        "comparable-image-level": lead(["Li et al.", "Sharma et al.", "Nahid et al."], ["image"]),
        "comparable-independent": lead(["Celik et al."], ["patient"], [""]),
    }
    for name, differences in smallest.items():
        assert differences[0] > 0
        assert f"+{differences[0]:.2f}: Our method" in found[name][1]
        assert len(differences) == 1 or f"all {len(differences)} differences" in found[name][1].lower()
    for name, level in (("image-rates", "image"), ("patient-rates", "patient")):
        printed = [f"{level} {HAO['Our method', size][f'{level}_mean']}" for size in ("40", "100", "200", "400")]
        assert ", ".join(printed) in found[name][1]


@pytest.mark.parametrize("other", ["Alkassar et al.", "Yari et al.", "Liu et al.", "Mewada et al."])
def test_the_readme_of_the_second_paper_names_the_methods_with_higher_rates(other: str) -> None:
    assert lead([other], ["image"])[-1] < 0
    assert [size for size in ("40", "100", "200", "400") if lead(["Budak et al."], ["image"], [size])[0] < 0] == ["400"]
    text = " ".join((FOLDER / "hao-2022/README.md").read_text().split())
    assert other.removesuffix(" et al.") in text.partition("holds for Gour")[2]


def test_a_doctored_rate_contradicts_the_second_paper() -> None:
    items = {item.id: item for item in claims.load(FOLDER / "hao-2022/claims.yaml")}
    tables = paper("hao-2022").tables
    lower = [row | ({"image_mean": "80.00"} if row["model"] == "Our method" else {}) for row in tables["table7"]]
    for name in ("image-rates", "comparable-image-level"):
        (row,) = claims.on_paper([items[name]], Paper({"table7": lower}))
        assert row["published_verdict"] == "contradicted", name
    # 90.99 against 91, which may be 90.5 to 91.5: the lowest of twelve differences says nothing.
    ours = ("Our method", "400")
    near = [
        row | ({"image_mean": "90.99"} if (row["model"], row["magnification"]) == ours else {})
        for row in tables["table7"]
    ]
    (row,) = claims.on_paper([items["comparable-image-level"]], Paper({"table7": near}))
    assert row["published_verdict"] == "not checkable"
    assert "1 of 12 differences cannot be told from 0" in str(row["published_evidence"])


# Predicates on tables of other forms


def scores(**more: str) -> dict[str, str]:
    """Return a row of one test set of 100 malignant and 50 benign images, in per cent: 90 hits, 10 false alarms."""
    return {"model": "A", "precision": "90.0", "recall": "90.0", "f1": "90.0", "accuracy": "86.7", "auc": "91.2"} | more


def test_scores_of_one_test_set_in_per_cent_agree_or_not() -> None:
    assert verdict({"t": [scores()]}, "f1_agrees", tables=["t"], folds=1)[0] == "holds"
    assert verdict({"t": [scores(f1="90.1")]}, "f1_agrees", tables=["t"], folds=1)[0] == "holds"  # as 90.04 and 90.05
    assert verdict({"t": [scores(f1="90.2")]}, "f1_agrees", tables=["t"], folds=1)[0] == "impossible"
    share = {"tables": ["t"], "folds": 1, "malignant_share": "2/3"}
    assert verdict({"t": [scores()]}, "accuracy_agrees", **share)[0] == "holds"
    assert verdict({"t": [scores(accuracy="87.5")]}, "accuracy_agrees", **share)[0] == "impossible"
    # Folds without deviations bound nothing.
    assert verdict({"t": [scores()]}, "f1_agrees", tables=["t"], folds=5) == (
        "not checkable", "T has no deviations of precision over folds.",
    )  # fmt: skip
    cells = {"accuracy": "t A accuracy", "auc": "t A auc"}
    assert verdict({"t": [scores()]}, "auc_of_scores", **cells)[0] == "holds"
    assert verdict({"t": [scores(auc="86.8")]}, "auc_of_scores", **cells)[0] == "not checkable"


def test_rows_may_be_named_by_a_model_alone_and_columns_as_the_paper_does() -> None:
    table = [{"model": "HOG", "mode": "QDA", "rate": "71.5"}, {"model": "HOG", "mode": "SVM", "rate": "70.2"}]
    assert verdict({"table-s2": table}, "ranges", cells="table-s2 HOG/{by} rate", each={"by": ["QDA", "SVM"]},
                   lowest="70.2", highest="71.5")[0] == "holds"  # fmt: skip
    found = verdict({"table-s2": table}, "within", cells="table-s2 HOG/QDA rate", at_most="71")
    assert found == (
        "contradicted",
        "1 of 1 values lie outside, as 71.5 (HOG QDA, rate, Table s2); they are 71.5 to 71.5.",
    )
    assert verdict({"table-s2": table}, "within", cells="table-s2 HOG/RF rate", at_most="71") == (
        "not checkable", "Table s2 has no row HOG RF.",
    )  # fmt: skip
    rates = [{"model": name, "rate_mean": "80.0", "rate_std": std} for name, std in (("A", "1.0"), ("B", "2.50"))]
    steadier = {"first": ["A"], "second": ["B"], "over": "folds", "cells": "t {arm} rate"}
    assert verdict({"t": rates}, "steadier", **steadier)[0] == "holds"
    assert verdict({"t": rates}, "steadier", **steadier | {"first": ["B"], "second": ["A"]})[0] == "contradicted"


def test_an_empty_cell_is_not_checkable_and_a_text_is_a_mistake() -> None:
    table = [{"model": "A", "rate": ""}, {"model": "B", "rate": "high"}]
    assert verdict({"t": table}, "within", cells="t A rate", at_least="1") == (
        "not checkable", "The paper does not print it for A (rate, T).",
    )  # fmt: skip
    with pytest.raises(
        HistoBenchError, match=r"^claim c: arguments of predicate within: .*'high'.*; correct them in the ledger$"
    ):
        verdict({"t": table}, "within", cells="t B rate", at_least="1")


def test_a_table_of_another_form_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(
        HistoBenchError, match=r"^claim c: .*: its tables have no 'magnification'; correct them in the ledger$"
    ):
        verdict({"t": [{"total": "3", "train": "2", "test": "1"}]}, "split_sizes", table="t", train_share="0.7")
    with pytest.raises(HistoBenchError, match="there is no table 'u', the paper's tables are: t;"):
        verdict({"t": [{"rate": "3"}], "u": []}, "counts", table="u", images=1, benign=1, malignant=0)
    (tmp_path / "t.csv").write_text("model,rate\nA,1\nB,1,2\n")
    with pytest.raises(
        HistoBenchError, match=r"t\.csv: row 2 has more or fewer cells than the header; correct it there"
    ):
        read_paper([tmp_path / "t.csv"])


# What the documentation says


def test_the_documentation_lists_every_predicate_with_its_arguments() -> None:
    text = (ROOT / "docs" / "ledgers.md").read_text()
    assert len(text.splitlines()) <= 80
    listed = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", text, re.MULTILINE))
    expected = {}
    for name, (check, _) in CHECKS.items():
        parameters = list(inspect.signature(check).parameters.values())[1:]
        words = (f"`{one.name}`" if one.default is one.empty else f"(`{one.name}`)" for one in parameters)
        expected[name] = ", ".join(words)
    assert listed == expected


def test_the_example_of_the_documentation_is_a_ledger_of_the_second_paper(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "ledgers.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "claims.yaml").write_text(re.sub(r"^   ", "", example, flags=re.MULTILINE))
    found = claims.on_paper(claims.load(tmp_path / "claims.yaml"), paper("hao-2022"))
    assert [row["published_verdict"] for row in found] == ["holds", "holds"]
