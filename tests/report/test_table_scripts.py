"""The scripts of tables that do more than call the library, as their rules call them; the demo runs them all."""

import hashlib
from pathlib import Path

import pytest

from histobench.datasets import folds, make_folds, manifest
from histobench.evaluation.summary import SUMMARY_COLUMNS
from histobench.io.files import read_csv, write_csv
from histobench.metrics import METRICS
from histobench.study import resolved
from tests.report.studies import ARMS, ROOT, call, study


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return a folder with what the scripts read."""
    folder = tmp_path_factory.mktemp("tables")
    resolved.write(study(arms=ARMS[:1], grid=study().grid), folder / "study.json")
    # 5 patients a class; patient number p has p images: 15 of each class, every patient evaluated once.
    images = [
        manifest.Image(
            name, label, "A", patient, patient, patient, 40, 700, 460, hashlib.sha256(name.encode()).hexdigest(), name
        )
        for label in manifest.LABELS
        for number in range(1, 6)
        for patient in [f"14-{number}{label[0]}"]
        for index in range(number)
        for name in [f"SOB_B_A-{patient}-40-{index:03d}"]
    ]
    manifest.save(folder / "manifest.csv", images)
    images = manifest.load(folder / "manifest.csv")
    folds.save(make_folds.stratified(images, "patient", 5, 0), images, folder / "patient.csv")
    arm = {"dataset": "breakhis", "model": "alexnet", "mode": "ft", "split": "patient", "magnification": 40}
    arm |= {"groups": 10, "benign_groups": 5, "malignant_groups": 5}
    arm |= {"augmentation": "none", "folds": 5} | dict.fromkeys((f"{metric}_mean" for metric in METRICS), 0.9)
    rows = [arm | {"selection": "last"}, arm | {"selection": "best_epoch", "auc_mean": 0.91}]
    write_csv(folder / "summary.csv", SUMMARY_COLUMNS, rows)
    write_csv(
        folder / "breakhis-01234567/folds/census/patient-01234567.csv",
        folds.CENSUS_COLUMNS,
        [
            dict(zip(folds.CENSUS_COLUMNS, (fold, label, 20, 4, fold * 10, 5, 3, 0, 0, share, 0), strict=True))
            for fold in (1, 2)
            for label, share in (("benign", 0.3 * fold), ("malignant", 0))
        ],
    )
    return folder


@pytest.mark.parametrize(
    ("script", "name", "options", "beside", "first"),
    [
        ("table_dataset", "table1", "--manifest manifest.csv --folds patient.csv --published PUBLISHED", True,
         {"benign": "15", "total": "30", "train": "24.0", "test": "6.0"}),
        ("table_results", "table4", "--summary summary.csv --published PUBLISHED", True, {"auc_mean": "0.9000"}),
        ("table_results", "table4-best-epoch", "--summary summary.csv --published PUBLISHED", True,
         {"auc_mean": "0.9100"}),
        ("table_scores", "scores", "--summary summary.csv --folds breakhis-01234567/folds/census/patient-01234567.csv", False,
         {"selection": "last", "folds": "5"}),
        ("table_folds", "folds", "--folds breakhis-01234567/folds/census/patient-01234567.csv", False,
         {"dataset": "breakhis", "split": "patient", "fold": "1", "label": "benign", "images": "10", "groups": "5",
          "accession_in_training": "0.3000", "equal_pixels": "3", "shared_patients": "0"}),
    ],
)  # fmt: skip
def test_a_script_writes_its_tables(folder, script, name, options, beside, first, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    files = options.replace("PUBLISHED", f"{ROOT}/resources/papers/zhaksylyk-2026/tables/{name[:6]}.csv").split()
    call(script, monkeypatch, "--study", "study.json", *files, "--output-prefix", f"{name}/{name}")
    made = [name, f"{name}-beside-published"] if beside else [name]
    expected = {f"{table}{suffix}" for table in made for suffix in (".csv", ".md", ".tex", "-tabular.tex")}
    assert {path.name for path in (folder / name).iterdir()} == expected
    for table in made:
        for suffix in (".md", ".tex"):
            assert "Synthetic images." in (folder / name / f"{table}{suffix}").read_text()
    assert first.items() <= read_csv(folder / name / f"{name}.csv", ())[0].items()
    if name == "folds":
        rows = {(row["fold"], row["label"]): row for row in read_csv(folder / name / "folds.csv", ())}
        assert list(rows) == [(fold, label) for fold in ("1", "2", "all") for label in ("benign", "malignant", "both")]
        columns = ("images", "groups", "equal_pixels", "accession_in_training")
        # 0.3 of 10 and 0.6 of 20 benign images, none of as many malignant ones
        assert [rows["all", "benign"][column] for column in columns] == ["30", "10", "6", "0.5000"]
        assert [rows["2", "both"][column] for column in columns] == ["40", "10", "6", "0.3000"]
        assert [rows["all", "both"][column] for column in columns] == ["60", "20", "12", "0.2500"]
    if name == "scores":
        assert "images with equal pixels stand on both sides" in (folder / name / "scores.md").read_text()
