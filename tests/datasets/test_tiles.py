"""Tiles at the scale of training: sizes and places worked out by hand, and what a pixel covers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from histobench.datasets import synthetic, tiles
from histobench.datasets.manifest import Image
from histobench.datasets.pixels import squash
from histobench.io.errors import HistoBenchError
from histobench.study.dataset_settings import Dataset

BREAKHIS = {"40": 0.49, "100": 0.20, "200": 0.10, "400": 0.05}
BACH = {"0": 0.42}
PHOTOGRAPH = Image("b001", "benign", "benign", "b001", "b001", "b001", 0, 2048, 1536, "", "")
TRAINED_ON = [
    replace(PHOTOGRAPH, magnification=m, width=700, height=h) for m in (40, 100, 200, 400) for h in (456, 460, 460)
]


@pytest.mark.parametrize(
    ("magnification", "tile", "columns", "rows", "covered"),
    [
        # 700 x 0.49 / 0.42 = 816.7 and 460 x 0.49 / 0.42 = 536.7; of 2048 - 817 = 1231 and 1536 - 537 = 999 half and all.
        (40, (817, 537), [0, 616, 1231], [0, 500, 999], 1),
        # 333.3 and 219.0: seven columns and eight rows would cover the photograph, three and three are taken.
        (100, (333, 219), [0, 858, 1715], [0, 658, 1317], 9 * 333 * 219 / (2048 * 1536)),
        (400, (83, 55), [0, 982, 1965], [0, 740, 1481], 9 * 83 * 55 / (2048 * 1536)),
    ],
)
def test_by_hand(magnification, tile, columns, rows, covered) -> None:
    assert tiles.sizes([PHOTOGRAPH], TRAINED_ON, magnification, (BACH, BREAKHIS)) == [tile]
    assert (tiles.starts(2048, tile[0]), tiles.starts(1536, tile[1])) == (columns, rows)
    assert (tiles.count(PHOTOGRAPH, tile), tiles.mirrored(PHOTOGRAPH, tile)) == (9, 0)
    assert tiles.covered(PHOTOGRAPH, tile) == pytest.approx(covered)


@pytest.mark.parametrize("magnification", [40, 100, 200, 400])
@pytest.mark.parametrize("size", [224, 336])
def test_a_pixel_covers_what_it_did_in_training(magnification, size) -> None:
    (tile,) = tiles.sizes([PHOTOGRAPH], TRAINED_ON, magnification, (BACH, BREAKHIS))
    for length, field in zip(tile, (700, 460), strict=True):
        training = field * BREAKHIS[str(magnification)] / size
        # A tile is a whole number of pixels: at most half a pixel of 0.42 um from the right length, spread over the side.
        assert length * 0.42 / size == pytest.approx(training, abs=0.5 * 0.42 / size)
        assert 2048 * 0.42 / size > 2.5 * training  # squashed whole, it covers more


def test_stripes_have_the_period_that_they_have_in_training() -> None:
    """Stripes 98 um apart, drawn at 4.9 um a pixel for training and at 4.2 um a pixel elsewhere."""

    def stripes(width: int, height: int, um: float) -> np.ndarray:
        wave = 127 + 120 * np.sin(2 * np.pi * (np.arange(width) + 0.5) * um / 98)
        return np.repeat(np.tile(wave, (height, 1))[..., None], 3, axis=2).astype(np.uint8)

    def cycles(pixels: np.ndarray) -> int:
        """Return how many stripes there are across."""
        line = pixels.mean(axis=(0, 2))
        return int(np.argmax(np.abs(np.fft.rfft(line - line.mean()))))

    trained_on = [replace(PHOTOGRAPH, magnification=40, width=200, height=100)]
    image = replace(PHOTOGRAPH, width=700, height=250)
    (tile,) = tiles.sizes([image], trained_on, 40, ({"0": 4.2}, {"40": 4.9}))
    pixels = stripes(700, 250, 4.2)
    expected = cycles(squash(stripes(200, 100, 4.9), 96))
    assert expected == 10  # 200 x 4.9 / 98
    assert [cycles(squash(part, 96)) for part in tiles.cut(pixels, tile)] == [10] * 9
    assert cycles(squash(pixels, 96)) == 30  # 700 x 4.2 / 98


def test_tiles_are_cut_row_by_row_and_small_images_are_continued_by_reflection() -> None:
    y, x = np.mgrid[:5, :7]
    pixels = np.stack([y, x, 0 * x], axis=-1).astype(np.uint8)
    parts = tiles.cut(pixels, (4, 3))
    assert [(int(part[0, 0, 0]), int(part[0, 0, 1]), part.shape) for part in parts] == [
        (y, x, (3, 4, 3)) for y in (0, 2) for x in (0, 3)
    ]
    assert np.array_equal(
        np.unique([part[..., :2].reshape(-1, 2) for part in parts], axis=1)[0], parts[0][..., :2].reshape(-1, 2)
    )
    (large,) = tiles.cut(pixels, (10, 5))
    assert large[0, :, 1].tolist() == [1, 0, 1, 2, 3, 4, 5, 6, 5, 4]
    assert large[:, 3, 0].tolist() == [0, 1, 2, 3, 4]
    image = replace(PHOTOGRAPH, width=7, height=5)
    assert (tiles.count(image, (10, 5)), tiles.covered(image, (10, 5))) == (1, 1)
    assert tiles.mirrored(image, (10, 5)) == pytest.approx(0.3)


def test_images_of_several_magnifications_have_tiles_of_several_sizes() -> None:
    images = [replace(PHOTOGRAPH, magnification=magnification) for magnification in (40, 200)]
    found = tiles.sizes(images, TRAINED_ON, 40, ({"40": 0.49, "200": 0.098}, BREAKHIS))
    assert found == [(700, 460), (3500, 2300)]
    with pytest.raises(
        HistoBenchError, match=r"image b001 has magnification 200, for which `microns_per_pixel` .* add it"
    ):
        tiles.sizes(images, TRAINED_ON, 40, ({"40": 0.49}, BREAKHIS))
    with pytest.raises(HistoBenchError, match="no image at 40x"):
        tiles.sizes(images, [], 40, (BREAKHIS, BREAKHIS))


def test_the_demo_states_the_scale_at_which_its_images_are_drawn() -> None:
    demo = yaml.safe_load((Path(__file__).parents[2] / "config/demo.yaml").read_text())["datasets"]
    of = {name: Dataset.model_validate(settings) for name, settings in demo.items()}
    for name, field in (("synthetic", synthetic.BREAKHIS_FIELD / 40), ("synthetic-bach", synthetic.BACH_FIELD)):
        settings, microns = of[name].synthetic, of[name].microns_per_pixel
        assert settings
        assert isinstance(microns, dict)
        assert microns[40] * settings.width == pytest.approx(field)
    assert of["synthetic"].microns_per_pixel == {40: 7.0, 200: 7.0 / 5}
    assert of["synthetic-bach"].microns_per_pixel == dict.fromkeys((0, 40, 100, 200, 400), 860 / 128)
