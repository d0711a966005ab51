"""Each script of a table, as its rule calls it: which files it writes, and what they hold."""

import hashlib
from pathlib import Path

import pytest

from histobench.datasets import folds, make_folds, manifest
from histobench.evaluation import external
from histobench.evaluation.bootstrap import POOLED
from histobench.evaluation.comparisons import COMPARISONS_COLUMNS, INTERVALS_COLUMNS
from histobench.evaluation.summary import SUMMARY_COLUMNS
from histobench.io.files import read_csv, write_csv
from histobench.metrics import METRICS
from histobench.study import resolved
from tests.report.studies import ARMS, EXTERNAL, ROOT, call, study

ARM = {"dataset": "breakhis", "model": "alexnet", "mode": "ft", "split": "patient", "magnification": 40}
ARM |= {"augmentation": "none"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return a folder with what the scripts read."""
    folder = tmp_path_factory.mktemp("tables")
    resolved.write(study(arms=ARMS[:1], grid=study().grid, external=[EXTERNAL]), folder / "study.json")
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
    (folder / "parameters.csv").write_text(
        "model,mode,parameters_published_form,parameters,trainable,lora\nalexnet,ft,61100840,57007937,57007937,0\n"
    )
    scores = ARM | {"folds": 5} | {f"{metric}_mean": 0.9 for metric in METRICS}
    scores |= {f"{metric}_std": 0.05 for metric in METRICS}
    summary = [scores | {"selection": "last"}, scores | {"selection": "best_epoch", "auc_mean": 0.91}]
    write_csv(folder / "summary.csv", SUMMARY_COLUMNS, summary)
    census = folder / "breakhis/folds/census/patient.csv"
    census.parent.mkdir(parents=True)
    census.write_text("fold,equal_pixels\n1,0\n2,3\n")
    interval = ARM | {"selection": "last", "estimate": 0.9, "low": 0.85, "high": 0.92, "patients": 81}
    write_csv(folder / "intervals.csv", INTERVALS_COLUMNS, [interval | {"metric": metric} for metric in POOLED])
    pair = {key: ARM[key] for key in ("dataset", "split", "augmentation")} | {"magnification": 200, "selection": "last"}
    pair |= {"first": "alexnet/ft", "second": "vgg19/ft", "folds": 5, "patients": 81, "wilcoxon_floor": 0.0625}
    pair |= dict.fromkeys(("first_value", "second_value", "difference", "pooled_difference", "low", "high"), 0.1)
    pair |= dict.fromkeys(("holm_p", "sign_flip_p", "bootstrap_p", "nadeau_bengio_p", "wilcoxon_p"), 0.25)
    tested = {**scores, "on": "bach"}
    write_csv(folder / "external_summary.csv", external.SUMMARY_COLUMNS, [tested])
    groups = [{**ARM, "on": "bach", "group": group, "label": label, "fold": "mean", external.RATE: 0.5}
              for group, label in (("benign", 0), ("invasive", 1))]  # fmt: skip
    write_csv(folder / "groups.csv", external.GROUPS_COLUMNS, groups)
    write_csv(folder / "comparisons.csv", COMPARISONS_COLUMNS, [pair | {"metric": name} for name in METRICS])
    return folder


@pytest.mark.parametrize(
    ("script", "files", "name", "others", "first"),
    [
        ("table_dataset", ["manifest", "folds", "published"], "table1", ["-beside-published"],
         {"benign": "15", "total": "30", "train": "24.0", "test": "6.0"}),
        ("table_models", ["parameters", "published"], "table2", ["-beside-published"],
         {"model": "AlexNet", "parameters_millions": "61.1", "trainable": "57007937"}),
        ("table_hyperparameters", ["published"], "table3", ["-beside-published"],
         {"hyperparameter": "Learning rate", "value": "1e-4"}),
        ("table_results", ["summary", "published"], "table4", ["-beside-published"], {"auc_mean": "0.9000"}),
        ("table_results", ["summary", "published"], "table4-best-epoch", ["-beside-published"], {"auc_mean": "0.9100"}),
        ("table_scores", ["summary", "census"], "scores", [], {"selection": "last", "folds": "5"}),
        ("table_intervals", ["intervals", "published"], "table4-intervals", [],
         {"accuracy_low": "0.8500", "auc_high": "0.9200"}),
        ("table_comparisons", ["comparisons", "published"], "table7", ["-beside-published", "-honest"],
         {"first": "AlexNet FT", "accuracy_p": "0.2500", "floor": "0.0625"}),
        ("table_external", ["external", "groups", "published"], "table6", ["-beside-published"],
         {"model": "AlexNet", "auc_mean": "0.9000"}),
    ],
)  # fmt: skip
def test_a_script_writes_its_tables(folder, script, files, name, others, first, monkeypatch) -> None:
    paths = {key: ("--" + key, f"{key}.csv") for key in files}
    paths |= {
        "folds": ("--folds", "patient.csv"),
        "census": ("--folds", "breakhis/folds/census/patient.csv"),
        "external": ("--summary", "external_summary.csv"),
        "published": ("--published", str(ROOT / f"resources/paper/tables/{name[:6]}.csv")),
    }
    options = [part for key in files for part in paths[key]]
    monkeypatch.chdir(folder)
    call(script, monkeypatch, "--study", "study.json", *options, "--output-prefix", f"{name}/{name}")
    made = [f"{name}{suffix}" for suffix in ("", *others)]
    made += ["external"] if script == "table_external" else []
    expected = {f"{table}{suffix}" for table in made for suffix in (".csv", ".md", ".tex")}
    assert {path.name for path in (folder / name).iterdir()} == expected
    for table in made:
        assert "Synthetic images." in (folder / name / f"{table}.md").read_text()
        assert "Synthetic images." in (folder / name / f"{table}.tex").read_text()
    assert first.items() <= read_csv(folder / name / f"{name}.csv", ())[0].items()
