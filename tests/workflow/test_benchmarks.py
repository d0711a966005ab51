"""Studies on the splits of published benchmarks, to the page: noise under the names of the datasets' images, and small random models."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from histobench.datasets import breakhis
from histobench.study import paths
from histobench.study.config import load
from histobench.tools import pack, verify
from tests.datasets.standin import png
from tests.report import page_numbers
from tests.workflow.conftest import OF_CHECKOUT, ROOT, SMALL, tool
from tests.workflow.test_sharing import changed, edited, members_of

pytestmark = pytest.mark.slow
BACH = {"n": "Normal", "b": "Benign", "is": "InSitu", "iv": "Invasive"}


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def run(project, study: str, dataset: str, names: list[str]) -> Path:
    """Run a study of config/studies on images of noise with these paths; return the folder of its results."""
    shutil.copytree(ROOT / "resources/leaderboards", project.folder / "resources/leaderboards")
    source = Path("resources", dataset, "noise")
    for number, name in enumerate(names):
        file = project.folder / source / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(np.random.default_rng(number).integers(0, 255, (16, 24, 3), dtype=np.uint8)))
    (project.folder / "config/small.yaml").write_bytes(SMALL.read_bytes())
    own = {"source": str(source), "url": None, "complete": False, "synthetic": None}
    overlay = {"datasets": {dataset: own}, "note": "The images are NOISE.", "comparisons": {"draws": 500}}
    (project.folder / "config/noise.yaml").write_text(yaml.safe_dump(overlay))
    files = (f"config/studies/{study}.yaml", "config/small.yaml", "config/noise.yaml")
    threads = ("--set-threads", "train=1", "features=1")
    project.snakemake(*OF_CHECKOUT, "--configfile", *files, "--cores", "2", "--resources", "gpu=2", *threads)
    return project.folder / "results/studies" / study


def check_table(results: Path, file: str, images: int, groups: int) -> None:
    """Check the table of published scores: theirs as in their files, this study's as in class_scores.csv, sorted, and on the page."""
    table = rows(results / "tables/published-rows.csv")
    ours = [row for row in table if row["source"] == "this study"]
    scores = {
        (f"ResNet34 {row['mode'].upper()}", row["metric"], row["selection"]): row
        for row in rows(results / "class_scores.csv")
        if row["class"] == "all"
    }
    wanted = [("balanced_accuracy", "best_epoch"), ("balanced_accuracy", "last"), ("macro_f1", "last")]
    found = {(row["encoder"], row["metric"], row["selection"]): row for row in ours}
    assert len(ours) == len(found) == 6
    assert found.keys() == {(f"ResNet34 {mode}", *cell) for mode in ("FT", "LP") for cell in wanted}
    for cell, row in found.items():
        of = scores[cell]
        assert [row["value"], row["value_low"], row["value_high"]] == [
            f"{float(of[column]):.4f}" for column in ("fold_mean", "fold_mean_low", "fold_mean_high")
        ]
        assert (int(row["images"]), int(row["groups"])) == (images, groups)
    for name, metric, selection in (("eva", "balanced_accuracy", "best_epoch"), ("thunder", "macro_f1", "validation")):
        published = rows(ROOT / f"resources/leaderboards/{name}.csv")
        theirs = [row for row in table if row["source"].lower().startswith(name)]
        assert {(row["metric"], row["selection"]) for row in theirs} == {(metric, selection)}
        assert {row["encoder"]: row["value"] for row in theirs} == {
            row["encoder"]: row[f"{file}_{metric}"] for row in published
        }
    metrics = [row["metric"] for row in table]
    assert metrics == sorted(metrics)
    for metric in set(metrics):
        values = [float(row["value"]) for row in table if row["metric"] == metric]
        assert values == sorted(values, reverse=True)

    page = results / "report.html"
    assert page_numbers.check(page) > 100
    text = " ".join(" ".join(page_numbers.read(page).texts).split())
    assert "Published scores beside this study's" in text
    assert (
        "eva 555c3c7: commit of kaiko-ai/eva; frozen encoders, mean of five runs; the checkpoint is chosen on the"
        in text
    )
    assert "The images are NOISE." in text


def check_archive(project) -> None:
    """Check that the archive of the study is verified, and one with another logit or history is not, and that it is not ranked."""
    files = ("--configfile", "config/studies/eva-4.yaml", "config/small.yaml", "config/noise.yaml")
    made = tool("pack", *files, "--output", "eva-4.tar.gz", cwd=project.folder)
    assert made.returncode == 0, made.stdout
    ended = tool("verify", "eva-4.tar.gz", cwd=project.folder)
    assert ended.returncode == 0, ended.stdout
    assert "Runs      2 of 2 predict each image of their fold once" in ended.stdout
    ended = tool("leaderboard", "eva-4.tar.gz", cwd=project.folder)
    assert ended.returncode == 1
    assert "has the classes F, TA, DC, MC, expected benign and malignant" in ended.stdout

    archive = project.folder / "eva-4.tar.gz"
    config = load(json.loads(members_of(archive, "eva-4")[pack.CONFIGURATION]))
    folder = config.path(paths.RUN, **vars(config.runs[0]))
    changed(archive, project.folder / "b.tar.gz", edited(f"{folder}/predictions.csv", "SOB_", "X"), study="eva-4")
    ended = tool("verify", "b.tar.gz", cwd=project.folder)
    assert ended.returncode == 1
    assert "predictions.csv, line 2: has ('X" in ended.stdout
    assert verify.wrong_histories(config, project.folder, {}) == []
    history = project.folder / folder / "history.csv"
    history.write_text(re.sub(r"\n(1(,[^,]*){3},)[^,]*", r"\n\g<1>0.123", history.read_text(), count=1))
    (fault,) = verify.wrong_histories(config, project.folder, {})
    assert f"{folder}/history.csv, line 2, column accuracy: packed 0.123, by the predictions " in fault


def test_evas_breakhis(project):
    images = [
        image for image in breakhis.official() if image.magnification == 40 and image.subtype in ("F", "TA", "DC", "MC")
    ]
    some = [image.member for image in images if image.image_id.endswith(("1", "2"))]
    slides = {
        row["group"] for row in rows(ROOT / "resources/leaderboards/eva-breakhis-split.csv") if row["set"] == "val"
    }
    tested = [image for image in images if image.member in some and image.patient in slides]
    results = run(project, "eva-4", "breakhis", some)
    check_table(results, "breakhis", len(tested), len({image.patient for image in tested}))
    check_archive(project)


def test_bach(project):
    names = [f"Photos/{folder}/{prefix}{number:03}.png" for prefix, folder in BACH.items() for number in range(1, 101)]
    results = run(project, "bach-4", "bach", names)
    check_table(results, "bach", 132, 24)
    assert {path.stem for path in (results / "tables").glob("*.csv")} == {
        *("folds", "images", "models", "published-rows", "recall", "recipes", "results", "results-pooled")
    }
    (images,) = (row for row in rows(results / "tables/images.csv") if row["magnification"] == "0")
    classes = ("normal", "benign", "insitu", "invasive")
    assert [images[column] for column in (*classes, "total", "train", "test")] == ["100"] * 4 + [
        "400",
        "268.0",
        "132.0",
    ]
    recall = {(row["class"], row["images"]) for row in rows(results / "tables/recall.csv")}
    assert recall == {("normal", "23"), ("benign", "48"), ("insitu", "30"), ("invasive", "31")}
    # The photographs of a known patient are resampled together: b042 to b044 and n046 to n051 are of one.
    predictions = rows(
        next(project.folder.glob("results/bach-*/runs/resnet34/lp/eva/0x/none-*/seed0/fold1/predictions.csv"))
    )
    group = {row["image_id"]: row["group"] for row in predictions}
    assert {name for name, patient in group.items() if patient == group["b042"]} == {
        *(f"b{number:03}" for number in range(42, 45)),
        *(f"n{number:03}" for number in range(46, 52)),
    }
    text = (results / "report.html").read_text(encoding="utf-8")
    assert (
        "Patients are known of 145 of BACH's 400 photographs (29 patients)"
        in (results / "tables/recall.md").read_text()
    )
    assert "1 fold, as given" in text
    # The photographs may not be passed on: the page links no figure of them.
    assert (results / "figures/samples.svg").exists()
    assert "figures/samples" not in text
