"""The study of augmentations, at a small size: its lists, the table of their effects, and its figure."""

import csv

import pytest
import yaml

from tests.workflow.conftest import ROOT, loaded, shared_with_the_paper

STUDY = loaded(yaml.safe_load((ROOT / "config/studies/augmentation.yaml").read_text()))
TRANSFORMS = ("flip", "rotate", "brightness", "crop", "blur")


def test_each_transform_is_alone_once_and_left_out_once():
    alone = {name: STUDY.augmentations[name] for name in TRANSFORMS}
    whole = STUDY.augmentations["paper"]
    assert [transform for one in alone.values() for transform in one] == whole
    for name, (transform,) in alone.items():
        assert STUDY.augmentations[f"without-{name}"] == [other for other in whole if other != transform]
    assert len(STUDY.runs) == 14 * 5
    assert len(shared_with_the_paper(STUDY)) == 2 * 5


@pytest.mark.slow
def test_the_study_of_augmentations(project):
    project.study("augmentation")
    folder = project.folder / "results/studies/augmentation"
    with (folder / "tables/augmentation-effects.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (folder / "intervals.csv").open() as file:
        means = {
            (row["augmentation"], row["metric"]): float(row["fold_mean"])
            for row in csv.DictReader(file)
            if row["selection"] == "last"
        }
    assert len(rows) == 2 * 13
    for row in rows:
        metric = row["metric"].lower()
        difference = means[row["augmentation"], metric] - means["none", metric]
        assert float(row["difference"]) == pytest.approx(difference, abs=5.1e-5)
        assert float(row["difference_low"] or -1) <= float(row["difference"]) <= float(row["difference_high"] or 1)
        from_paper = means[row["augmentation"], metric] - means["paper", metric]
        assert row["augmented_difference"] == "" if row["augmentation"] == "paper" else True
        assert float(row["augmented_difference"] or 0) == pytest.approx(from_paper, abs=5.1e-5)
    accuracies = [float(row["difference"]) for row in rows if row["metric"] == "Accuracy"]
    assert accuracies == sorted(accuracies)
    page = (folder / "report.html").read_text()
    assert '<figure id="augmentation-effects">' in page
    assert "ResNet34 FT at 200×: the lowest change in accuracy is that of " in page
