"""The study of prompts: text after the image, and models that answer without training."""

import csv
import itertools
import json

import numpy as np
import pytest

from tests.workflow.conftest import job_counts


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_the_study_of_prompts(project):
    project.study("prompts", magnifications=(40, 400))
    runs = project.folder.glob("results/breakhis-*/runs/*/*/patient/*/none-*/seed0/fold*")
    found = {(*folder.parts[-7:-5], folder.parts[-4], folder.parts[-1]): folder for folder in runs}
    assert len(found) == 44

    # The specification holds the text that was read.
    for scale in ("40x", "400x"):
        folder = found["smolvlm", "lp-magnification", scale, "fold1"]
        recipe = json.loads((folder / "run.json").read_text())["specification"]["recipe"]
        assert recipe["prompt"] == (
            f"Is the tissue in this haematoxylin and eosin image of the breast at {scale} magnification benign or malignant? Answer:"
        )
    # Embeddings with other text are others, and tokens are shared and gone.
    stores = list(project.folder.glob("results/breakhis-*/features/smolvlm/40x/none-*/seed0/views1.npy"))
    assert len({np.load(store).tobytes() for store in stores}) == 3
    assert not list(project.folder.glob("results/breakhis-*/tokens/**/*.npy"))

    # Nothing is trained, and the logit is the mean of the prompts' logits.
    accuracy = []
    for model, fold in itertools.product(("plip", "qwen2-vl-2b"), ("fold1", "fold2")):
        folder = found[model, "zero-shot", "400x", fold]
        record = json.loads((folder / "run.json").read_text())
        assert record["parameters"]["trainable"] == record["images"]["training"] == record["images_per_second"] == 0
        (epoch,) = rows(folder / "history.csv")
        assert (epoch["epoch"], epoch["train_loss"]) == ("1", "nan")
        own = rows(folder / "predictions.csv")
        assert {row["image_id"] for row in own} == {
            row["image_id"] for row in rows(found["qwen2-vl-2b", "lp", "400x", fold] / "predictions.csv")
        }
        each = np.array([[float(row[f"prompt_{number}_logit"]) for number in (1, 2, 3)] for row in own])
        np.testing.assert_allclose([float(row["logit"]) for row in own], each.mean(1), rtol=1e-5, atol=1e-6)
        assert each.std(0).min() > 0
        label = np.array([row["label"] == "1" for row in own])
        accuracy.append(((each >= 0) == label[:, None]).mean(0))
    record = json.loads((found["plip", "zero-shot", "40x", "fold1"] / "run.json").read_text())
    assert (
        record["specification"]["recipe"]["prompts"][0]
        == "A haematoxylin and eosin image of breast tissue at 40x showing a"
    )
    assert list(project.folder.glob("results/breakhis-*/features/plip/40x/none-*/seed0/views1.npy"))

    # The table has them one by one, and the spread.
    table = rows(project.folder / "results/studies/prompts/tables/prompts.csv")
    lasts = "This is a photomicrograph of a", "The tumour in this microscopic image of the breast is"
    for label, last, folds in zip(("PLIP", "Qwen2-VL-2B"), lasts, (accuracy[:2], accuracy[2:]), strict=True):
        means, setting = np.mean(folds, axis=0), (label, "zero-shot", "400")
        shown = [row for row in table if (row["model"], row["mode"], row["magnification"]) == setting]
        assert [row["accuracy_mean"] for row in shown[:3]] == [f"{mean:.4f}" for mean in means]
        assert [row["prompt"] for row in shown[2:]] == [last, "mean of 3 prompts"]
        assert shown[3]["spread"] == f"{means.max() - means.min():.4f}"
    page = (project.folder / "results/studies/prompts/report.html").read_text()
    assert "What does text after the image change" in page
    assert job_counts(project.study("prompts", "-n", magnifications=(40, 400))) == {}
