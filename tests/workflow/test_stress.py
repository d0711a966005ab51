"""The study of altered images at a small size: stain normalisation, predictions on altered images, and what is made of them."""

import csv
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from snakemake.utils import update_config

from histobench.io.errors import HistoBenchError
from histobench.study import paths
from histobench.study.stress_settings import SHIFTS
from histobench.tools import command_line, pack, verify
from tests.report import page_numbers
from tests.workflow.conftest import job_counts, loaded
from tests.workflow.test_sharing import changed


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def table(path, *key, value="logit"):
    return {tuple(row[name] for name in key): float(row[value]) for row in rows(path)}


@pytest.mark.slow
def test_trained_models_predict_altered_images_and_their_drops_are_reported(project, monkeypatch):
    project.study("stress", magnifications=(100, 200))
    config = yaml.safe_load((project.folder / "config/studies/stress.yaml").read_text())
    update_config(config, yaml.safe_load((project.folder / "config/small.yaml").read_text()))
    study = loaded(config)
    assert len(study.stress_runs) == len(study.runs) == 10

    # Kept weights say of unaltered images what training said of them, whatever the mode and the stain.
    for run in study.stress_runs:
        found = rows(project.folder / study.path(paths.STRESS, **vars(run)))
        assert Counter((row["shift"], int(row["strength"])) for row in found).keys() == {
            ("none", 0),
            *((shift, strength) for shift in SHIFTS for strength in range(1, 6)),
        }
        plain = {row["image_id"]: float(row["logit"]) for row in found if row["shift"] == "none"}
        trained = table(project.folder / study.path(paths.PREDICTIONS, **vars(run)), "image_id")
        assert {(name,): logit for name, logit in plain.items()} == pytest.approx(trained, abs=1e-4)
        assert len({row["logit"] for row in found}) > 20 * len(plain)

    # Two stains are two stores; neither is that of images as they are.
    (mode,) = {run.mode for run in study.runs} & {"lp-macenko"}
    (first, *_) = (run for run in study.runs if run.mode == mode)
    store = study.path(paths.NORMALISED, **vars(first), **study.normalised(first), size=32)
    assert "/kept-0.3-seed0/" in store
    target = json.loads((project.folder / store).with_suffix(".json").read_text())
    assert (target["method"], np.shape(target["target"])) == ("macenko", (2, 4))
    plain = np.load(project.folder / study.path(paths.PIXELS, dataset="breakhis", size=32))
    normalised = np.load(project.folder / store)
    at_200 = [
        row["magnification"] == "200" for row in rows(project.folder / study.path(paths.MANIFEST, dataset="breakhis"))
    ]
    altered = (plain != normalised).any(axis=(1, 2, 3))[at_200]
    assert altered.sum() >= len(altered) - target["unchanged"] > 0
    assert not normalised[~np.array(at_200)].any()

    # Scores, and drops from those of unaltered images, are those of the predictions.
    results = project.folder / "results/studies/stress"
    scored = rows(results / "stress.csv")
    arms = {(row["model"], row["mode"]) for row in scored}
    assert len(arms) == 5
    assert len(scored) == 5 * 3 * (1 + 25 + 5 + 1)
    for row in scored:
        if row["metric"] != "accuracy" or row["strength"] not in "012345":
            continue
        of_folds = []
        for run in study.runs:
            if (run.model, run.mode) == (row["model"], row["mode"]):
                own = [
                    one
                    for one in rows(project.folder / study.path(paths.STRESS, **vars(run)))
                    if one["shift"] == row["shift"] and one["strength"] == row["strength"]
                ]
                of_folds.append(np.mean([(float(one["logit"]) >= 0) == (one["label"] == "1") for one in own]))
        assert float(row["estimate"]) == pytest.approx(np.mean(of_folds), abs=1e-12)
    printed = rows(results / "tables/stress.csv")
    assert (printed[0]["model"], printed[0]["mode"]) == ("ResNet34", "ft")
    by_arm = {
        (row["model"], row["mode"], row["shift"]): float(row["drop"])
        for row in scored
        if row["metric"] == "accuracy" and row["strength"] == "mean"
    }
    assert float(printed[0]["all"]) == pytest.approx(by_arm["resnet34", "ft", "all"], abs=5.1e-5)
    assert (results / "figures/stress.svg").stat().st_size > 10_000

    page = results / "report.html"
    found = page_numbers.read(page)
    assert "stress-test" in found.sections
    page_numbers.check(page)
    assert "stain of all images normalised to that of the training images by the method of Reinhard" in page.read_text()
    assert job_counts(project.study("stress", "-n", magnifications=(100, 200))) == {}

    # Packed, what is changed of these predictions is found.
    monkeypatch.chdir(project.folder)
    config = command_line.study([Path("config/studies/stress.yaml"), Path("config/small.yaml")])
    honest = Path("stress.tar.gz")
    pack.write(pack.contents(config), "stress", honest)
    file = study.path(paths.STRESS, **vars(study.stress_runs[0]))

    def with_changed(old, new):
        def change(members):
            members[file] = re.sub(old, new, members[file].decode()).encode()

        return changed(honest, Path("changed.tar.gz"), change, study="stress")

    said: list[str] = []
    assert not verify.verify(with_changed(r"(,blur,5,).*", r"\g<1>9"), said.append)
    assert "Stress    10 runs predict each altered image of their fold once" in said
    assert [line for line in said if line.startswith("  studies/stress/stress.csv, line ")]
    labels = with_changed(",0,(?=[a-z])", ",1,")
    with pytest.raises(HistoBenchError, match=f"{file}, line .*: has .*, but fold and manifest have "):
        verify.verify(labels, said.append)
