"""What `make demo` runs, whole, with the true workflow."""

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.report import page_numbers

pytestmark = pytest.mark.slow

ARMS = [(model, "ft") for model in ("AlexNet", "VGG19", "ResNet34")]
ARMS += [(model, mode) for model in ("Qwen2-VL", "SmolVLM") for mode in ("lp", "ft")]
DEMO = ("--workflow-profile", "workflow/profiles/demo")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


PUBLISHED = {f"table{number}" for number in range(1, 8)} | {"table4-best-epoch", "table5-best-epoch"}
PUBLISHED |= {"table4-validation"}
TABLES = (
    PUBLISHED
    | {f"{name}-beside-published" for name in PUBLISHED}
    | {"scores", "folds", "external", "table7-honest", "errors"}
)
TABLES |= {"table6-scales", "table4-strict"}
TABLES |= {f"{name}-intervals" for name in PUBLISHED if name[5] in "456"}
FIGURES = {f"figure{number}" for number in range(1, 8)} | {"patients", "reliability", "cost", "bach"}
FIGURES |= {"roc", "precision-recall", "confusion", "ladder", "error-pictures"}


def in_forms(names: set[str], *forms: str) -> set[str]:
    return {f"{name}.{form}" for name in names for form in forms}


def test_the_demo_ends_with_tables_4_and_5_and_a_second_one_runs_no_job(project):
    process = project.make("demo")
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert output.endswith("The report, to open in a browser: results/studies/demo/report.html\n")
    tables = project.folder / "results/studies/demo/tables"
    expected = {
        "table4.csv": [
            *((*arm, magnification) for arm in ARMS for magnification in ("40", "200")),
            ("SmolVLM", "lp-validated", "40"),
        ],
        "table5.csv": [(*arm, "40") for arm in ARMS],
    }
    for name, arms in expected.items():
        table = rows(tables / name)
        assert [(row["model"].split()[0], row["mode"], row["magnification"]) for row in table] == arms
        assert all(0 <= float(row["accuracy_mean"]) <= 1 for row in table)
    assert {path.name for path in tables.iterdir()} == in_forms(TABLES, "csv", "md", "tex") | {
        f"{name}-tabular.tex" for name in TABLES
    }
    figures = tables.with_name("figures")
    assert {path.name for path in figures.iterdir()} == in_forms(FIGURES, "svg", "pdf", "png")
    assert all(path.stat().st_size for path in figures.iterdir())
    ledger = yaml.safe_load((project.folder / "resources/papers/zhaksylyk-2026/claims.yaml").read_text())
    claims = rows(tables.with_name("claims.csv"))
    assert [row["id"] for row in claims] == [claim["id"] for claim in ledger["claims"]]
    assert all(row["published_verdict"] and row["study_verdict"] for row in claims)
    for path in tables.glob("*.tex"):
        assert f"\\begin{{{'tabular' if path.stem.endswith('-tabular') else 'longtable'}}}" in path.read_text(), path
    for path in tables.glob("*.md"):
        assert "The images are SYNTHETIC" in path.read_text(), path
    assert len(rows(project.folder / "results/studies/demo/metrics.csv")) == 120 * 2 + 5  # of 5 runs three selections
    assert not list((project.folder / "results").rglob("tokens/**/*.npy"))  # each store goes with its last consumer
    assert not list((project.folder / "results").rglob("*.partial"))
    assert not list((project.folder / "results").rglob("checkpoint.pt"))
    # Of the arms in the figure, those with kept weights have a map of each error, and their correlation with random ones.
    maps = np.load(tables.with_name("heat_maps.npz"))
    errors = rows(tables / "errors.csv")
    assert {name for name in maps if name.count("/") == 1} <= {"resnet34-narrow/ft", "smolvlm-tiny/ft"}
    for name in (name for name in maps if name.count("/") == 1):
        label = {"resnet34-narrow/ft": "ResNet34 (1/8 width)", "smolvlm-tiny/ft": "SmolVLM (tiny)"}[name]
        own = [(row["fold"], row["image_id"]) for row in errors if (row["model"], row["mode"]) == (label, "ft")]
        assert sorted(own) == sorted(tuple(key.split("/")[2:]) for key in maps if key.startswith(f"{name}/"))
        assert "rank correlation" in str(maps[name])
    page = project.folder / "results/studies/demo/report.html"
    assert page_numbers.check(page) > 5000  # every number on it is its CSV's
    found = page_numbers.read(page)
    assert found.sections == page_numbers.SECTIONS
    linked = {Path(address).name for tag, _, address in found.addresses if tag == "a"}
    assert {path.name for path in page.parent.rglob("*.csv")} <= linked
    assert " ".join(found.texts[1:2]).startswith("The images are SYNTHETIC. Models start from RANDOM weights.")
    assert project.jobs(*DEMO) == {}
