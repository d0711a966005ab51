"""Splits that may divide equal images: they run, and the reader of the scores is told how many were divided."""

import csv

import pytest

from tests.datasets import standin
from tests.workflow.conftest import OF_CHECKOUT


@pytest.mark.slow
def test_official_lists_and_the_image_control(project):
    files = standin.few()
    twin = next(index for index, (path, _) in enumerate(files) if "/malignant/" in path)
    files[twin] = files[twin][0], files[twin + 2][1]  # an image of the next malignant slide
    standin.write_files(project.folder / "few", files, "folder")
    slides = [path.split("/")[-3] for path, _ in files]
    benign, malignant = (list(dict.fromkeys(s for s in slides if f"SOB_{side}_" in s)) for side in "BM")
    for fold in (1, 2):
        tested = {benign[fold], malignant[fold]}  # in fold 1 the twin's slide evaluates and its own trains
        rows = (
            f"{path.rsplit('/', 1)[1]}|40|{fold}|{'test' if slide in tested else 'train'}\n"
            for (path, _), slide in zip(files, slides, strict=True)
        )
        (project.folder / f"dsfold{fold}.txt").write_text("".join(rows))
    splits = {
        "official": {"by": "official", "folds": 2, "files": ["dsfold1.txt", "dsfold2.txt"]},
        "image": {"by": "image", "folds": 2},
        "theirs": {"by": "file", "file": "theirs.csv", "folds": 1},
    }
    sides = {benign[0]: "val", benign[1]: "test", malignant[1]: "test"}
    named = (
        f"C:\\their\\{path.rsplit('/', 1)[1]},{sides.get(slide, 'train')}"
        for (path, _), slide in zip(files, slides, strict=True)
    )
    (project.folder / "theirs.csv").write_text("\n".join(["image,set", *named]) + "\n")
    block = project.configure("few")["grid"][0] | {"dataset": "few", "models": ["small"], "splits": list(splits)}
    project.configure(
        "few", datasets={"few": {"source": "few"}}, splits=splits, grid=[block], tables={"split": "official"}
    )
    project.snakemake("--configfile", "config/few.yaml", "--cores", "2", "--set-threads", "train=1", *OF_CHECKOUT)

    (predictions,) = project.folder.glob("results/**/theirs/**/predictions.csv")
    evaluated = {row["group"] for row in csv.DictReader(predictions.open())}
    assert evaluated == {slide.split("_", 3)[-1] for slide in (benign[1], malignant[1])}
    for fold in (1, 2):
        (predictions,) = project.folder.glob(
            f"results/few-*/runs/small/ft/official/40x/none-*/seed0/fold{fold}/predictions.csv"
        )
        evaluated = {row["group"] for row in csv.DictReader(predictions.open())}
        assert evaluated == {slide.split("_", 3)[-1] for slide in (benign[fold], malignant[fold])}
    caption = (project.folder / "results/studies/tiny/tables/scores.md").read_text().splitlines()[0]
    assert (
        "Dataset few, split policy official: images with equal pixels stand on both sides of a fold (1 pair in all folds)."
        in caption
    )
    assert "Split policy image lets images of one patient into both sides" in caption
