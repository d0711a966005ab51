"""Scores on another dataset, against numbers worked out by hand."""

from pathlib import Path

import pytest

from histobench.evaluation import external
from histobench.io.errors import HistoBenchError
from histobench.study import paths, resolved
from histobench.study.runs import Run
from tests.report.studies import study
from tests.scripts.running import Ended, rows
from tests.scripts.running import run as run_script

HEADER = "image_id,group,class,label,logit"
# Normal: one of two called malignant. Benign: none of two. In situ: all of two. Invasive: one of two.
GROUPS = [("n1", "normal", 0), ("n2", "normal", 0), ("b1", "benign", 0), ("b2", "benign", 0)]
GROUPS += [("s1", "insitu", 1), ("s2", "insitu", 1), ("v1", "invasive", 1), ("v2", "invasive", 1)]
FIRST = [0.5, -1.0, -2.0, -3.0, 2.0, 1.0, 0.0, -0.5]
# The second fold's model calls everything malignant.
SECOND = [1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 3.0]

KEYS = dict.fromkeys(("on_key", "scale_key", "data_key", "run_key"), "0123abcd")


def run(fold: int, magnification: int = 40) -> Run:
    return Run("breakhis", "resnet34", "ft", "patient", magnification, "none", 0, fold)


def write(folder: Path, logits: list[float], fold: int, magnification: int = 40, drop: int = 0, **odd: str) -> Path:
    path = folder / paths.EXTERNAL.format(**vars(run(fold, magnification)), on="bach", scale="matched", **KEYS)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        f"{name},{name},{group},{label},{logit}"
        for (name, group, label), logit in zip(GROUPS[drop:], logits[drop:], strict=True)
    ]
    text = "\n".join([HEADER, *lines]) + "\n"
    for old, new in odd.items():
        text = text.replace(f"{old},", f"{new},")
    path.write_text(text)
    return path


def score(folder: Path, *predictions: Path) -> Ended:
    outputs = {name: f"{name}.csv" for name in ("metrics", "summary", "groups", "intervals", "gaps")} | {
        "draws": "draws.npz"
    }
    made = study(comparisons={"pairs": [], "magnification": 40, "draws": 100, "seed": 0})
    resolved.write(made, folder / "study.json")
    return run_script("score_external", folder, "--predictions", *predictions, study="study.json", **outputs)


def test_by_hand(tmp_path: Path) -> None:
    assert score(tmp_path, write(tmp_path, FIRST, 1), write(tmp_path, SECOND, 2)) == (0, "")
    first, second = rows(tmp_path / "metrics.csv")
    assert (
        first.items()
        >= {"on": "bach", "scale": "matched", "dataset": "breakhis", "model": "resnet34", "magnification": "40"}.items()
    )
    assert (first["images"], first["groups"], first["benign_groups"]) == ("8", "8", "4")
    # 3 malignant and 1 benign called malignant, 3 benign and 1 malignant called benign.
    assert [float(first[name]) for name in ("accuracy", "precision", "recall", "f1")] == [0.75, 0.75, 0.75, 0.75]
    # Of the 16 pairs, s1 and s2 win 4 each, v1 (0.0) and v2 (-0.5) lose to n1 alone and win 3 each.
    assert float(first["auc"]) == pytest.approx(14 / 16)
    assert [float(second[name]) for name in ("accuracy", "precision", "recall", "auc")] == [0.5, 0.5, 1.0, 1.0]
    assert float(second["f1"]) == pytest.approx(2 / 3)
    assert float(first["patient_rate"]) == 0.75  # every image is a patient

    (summary,) = rows(tmp_path / "summary.csv")
    assert summary["folds"] == "2"
    assert float(summary["accuracy_mean"]) == pytest.approx(0.625)
    assert float(summary["accuracy_std"]) == pytest.approx(0.25 / 2**0.5)  # ddof 1

    groups = rows(tmp_path / "groups.csv")
    rates = {
        (row["class"], row["fold"]): (row["label"], row["malignant_calls"], float(row["malignant_rate"]))
        for row in groups
    }
    assert rates == {
        ("normal", "1"): ("0", "1", 0.5), ("normal", "2"): ("0", "2", 1.0), ("normal", "mean"): ("0", "", 0.75),
        ("benign", "1"): ("0", "0", 0.0), ("benign", "2"): ("0", "2", 1.0), ("benign", "mean"): ("0", "", 0.5),
        ("insitu", "1"): ("1", "2", 1.0), ("insitu", "2"): ("1", "2", 1.0), ("insitu", "mean"): ("1", "", 1.0),
        ("invasive", "1"): ("1", "1", 0.5), ("invasive", "2"): ("1", "2", 1.0), ("invasive", "mean"): ("1", "", 0.75),
    }  # fmt: skip
    assert [
        float(row["malignant_rate_std"]) for row in groups if row["class"] == "normal" and row["fold"] == "mean"
    ] == [pytest.approx(0.5 / 2**0.5)]
    assert score(tmp_path, write(tmp_path, FIRST, 1)) == (0, "")
    assert rows(tmp_path / "summary.csv")[0]["accuracy_std"] == ""


@pytest.mark.parametrize(("drop", "odd"), [(1, {}), (0, {"n2,n2": "n2,n1"})])
def test_files_about_other_images_are_refused(tmp_path: Path, drop: int, odd: dict[str, str]) -> None:
    files = [write(tmp_path, FIRST, 1), write(tmp_path, FIRST, 2, drop=drop, **odd)]
    status, said = score(tmp_path, *files)
    assert (status, said.count("\n")) == (1, 1)
    message = f"are not those of {files[0]} ({8 - drop} and 8 images); delete the file to have it made again"
    assert said.startswith(f"error: {files[1]}: images, patients, groups or labels {message}")


def test_a_file_is_given_once_and_names_its_run(tmp_path: Path) -> None:
    file = write(tmp_path, FIRST, 1)
    with pytest.raises(HistoBenchError, match="is the same run as"):
        external.read_runs([file, file])
    for path in (Path("fold1.csv"), Path("bach/predictions/fold1.csv")):
        with pytest.raises(HistoBenchError, match="names no run"):
            external.read_runs([path])


def test_nothing_usable_leaves_empty_tables_and_its_gap(tmp_path: Path) -> None:
    status, said = score(tmp_path, write(tmp_path, FIRST, 1, drop=4))
    assert status == 0
    assert "4 of 4 images are malignant" in said
    assert [rows(tmp_path / f"{name}.csv") for name in ("metrics", "summary", "groups", "intervals")] == [
        [],
        [],
        [],
        [],
    ]
    assert len(rows(tmp_path / "gaps.csv")) == 1
