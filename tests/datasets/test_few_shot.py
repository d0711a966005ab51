"""A few patients of each class train: how many, which, and that a lower number's are among a higher number's."""

import numpy as np
import pytest

from histobench.datasets import few_shot, joined_scales
from histobench.datasets.folds import Folds
from histobench.io.errors import HistoBenchError
from tests.scripts.running import random_dataset


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Twelve patients with three images each, at two magnifications."""
    return random_dataset(tmp_path_factory.mktemp("few"), 12, (40, 200), 3, 3)


@pytest.fixture(scope="module")
def folds(images):
    names = sorted({image.patient for image in images})
    return Folds(
        "patient", {name: tuple(fold == index // 2 % 3 for fold in range(3)) for index, name in enumerate(names)}
    )


def test_patients_of_each_class_are_nested_and_drawn_by_seed_and_fold(images, folds):
    drawn = {}
    for seed in (0, 1, 2):
        for fold in (1, 2, 3):
            before: set[int] = set()
            for count in (1, 2, 4):
                rows = few_shot.draw(images, folds, fold, 200, count, seed)
                assert (np.diff(rows) > 0).all()
                assert before < set(rows.tolist())
                before = set(rows.tolist())
                patients = {
                    label: {images[row].patient for row in rows if images[row].label == label}
                    for label in ("benign", "malignant")
                }
                assert [len(own) for own in patients.values()] == [count, count]
                assert len(rows) == 2 * count * 3
                assert {images[row].magnification for row in rows} == {200}
                assert not any(folds.tested[name][fold - 1] for own in patients.values() for name in own)
                drawn[seed, fold, count] = patients
            assert before == set(folds.rows(images, fold, 200)[0].tolist())  # all four of a class
    assert len({str(drawn[seed, 1, 1]) for seed in (0, 1, 2)}) > 1
    at_40 = few_shot.draw(images, folds, 1, 40, 2, 0)
    assert {images[row].patient for row in at_40} == set.union(*drawn[0, 1, 2].values())


def test_too_few_patients_are_one_sentence(images, folds):
    with pytest.raises(HistoBenchError) as error:
        few_shot.draw(images, folds, 2, 40, 5, 0)
    assert str(error.value) == (
        "patients_per_class: 5 of each class shall train, but fold 2 has 4 benign and 4 malignant patients to train on at 40x; "
        "write a smaller number in the mode, or take the mode out of the grid"
    )


def test_scales_are_joined_by_the_means_of_a_patient(images, folds):
    generator = np.random.default_rng(0)
    found = {scale: generator.normal(size=(36, 5)).astype(np.float32) for scale in (40, 200)}
    joined = joined_scales.join(images, folds, 1, 200, found)
    at = {scale: [image for image in images if image.magnification == scale] for scale in (40, 200)}
    for row, image in enumerate(at[200]):
        own = [place for place, other in enumerate(at[40]) if other.patient == image.patient]
        np.testing.assert_array_equal(joined[row, :5], found[200][row])
        np.testing.assert_allclose(joined[row, 5:], found[40][own].mean(axis=0), atol=1e-6)


def test_a_patient_without_images_at_a_scale_is_named(images, folds):
    fewer = [image for image in images if (image.magnification, image.patient) != (40, "14-1003")]
    found = {40: np.zeros((33, 2), np.float32), 200: np.zeros((36, 2), np.float32)}
    with pytest.raises(HistoBenchError, match="scales: 14-1003 has images at 200x but none at 40x"):
        joined_scales.join(fewer, folds, 1, 200, found)
