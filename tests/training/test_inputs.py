"""What LoRA on stored visual tokens trains on, is evaluated on, and keeps for choosing."""

import numpy as np
import pytest

from histobench.study.recipes import Lora, Recipe
from histobench.study.spec import RunSpec
from histobench.training import inputs
from tests.models.vlm_settings import tiny
from tests.scripts.running import random_dataset


@pytest.mark.parametrize("augmented", [False, True])
def test_kept_groups_are_rows_of_the_plain_tokens(tmp_path, augmented):
    images = [image for image in random_dataset(tmp_path, 12, (40,), 3, 3) if image.magnification == 40]
    views = 2 if augmented else 1
    tokens = np.random.default_rng(0).normal(size=(views, len(images), 4, 8)).astype(np.float32)
    np.save(tmp_path / "tokens.npy", tokens)
    plain = tokens[:1] + 1000
    np.save(tmp_path / "plain.npy", plain)
    spec = RunSpec(
        model=tiny("smolvlm"),
        recipe=Recipe(trainable="lora", epochs=2, lora=Lora(), validation=0.3),
        augmentation=[{"HorizontalFlip": {"p": 0.5}}] if augmented else [],
        magnification=40,
        fold=1,
        seed=0,
    )
    evaluation = tmp_path / "plain.npy" if augmented else None
    files = inputs.Files(
        tmp_path / "manifest.csv", tmp_path / "patient.csv", "patient", None, tmp_path / "tokens.npy", evaluation
    )
    found = inputs.load(spec, files, 0)
    rows = {name: getattr(found, name).rows.tolist() for name in ("training", "evaluation", "validation")}
    patients = {name: {images[row].patient for row in some} for name, some in rows.items()}
    assert [len(some) for some in patients.values()] == [6, 4, 2]
    assert len(set.union(*patients.values())) == 12
    assert found.kept["groups"] == {"benign": 1, "malignant": 1}
    for side in (found.evaluation, found.validation):
        ((batch, labels),) = side.batches([(2, np.arange(len(side.rows)))])
        np.testing.assert_array_equal(batch.numpy(), (plain if augmented else tokens)[0][side.rows])
        assert labels.tolist() == [float(images[row].label == "malignant") for row in side.rows]
    ((batch, _),) = found.training.batches([(2, np.arange(3))])
    np.testing.assert_array_equal(batch.numpy(), tokens[-1][rows["training"][:3]])
