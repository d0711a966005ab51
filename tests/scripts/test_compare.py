"""compare.py, and score.py before it, as the workflow calls them: bad input leaves a gap, and the rest is reported."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PYTHONPATH = str(ROOT / "workflow")
MODELS = ("alexnet", "vgg19", "resnet34")
TABLES = ("intervals", "comparisons", "calibration", "gaps")


def call(folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts" / f"{name}.py", *arguments]
    return subprocess.run(command, cwd=folder, env={"PYTHONPATH": PYTHONPATH}, capture_output=True, text=True)


def predicted(folder: Path) -> list[str]:
    """Write three arms of two folds, each of two malignant and two benign patients with five images."""
    names = []
    for model in MODELS:
        for fold in (1, 2):
            rng = np.random.default_rng([ord(model[0]), fold])
            name = f"results/small/runs/{model}/ft/patient/40x/none/fold{fold}/predictions.csv"
            rows = ["image_id,patient,fold,label,logit,best_epoch_logit"]
            for number in range(20):
                label = int(number < 10)
                logit = rng.normal(label - 0.5)
                rows.append(f"i{fold}{number:02d},p{fold}{number // 5},{fold},{label},{logit:.4f},{logit + 0.1:.4f}")
            (folder / name).parent.mkdir(parents=True)
            (folder / name).write_text("\n".join(rows) + "\n")
            names.append(name)
    return names


def compared(folder: Path, paths: list[str], *options: str) -> subprocess.CompletedProcess[str]:
    scored = call(folder, "score", "--predictions", *paths, "--metrics", "metrics.csv", "--summary", "summary.csv")
    assert scored.returncode == 0, scored.stderr
    outputs = [part for name in TABLES for part in (f"--{name}", f"{name}.csv")]
    splits = json.dumps({"patient": {"by": "patient", "folds": 2}})
    return call(
        folder, "compare", "--predictions", *paths, "--metrics", "metrics.csv", "--splits", splits, "--draws", "300",
        *outputs, *options,
    )  # fmt: skip


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_four_tables_the_same_each_time(tmp_path: Path) -> None:
    paths = predicted(tmp_path)
    done = compared(tmp_path, paths)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "gaps.csv").read_text() == "where,what\n"
    assert len(read(tmp_path / "intervals.csv")) == 3 * 2 * 9
    assert len(read(tmp_path / "comparisons.csv")) == 3 * 2 * 6
    assert len(read(tmp_path / "calibration.csv")) == 3 * 2 * 10
    first = [(tmp_path / f"{name}.csv").read_bytes() for name in TABLES]
    compared(tmp_path, paths)
    assert [(tmp_path / f"{name}.csv").read_bytes() for name in TABLES] == first


def test_a_declared_pair(tmp_path: Path) -> None:
    paths = predicted(tmp_path)
    assert compared(tmp_path, paths, "--pairs", '[["vgg19/ft", "alexnet/ft"]]').returncode == 0
    assert {(row["first"], row["second"]) for row in read(tmp_path / "comparisons.csv")} == {("vgg19/ft", "alexnet/ft")}
    done = compared(tmp_path, paths, "--pairs", '[["vgg91/ft", "alexnet/ft"]]')
    assert done.returncode == 1
    assert done.stderr.startswith("error: comparisons.pairs: 'vgg91/ft' is no arm of the study")


@pytest.mark.parametrize(
    ("kind", "sentences"),
    [
        ("missing fold", ["no such file", "fold 2 is missing or unusable"]),
        ("doubled image", ["line 22: image i200 occurs a second time", "fold 2 is missing or unusable"]),
        ("NaN logit", ["line 2: logit is 'nan', expected a finite number", "fold 2 is missing or unusable"]),
        ("one class", ["10 of 10 images are malignant, but both classes must occur", "fold 2 is missing or unusable"]),
        ("unequal images", ["are not those of small/alexnet/ft/patient/40/none (1 images differ, the first is i219)"]),
    ],
)
def test_bad_input_is_named_and_the_rest_reported(tmp_path: Path, kind: str, sentences: list[str]) -> None:
    paths = predicted(tmp_path)
    bad = tmp_path / paths[3]  # vgg19, fold 2
    lines = bad.read_text().splitlines()
    match kind:
        case "missing fold":
            bad.unlink()
        case "doubled image":
            lines.append(lines[1])
        case "NaN logit":
            lines[1] = lines[1].rsplit(",", 2)[0] + ",nan,0"
        case "one class":
            lines = lines[:11]
        case "unequal images":
            lines = lines[:-1]
    if kind != "missing fold":
        bad.write_text("\n".join(lines) + "\n")
    done = compared(tmp_path, paths)
    assert done.returncode == 0
    gaps = read(tmp_path / "gaps.csv")
    assert done.stderr.splitlines() == [f"warning: {gap['what']}" for gap in gaps]
    assert len(gaps) == len(sentences)
    for gap, sentence in zip(gaps, sentences, strict=True):
        assert gap["where"].startswith("small/vgg19/ft/patient/40/none")
        assert sentence in gap["what"]
    pairs = {(row["first"], row["second"]) for row in read(tmp_path / "comparisons.csv")}
    assert pairs == {("alexnet/ft", "resnet34/ft")}
    arms = {row["model"] for row in read(tmp_path / "intervals.csv")}
    assert arms == (set(MODELS) if kind == "unequal images" else {"alexnet", "resnet34"})
    assert {row["model"] for row in read(tmp_path / "summary.csv")} == set(MODELS)  # its other fold is still scored


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    paths = predicted(tmp_path)[:1]
    (tmp_path / paths[0]).write_text("image_id,patient,fold,label,logit,best_epoch_logit\n")
    done = call(tmp_path, "score", "--predictions", *paths, "--metrics", "metrics.csv", "--summary", "summary.csv")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "0 of 0 images are malignant" in done.stderr


def test_the_external_test_has_intervals_and_leaves_out_what_cannot_be_read(tmp_path: Path) -> None:
    names = []
    for model in ("alexnet", "vgg19"):
        for fold in (1, 2):
            name = f"results/other/predictions/small/{model}/ft/patient/40x/none/fold{fold}.csv"
            rows = ["image_id,patient,group,label,logit"]
            rows += [f"i{n},i{n},{'ab'[n % 2]},{n % 2},{(n % 2) - 0.6 + 0.2 * (n % 5 - fold)}" for n in range(20)]
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("\n".join(rows) + "\n")
            names.append(name)
    (tmp_path / names[3]).write_text("image_id,patient,group,label,logit\ni0,i0,a,0,nan\n")
    done = call(tmp_path, "compare_external", "--predictions", *names, "--draws", "200", "--intervals", "e.csv")
    assert done.returncode == 0
    assert done.stderr.startswith(f"warning: left out: {names[3]}, line 2: logit is 'nan'")
    assert done.stderr.count("\n") == 1
    rows = read(tmp_path / "e.csv")
    assert [(row["on"], row["model"], row["folds"]) for row in rows if row["metric"] == "auc"] == [
        ("other", "alexnet", "2"),
        ("other", "vgg19", "1"),
    ]
