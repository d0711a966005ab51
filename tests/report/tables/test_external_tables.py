"""Table 6 and the whole external test, beside the published table."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from histobench.evaluation import external as evaluation
from histobench.io.files import write_csv
from histobench.report.tables import external_tables
from histobench.study import resolved
from tests.report.studies import EXTERNAL, study

ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT / "resources/paper/tables/table6.csv"
STUDY = study(notes=["The images are SYNTHETIC."], external=[EXTERNAL])


def arm(model: str, magnification: int) -> dict[str, object]:
    return {
        "on": "bach", "dataset": "breakhis", "model": model, "mode": "ft", "split": "patient",
        "magnification": magnification, "augmentation": "none",
    }  # fmt: skip


def summary() -> list[dict[str, object]]:
    return [
        arm(model, magnification)
        | {"folds": 5}
        | {f"{metric}_mean": mean + magnification / 10_000 for metric in evaluation.METRICS}
        | {f"{metric}_std": 0.0123456 for metric in evaluation.METRICS}
        for model, mean in (("smolvlm", 0.6), ("resnet34", 0.7))
        for magnification in (200, 40)
    ]


def groups() -> list[dict[str, object]]:
    return [
        arm(model, magnification) | {"group": group, "label": label, "fold": fold, "images": 100, "malignant_rate": rate}
        for model in ("smolvlm", "resnet34")
        for magnification in (200, 40)
        for group, label, rate in (("normal", 0, 0.125), ("benign", 0, 0.25), ("insitu", 1, 0.5), ("invasive", 1, 0.875))
        for fold in (1, "mean")
    ]  # fmt: skip


@pytest.fixture
def made(tmp_path: Path) -> Path:
    write_csv(tmp_path / "summary.csv", evaluation.SUMMARY_COLUMNS, summary())
    write_csv(tmp_path / "groups.csv", evaluation.GROUPS_COLUMNS, groups())
    resolved.write(STUDY, tmp_path / "study.json")
    done = subprocess.run(
        [
            *(sys.executable, ROOT / "scripts" / "table_external.py", "--study", tmp_path / "study.json"),
            *("--summary", tmp_path / "summary.csv", "--groups", tmp_path / "groups.csv", "--published", PUBLISHED),
            *("--output-prefix", tmp_path / "tables" / "table6"),
        ],
        env={"PYTHONPATH": str(ROOT / "workflow")},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return tmp_path / "tables"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_table_6_has_the_published_columns_and_arms_at_the_headline(made: Path) -> None:
    ours, theirs = rows(made / "table6.csv"), rows(PUBLISHED)
    assert list(ours[0]) == list(theirs[0])
    assert [(row["model"], row["mode"]) for row in ours] == [(row["model"], row["mode"]) for row in theirs]
    assert (ours[0]["accuracy_mean"], ours[0]["accuracy_std"], ours[1]["auc_mean"]) == ("0.7040", "0.0123", "0.6040")
    beside = rows(made / "table6-beside-published.csv")
    assert len(beside) == 2 * 10
    assert beside[0] == {
        "model": "ResNet34", "mode": "ft", "quantity": "accuracy_mean",
        "reproduced": "0.7040", "published": "0.7825", "difference": "-0.0785",
    }  # fmt: skip
    text = (made / "table6.md").read_text()
    assert "models trained on breakhis at 40×" in text
    assert "over 5 folds" in text
    assert "| ResNet34 | FT   |" in text
    for path in made.glob("*.md"):
        assert "The images are SYNTHETIC. BreakHis has neither normal tissue" in path.read_text()


def test_the_whole_test_stands_beside_it_with_the_rates_of_each_class(made: Path) -> None:
    table = rows(made / "external.csv")
    assert [(row["model"], row["magnification"]) for row in table] == [
        *(("SmolVLM", "40"), ("SmolVLM", "200"), ("ResNet34", "40"), ("ResNet34", "200"))
    ]
    assert {row["rate_normal_mean"] for row in table} == {"0.1250"}
    rates = [table[0][f"rate_{name}_mean"] for name in ("benign", "insitu", "invasive")]
    assert rates == ["0.2500", "0.5000", "0.8750"]
    text = (made / "external.md").read_text()
    header = next(line for line in text.splitlines() if line.startswith("| Model"))
    assert [cell.strip() for cell in header.strip("|").split("|")] == [
        *("Model", "Mode", "Magnification", "Accuracy", "Precision", "Recall", "F1-score", "AUC"),
        *("Normal", "Benign", "Insitu", "Invasive"),
    ]
    assert "called malignant, which is right for insitu and invasive" in text
    assert (made / "external.tex").exists()


def texts(table: list[dict[str, object]]) -> list[dict[str, str]]:
    return [{key: str(value) for key, value in row.items()} for row in table]


def test_what_has_gaps_only_is_empty_and_names_them() -> None:
    published = texts([{"model": "ResNet34", "mode": "ft", "accuracy_mean": "0.7825"}])
    table, companion = external_tables.table6(
        texts(summary()), published, study(external=[EXTERNAL | {"headline": 400}])
    )
    for empty in (table, companion, external_tables.full_table([], [], STUDY)):
        assert (empty.rows, empty.cells) == ([], [])
        assert "Empty: none of its rows could be made; external_gaps.csv says" in empty.caption


def test_images_without_magnification() -> None:
    own = texts([row | {"magnification": 0} for row in summary() if row["magnification"] == 40])
    table, _ = external_tables.table6(own, [], study(external=[EXTERNAL | {"headline": 0}]))
    assert "trained on breakhis, split" in table.caption
    whole = external_tables.full_table(own, texts(groups()), STUDY)
    assert whole.cells[0][2] == "–"
