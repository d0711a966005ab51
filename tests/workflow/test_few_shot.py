"""A curve over patients per class, and what is said where a fold has too few of them."""

import csv
import json

import pytest

from tests.report import page_numbers

pytestmark = pytest.mark.slow


def test_a_curve_has_a_point_for_each_number_of_patients(project):
    study = "config/studies/few-shot.yaml"
    modes = "[lp-1, lp-2, lp-4, lp-8, lp, simpleshot-1, simpleshot-2, simpleshot-4, simpleshot-8, simpleshot]"
    project.edit(study, modes, "[lp-1, lp-2, lp, simpleshot-1, simpleshot-2, simpleshot]")
    project.edit(study, "[0, 1, 2]", "[0, 1]")
    results = "results/studies/few-shot"
    project.study("few-shot")
    figure = (project.folder / results / "figures/few-shot.svg").read_text()
    for name in ("ResNet34 LP", "ResNet34 simpleshot"):
        assert f'id="{name}"' in figure
        assert figure.count(f'id="{name}: interval') >= 2
    trained = {}
    for path in project.folder.glob("results/breakhis-*/runs/resnet34/*/*/200x/*/seed*/fold1/run.json"):
        record, (mode, seed) = json.loads(path.read_text()), (path.parts[-7], path.parts[-3])
        trained[mode, seed] = record["images"]["training"]
    assert len(trained) == 12
    for kind in ("lp", "simpleshot"):
        for seed in ("seed0", "seed1"):
            one, two, everyone = (trained[mode, seed] for mode in (f"{kind}-1", f"{kind}-2", kind))
            assert one < two == everyone  # two patients of each class are all that a fold of the small form trains on
    history = next(project.folder.glob("results/breakhis-*/runs/resnet34/simpleshot/*/200x/*/seed0/fold1/history.csv"))
    with history.open() as file:
        (row,) = csv.DictReader(file)
    assert (row["epoch"], row["learning_rate"], row["train_loss"]) == ("1", "0", "nan")
    epochs = (project.folder / results / "figures/epochs.svg").read_text()
    assert "ResNet34 LP: accuracy" in epochs
    assert "simpleshot" not in epochs
    recipes = (project.folder / results / "tables/recipes.md").read_text()
    assert "nearest class mean (SimpleShot), frozen backbone (ResNet34 simpleshot-1" in recipes
    page = project.folder / results / "report.html"
    assert page_numbers.check(page) > 100
    assert '<figure id="few-shot">' in page.read_text()

    project.edit(study, "[lp-1, lp-2, lp, ", "[lp-8, lp-1, lp-2, lp, ")
    failed = project.snakemake(
        "--configfile", "config/studies/few-shot.yaml", "config/small.yaml", "--cores", "1", "--resources", "gpu=1", "-k",
        "results/studies/few-shot/metrics.csv", check=False,
    )  # fmt: skip
    assert failed.returncode == 1
    assert (
        "patients_per_class: 8 of each class shall train, but fold 1 has 2 benign and 2 malignant patients to train on at 200x; "
        "write a smaller number in the mode, or take the mode out of the grid"
    ) in failed.stdout
