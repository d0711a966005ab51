"""Stain normalisation of images whose stains are known, and which images its target is made of."""

import json

import numpy as np
import pytest

from histobench.datasets import folds, manifest, normalised, stain
from histobench.io.errors import HistoBenchError
from tests.scripts import running

# Unit vectors of optical density, haematoxylin and eosin (Ruifrok and Johnston 2001), and a pair of another laboratory.
OURS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
OURS /= np.linalg.norm(OURS, axis=1, keepdims=True)
THEIRS = np.array([[0.55, 0.76, 0.35], [0.20, 0.90, 0.30]])
THEIRS /= np.linalg.norm(THEIRS, axis=1, keepdims=True)

TORCHSTAIN = np.array([[0.500374, 0.793317, 0.346806, 1.685362], [0.261646, 0.91098, 0.318836, 1.68824]])
NORMALISED = np.array([[136, 75, 151], [104, 53, 128]])


def concentrations(seed=0, side=64):
    """Return (pixels, 2): pixels of one stain alone, both from 1.2 to 2, so that the ends of the angle are the stains."""
    which = np.random.default_rng(seed).integers(0, 2, side * side)
    amount = np.random.default_rng(seed + 1).uniform(1.2, 2, side * side)
    return np.eye(2)[which] * amount[:, None]


def image(stains, amounts, side=64):
    """Return the picture of amounts of stains under a light of 240: Lambert and Beer's law."""
    levels = 240 * np.exp(-amounts @ stains) - 1
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8).reshape(side, side, 3)


def test_macenko_finds_known_stains_and_maps_them_to_known_ones():
    # Eosin absorbs less red than the threshold of tissue, so that stains are sought with pairs that absorb more of it.
    ours = np.array([[0.65, 0.70, 0.29], [0.25, 0.95, 0.18]])
    ours /= np.linalg.norm(ours, axis=1, keepdims=True)
    amounts = concentrations()
    own = stain.measure(image(ours, amounts), "macenko")
    np.testing.assert_allclose(own[:, :3], ours, atol=0.01)
    np.testing.assert_allclose(own[:, 3], np.percentile(amounts, 99, axis=0), rtol=0.01)
    wanted = np.column_stack([THEIRS, 0.8 * np.percentile(amounts, 99, axis=0)])
    made = stain.normalise(image(ours, amounts), own, wanted)
    assert np.abs(made.astype(int) - image(THEIRS, 0.8 * amounts)).max() <= 3


def test_macenko_agrees_with_torchstain():
    # torchstain 1.4.1, NumpyMacenkoNormalizer: fit(reference), then HERef, maxCRef and normalize(other)[0][:2, 0].
    random = np.random.default_rng(5)
    mixed = random.uniform(0.2, 1.5, (4096, 2))
    reference, other = image(THEIRS, mixed), image(OURS, random.uniform(0.5, 2, (4096, 2)))
    wanted = stain.measure(reference, "macenko")
    np.testing.assert_allclose(wanted, TORCHSTAIN, atol=2e-4)
    made = stain.normalise(other, stain.measure(other, "macenko"), wanted)
    assert (
        np.abs(made[:2, 0] - (NORMALISED - 1.0)).max() <= 1.0
    )  # it adds one level in the way there and cuts decimals off


def test_reinhard_moves_means_and_deviations_in_l_alpha_beta():
    random = np.random.default_rng(0)
    first, second = (image(one, random.uniform(0.4, 0.9, (4096, 2))) for one in (OURS, THEIRS))
    own, wanted = (stain.measure(one, "reinhard") for one in (first, second))
    np.testing.assert_allclose(stain.measure(stain.normalise(first, own, wanted), "reinhard"), wanted, atol=0.004)
    # Equations 4 and 6 of the paper for one grey pixel, worked out by hand: l = sqrt(3) log10(grey), and no colour but what the
    # rows of equation 4, which add up to 0.9996, 0.9993 and 0.9973, leave.
    grey = stain._to_lab(np.full((1, 1, 3), 51, np.uint8))[0]
    assert grey == pytest.approx([3**0.5 * np.log10(0.2), 0, 0], abs=2e-3)


@pytest.mark.parametrize("method", ["macenko", "reinhard"])
@pytest.mark.parametrize("level", [0, 255, (200, 100, 150)])
def test_images_without_tissue_or_colour_stay_as_they_are(method, level):
    blank = np.full((32, 32, 3), level, np.uint8)
    assert stain.measure(blank, method) is None
    wanted = stain.measure(image(THEIRS, concentrations()), method)
    assert stain.normalise(blank, None, wanted) is blank
    with pytest.raises(HistoBenchError, match="no training image has enough tissue"):
        stain.target([None, None])


@pytest.mark.parametrize("method", ["macenko", "reinhard"])
def test_an_image_with_its_own_colours_stays_as_it_is(method):
    picture = image(THEIRS, concentrations())
    own = stain.measure(picture, method)
    made = stain.normalise(picture, own, own)
    assert made.dtype == np.uint8
    assert np.abs(made.astype(int) - picture).max() <= 1 + 2 * (
        method == "macenko"
    )  # two stains do not span grey levels


@pytest.mark.parametrize("kept", [None, (0.3, 4)])
def test_only_training_images_count_and_those_of_kept_groups_do_not(tmp_path, kept):
    running.random_dataset(tmp_path, 8, (40, 100), 2, 2)
    images = manifest.load(tmp_path / "manifest.csv")
    split = folds.load(tmp_path / "patient.csv", images, "patient", [40])
    random = np.random.default_rng(0)
    store = np.stack([image(THEIRS, random.uniform(0.4, 0.4 + random.uniform(0.3, 1.5), (256, 2)), 16) for _ in images])
    trains, others = normalised.sides(images, split, 1, 40, kept)
    here = [row for row, one in enumerate(images) if one.magnification == 40]
    assert sorted([*trains, *others]) == here
    tested = {images[row].patient for row in split.rows(images, 1, 40)[1]}
    kept_groups = {images[row].patient for row in others} - tested
    assert bool(kept_groups) == bool(kept)
    assert not {images[row].patient for row in trains} & (tested | kept_groups)

    found = normalised.write(store, trains, others, "macenko", tmp_path / "one.npy")
    changed = store.copy()
    changed[others] = 255 - changed[others]
    changed[[row for row in range(len(images)) if row not in here]] = 7
    again = normalised.write(changed, trains, others, "macenko", tmp_path / "two.npy")
    assert again["target"] == found["target"]
    one, two = np.load(tmp_path / "one.npy"), np.load(tmp_path / "two.npy")
    np.testing.assert_array_equal(one[trains], two[trains])
    assert (one[others] != two[others]).any(axis=(1, 2, 3)).all()
    changed = store.copy()
    changed[trains[0]] = image(OURS, concentrations(side=16), 16)
    other = normalised.write(changed, trains, others, "macenko", tmp_path / "three.npy")
    assert other["target"] != found["target"]


def test_the_script_writes_a_store_and_its_target_and_counts_what_it_leaves(tmp_path, capsys):
    running.random_dataset(tmp_path, 8, (40, 100), 2, 2)
    store = np.load(tmp_path / "pixels.npy")
    images = manifest.load(tmp_path / "manifest.csv")
    blank = next(row for row, one in enumerate(images) if one.magnification == 40)
    store[blank] = 255
    np.save(tmp_path / "pixels.npy", store)
    files = {name: tmp_path / f"{file}" for name, file in (("manifest", "manifest.csv"), ("folds", "patient.csv"))}
    files |= {"pixels": tmp_path / "pixels.npy", "output": tmp_path / "out.npy", "reference": tmp_path / "out.json"}
    options = {"split_by": "patient", "stain": "reinhard", "fold": 1, "magnification": 40, "size": 64}
    assert running.run("normalise", tmp_path, "--kept", "0.3", "4", **files, **options).returncode == 0
    made = np.load(tmp_path / "out.npy")
    assert (made.shape, made.dtype) == (store.shape, np.uint8)
    np.testing.assert_array_equal(made[blank], store[blank])
    method, target = normalised.reference(tmp_path / "out.json")
    assert (method, target.shape) == ("reinhard", (3, 2))
    assert json.loads((tmp_path / "out.json").read_text())["unchanged"] == 1
    assert "1 with too little tissue stay as they are" in capsys.readouterr().out
    assert running.run("normalise", tmp_path, **files | {"pixels": tmp_path / "patient.csv"}, **options).returncode == 1
