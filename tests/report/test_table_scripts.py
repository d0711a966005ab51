"""The scripts as the workflow calls them."""

import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path

from histobench.datasets import folds, make_folds, manifest
from histobench.evaluation.summary import SUMMARY_COLUMNS
from histobench.io.files import write_csv
from histobench.metrics import METRICS
from histobench.study.spec import CnnSettings, Recipe

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "resources" / "paper" / "tables"


def run(name: str, folder: Path, **arguments: object) -> None:
    command = [sys.executable, ROOT / "scripts" / f"{name}.py"]
    for key, value in arguments.items():
        text = value if isinstance(value, str | Path) else json.dumps(value)
        command += [f"--{key.replace('_', '-')}", text]
    command += ["--study", "demo", "--note", "Synthetic images."]
    done = subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(ROOT / "workflow")}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def made(folder: Path, *names: str) -> None:
    expected = {f"{name}{suffix}" for name in names for suffix in (".csv", ".md", ".tex")}
    assert {path.name for path in (folder / "tables").iterdir()} == expected
    for name in names:
        assert "Synthetic images." in (folder / "tables" / f"{name}.md").read_text()
        assert "Synthetic images." in (folder / "tables" / f"{name}.tex").read_text()


def test_table_dataset(tmp_path: Path) -> None:
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
    manifest.save(tmp_path / "manifest.csv", images)
    folds.save(make_folds.stratified(manifest.load(tmp_path / "manifest.csv"), "patient", 5, 0), tmp_path / "patient.csv")
    run(
        "table_dataset", tmp_path, manifest="manifest.csv", folds="patient.csv", dataset="small", split="patient",
        split_by="patient", published=PUBLISHED / "table1.csv", output_prefix="tables/table1",
    )  # fmt: skip
    made(tmp_path, "table1", "table1-beside-published")
    assert [tuple(row.values()) for row in rows(tmp_path / "tables" / "table1.csv")] == [
        ("40", "15", "15", "30", "24.0", "6.0"),
        ("total", "15", "15", "30", "24.0", "6.0"),
    ]


def test_table_models(tmp_path: Path) -> None:
    (tmp_path / "parameters.csv").write_text(
        "model,mode,parameters_published_form,parameters,trainable,lora\nalexnet,ft,61100840,57007937,57007937,0\n"
    )
    settings = CnnSettings(architecture="torchvision/alexnet").model_dump(mode="json")
    run(
        "table_models", tmp_path, parameters="parameters.csv", models={"alexnet": settings},
        names={"alexnet": "AlexNet"}, published=PUBLISHED / "table2.csv", output_prefix="tables/table2",
    )  # fmt: skip
    made(tmp_path, "table2", "table2-beside-published")
    beside = rows(tmp_path / "tables" / "table2-beside-published.csv")
    assert [row["difference"] for row in beside] == ["0.0", "0", "same"]


def test_table_hyperparameters(tmp_path: Path) -> None:
    run(
        "table_hyperparameters", tmp_path, recipes={"alexnet": {"ft": Recipe().model_dump(mode="json")}},
        augmentations={"none": []}, splits={"patient": {"by": "patient", "folds": 5}},
        published=PUBLISHED / "table3.csv", output_prefix="tables/table3",
    )  # fmt: skip
    made(tmp_path, "table3", "table3-beside-published")
    assert rows(tmp_path / "tables" / "table3.csv")[0]["value"] == "1e-4"


def test_table_results_and_scores(tmp_path: Path) -> None:
    arm = {"dataset": "small", "model": "alexnet", "mode": "ft", "split": "patient", "magnification": 40}
    arm |= {"augmentation": "none", "folds": 5} | {f"{metric}_mean": 0.9 for metric in METRICS}
    arm |= {f"{metric}_std": 0.05 for metric in METRICS}
    summary = [arm | {"selection": "last"}, arm | {"selection": "best_epoch", "auc_mean": 0.91}]
    write_csv(tmp_path / "summary.csv", SUMMARY_COLUMNS, summary)
    run(
        "table_results", tmp_path, summary="summary.csv", number=4, dataset="small", split="patient",
        augmentation="none", selection="best_epoch", names={"alexnet": "AlexNet"}, published=PUBLISHED / "table4.csv",
        output_prefix="tables/table4-best-epoch",
    )  # fmt: skip
    made(tmp_path, "table4-best-epoch", "table4-best-epoch-beside-published")
    table = (tmp_path / "tables" / "table4-best-epoch.csv").read_text().splitlines()
    assert table[0] == (PUBLISHED / "table4.csv").read_text().splitlines()[0]
    assert table[1].startswith("AlexNet,ft,40,0.9000,0.0500,")
    assert table[1].endswith(",0.9100,0.0500")
    census = tmp_path / "small/folds/census/patient.csv"
    census.parent.mkdir(parents=True)
    census.write_text("fold,equal_pixels\n1,0\n2,3\n")
    run(
        "table_scores", tmp_path, summary="summary.csv", folds=census, splits={"patient": {"by": "patient"}}, names={},
        output_prefix="tables/scores",
    )  # fmt: skip
    made(tmp_path, "table4-best-epoch", "table4-best-epoch-beside-published", "scores")
    assert "Dataset small, split policy patient: images with" in (tmp_path / "tables" / "scores.md").read_text()
    assert len(rows(tmp_path / "tables" / "scores.csv")) == 2
