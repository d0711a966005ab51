"""Scores on another dataset, against numbers worked out by hand."""

import contextlib
import csv
import io
import runpy
import sys
from pathlib import Path

import pytest

from histobench.study import paths
from histobench.study.paths import Run

SCRIPT = str(Path(__file__).parents[2] / "scripts" / "score_external.py")
HEADER = "image_id,patient,group,label,logit"
# Normal: one of two called malignant. Benign: none of two. In situ: all of two. Invasive: one of two.
GROUPS = [("n1", "normal", 0), ("n2", "normal", 0), ("b1", "benign", 0), ("b2", "benign", 0)]
GROUPS += [("s1", "insitu", 1), ("s2", "insitu", 1), ("v1", "invasive", 1), ("v2", "invasive", 1)]
FIRST = [0.5, -1.0, -2.0, -3.0, 2.0, 1.0, 0.0, -0.5]
# The second fold's model calls everything malignant.
SECOND = [1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 3.0]


def run(fold: int, magnification: int = 40) -> Run:
    return Run("breakhis", "resnet34", "ft", "patient", magnification, "none", fold)


def write(folder: Path, logits: list[float], fold: int, magnification: int = 40, drop: int = 0, **odd: str) -> Path:
    path = folder / paths.external("bach", run(fold, magnification))
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


def score(folder: Path, *predictions: Path) -> tuple[int, str]:
    """Run the script in this process; return its exit status and what it writes to stderr."""
    names = ("metrics", "summary", "groups")
    outputs = [part for name in names for part in (f"--{name}", str(folder / f"{name}.csv"))]
    kept, sys.argv = sys.argv, [SCRIPT, *outputs, "--predictions", *map(str, predictions)]
    status = 0
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            runpy.run_path(SCRIPT, run_name="__main__")
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            sys.argv = kept
    return status, errors.getvalue()


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_by_hand(tmp_path: Path) -> None:
    assert score(tmp_path, write(tmp_path, FIRST, 1), write(tmp_path, SECOND, 2)) == (0, "")
    first, second = rows(tmp_path / "metrics.csv")
    assert (first["on"], first["dataset"], first["model"], first["magnification"]) == (
        "bach",
        "breakhis",
        "resnet34",
        "40",
    )
    assert (first["images"], first["patients"]) == ("8", "8")
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
        (row["group"], row["fold"]): (row["label"], row["malignant_calls"], float(row["malignant_rate"]))
        for row in groups
    }
    assert rates == {
        ("normal", "1"): ("0", "1", 0.5), ("normal", "2"): ("0", "2", 1.0), ("normal", "mean"): ("0", "", 0.75),
        ("benign", "1"): ("0", "0", 0.0), ("benign", "2"): ("0", "2", 1.0), ("benign", "mean"): ("0", "", 0.5),
        ("insitu", "1"): ("1", "2", 1.0), ("insitu", "2"): ("1", "2", 1.0), ("insitu", "mean"): ("1", "", 1.0),
        ("invasive", "1"): ("1", "1", 0.5), ("invasive", "2"): ("1", "2", 1.0), ("invasive", "mean"): ("1", "", 0.75),
    }  # fmt: skip
    assert [
        float(row["malignant_rate_std"]) for row in groups if row["group"] == "normal" and row["fold"] == "mean"
    ] == [pytest.approx(0.5 / 2**0.5)]


def test_one_fold_has_no_deviation(tmp_path: Path) -> None:
    assert score(tmp_path, write(tmp_path, FIRST, 1)) == (0, "")
    assert rows(tmp_path / "summary.csv")[0]["accuracy_std"] == ""


@pytest.mark.parametrize(
    ("logits", "drop", "odd", "sentence"),
    [
        ([float("nan"), *FIRST[1:]], 0, {}, "fold2.csv, line 2: logit is 'nan', expected a finite number"),
        (FIRST, 0, {"n2,n2": "n1,n1"}, "fold2.csv, line 3: image n1 occurs a second time"),
        (FIRST, 0, {"v2,v2": ",v2"}, "fold2.csv, line 9: image_id is empty"),
        (FIRST, 0, {"insitu,1": "insitu,2"}, "label is '2', expected 0 (benign) or 1 (malignant)"),
        (FIRST, 4, {}, "fold2.csv: 4 of 4 images are malignant, but both classes must occur"),
        (FIRST, 1, {}, "holds other images than"),
        (FIRST, 0, {"image_id": "image"}, "column image_id is missing"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_the_rest_is_scored(
    tmp_path: Path, logits, drop, odd, sentence
) -> None:
    status, said = score(tmp_path, write(tmp_path, FIRST, 1), write(tmp_path, logits, 2, drop=drop, **odd))
    assert status == 0
    assert said.count("\n") == 1
    assert said.startswith("warning: left out: ")
    assert sentence in said
    assert [row["fold"] for row in rows(tmp_path / "metrics.csv")] == ["1"]


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    status, said = score(tmp_path, write(tmp_path, FIRST, 1, drop=4))
    assert status == 1
    assert said.splitlines()[-1].startswith("error: none of the 1 files of external predictions can be used")
    assert not (tmp_path / "metrics.csv").exists()
