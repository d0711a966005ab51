"""Which training groups are kept for choosing epoch and threshold."""

import random

import numpy as np
import pytest

from histobench.datasets import folds, manifest, validation
from histobench.io.errors import HistoBenchError


def image(slide: str, scale: int, number: int, malignant: bool) -> manifest.Image:
    kind, label = ("M_DC", "malignant") if malignant else ("B_A", "benign")
    name, accession = f"SOB_{kind}-{slide}-{scale}-{number:03d}", slide.rstrip("ABCDEFGH")
    return manifest.Image(
        name, label, kind[2:], slide, slide, accession, scale, 700, 460, f"{hash(name):064x}"[-64:], name
    )


def dataset(slides: int, scales: tuple[int, ...] = (40, 200)) -> list[manifest.Image]:
    """Two slides of each accession number; the slides of every third one are benign."""
    names = [(f"14-{number:03d}{letter}", number % 3 > 0) for number in range(slides // 2) for letter in "AB"]
    some = [image(name, scale, n, kind) for name, kind in names for scale in scales for n in range(len(name) % 3 + 1)]
    return manifest.ordered(some)


def split(images: list[manifest.Image], policy: str, count: int = 5) -> folds.Folds:
    names = sorted({folds.group_of(one, policy) for one in images})
    return folds.Folds(
        policy, {name: tuple(n % count == fold for fold in range(count)) for n, name in enumerate(names)}
    )


def names(images: list[manifest.Image], rows: np.ndarray, of: str) -> set[str]:
    return {getattr(images[row], of) for row in rows}


@pytest.mark.parametrize(("policy", "unit"), [("patient", "patient"), ("accession", "accession"), ("image", "patient")])
def test_whole_groups_of_each_class_are_kept_the_same_at_every_magnification(policy: str, unit: str) -> None:
    images = dataset(120)
    some = split(images, policy)
    for fold in (1, 2):
        kept = []
        for scale in (40, 200):
            training, own = validation.divide(images, some, fold, scale, 0.15, seed=0)
            assert sorted([*training, *own]) == some.rows(images, fold, scale)[0].tolist()
            assert not names(images, training, unit) & names(images, own, unit)
            kept.append(names(images, own, unit))
            for label in manifest.LABELS:
                of = [{n for n in names(images, rows, unit) if label in {i.label for i in images if getattr(i, unit) == n}}
                      for rows in (training, own)]  # fmt: skip
                assert len(of[1]) == round(0.15 * (len(of[0]) + len(of[1])))
        assert kept[0] == kept[1]


def test_what_is_kept_depends_on_seed_fold_and_names_and_on_nothing_else() -> None:
    images = dataset(120)
    some = split(images, "patient")
    kept = {
        (s, f): names(images, validation.divide(images, some, f, 40, 0.2, s)[1], "patient")
        for s in (0, 1)
        for f in (1, 2)
    }
    assert len(set(map(frozenset, kept.values()))) == 4
    shuffled = random.Random(0).sample(images, len(images))
    assert names(shuffled, validation.divide(shuffled, some, 1, 40, 0.2, 0)[1], "patient") == kept[0, 1]
    alone = [one for one in images if one.magnification == 40]
    assert names(alone, validation.divide(alone, some, 1, 40, 0.2, 0)[1], "patient") == kept[0, 1]


def test_counts_are_of_groups_and_images_of_each_class() -> None:
    images = [image("14-1A", 40, 1, False), image("14-1A", 40, 2, False), image("14-1B", 40, 1, True)]
    assert validation.counts(images, "patient") == {
        "groups": {"benign": 1, "malignant": 1},
        "images": {"benign": 2, "malignant": 1},
    }


def test_a_class_with_a_single_training_group_is_named_in_one_sentence() -> None:
    images = [one for one in dataset(12) if one.label == "malignant" or one.patient in ("14-000A", "14-003A")]
    some = folds.Folds("patient", {n: (n == "14-000A",) for n in sorted({one.patient for one in images})})
    with pytest.raises(HistoBenchError) as error:
        validation.divide(images, some, 1, 40, 0.15, 0)
    assert str(error.value) == (
        "validation: class benign has 1 patient(s) to train on in fold 1 at 40x; a share of 0.15 keeps 0 of them for choosing, "
        "but at least one must be kept and one must train; give more images, change `validation` or the seed, or leave "
        "`validation` out of the mode"
    )
