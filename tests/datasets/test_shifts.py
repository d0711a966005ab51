"""Altered images: known values of each shift."""

import io

import numpy as np
import PIL.Image
import pytest
from scipy.ndimage import gaussian_filter

from histobench.datasets import shifts
from histobench.study.stress_settings import SHIFTS, STRENGTHS

IMAGE = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
SMOOTH = np.rint(gaussian_filter(IMAGE.astype(float), (3, 3, 0)) * 1.2 - 20).astype(np.uint8)


@pytest.mark.parametrize("shift", SHIFTS)
def test_strength_0_is_the_image_and_further_ones_are_further_away(shift):
    assert shifts.altered(IMAGE, shift, 0, (700, 460)) is IMAGE
    kept = SMOOTH.copy()
    made = [shifts.altered(SMOOTH, shift, strength, (48, 24)) for strength in range(1, 6)]
    np.testing.assert_array_equal(SMOOTH, kept)
    assert all((one.shape, one.dtype) == (SMOOTH.shape, np.uint8) for one in made)
    away = [np.abs(one.astype(int) - SMOOTH).mean() for one in made]
    assert away[0] > 0
    assert away[4] > 1.5 * away[0]
    assert len(STRENGTHS[shift]) == 5
    np.testing.assert_array_equal(made[2], shifts.altered(SMOOTH, shift, 3, (48, 24)))


def test_brightness_is_a_factor():
    np.testing.assert_array_equal(shifts.altered(IMAGE, "brightness", 5, (24, 24)), np.rint(IMAGE * 0.5))


def test_stain_factors_multiply_the_density_of_their_stain_alone():
    np.testing.assert_array_equal(shifts.stained(IMAGE, (1, 1)), IMAGE)
    for number in (0, 1):  # pixels of one stain alone, 256 exp(-c v) - 1
        stain = shifts.STAINS[number] / np.linalg.norm(shifts.STAINS[number])
        amount = np.linspace(0.1, 1.2, 24)[:, None, None] * np.ones((24, 24, 1))
        pure = np.rint(256 * np.exp(-amount * stain) - 1).astype(np.uint8)
        factors = [1.0, 1.0]
        factors[number] = 1.4
        expected = 256 * np.exp(-1.4 * amount * stain) - 1
        assert np.abs(shifts.stained(pure, tuple(factors)) - expected).max() <= 2.5
        factors = [1.4, 1.4]
        factors[number] = 1.0
        assert np.abs(shifts.stained(pure, tuple(factors)).astype(int) - pure).max() <= 2
    red = shifts.altered(
        np.rint(256 * np.exp(-shifts.STAINS[:1] * np.ones((576, 1))) - 1).astype(np.uint8).reshape(24, 24, 3),
        "stain",
        5,
        (24, 24),
    )
    assert np.abs(red - (256 * np.exp(-1.5 * shifts.STAINS[0]) - 1)).max() <= 2  # 1.5 times as much haematoxylin


def test_jpeg_is_a_round_trip_through_a_file():
    for strength, quality in enumerate(STRENGTHS["jpeg"], start=1):
        file = io.BytesIO()
        PIL.Image.fromarray(SMOOTH).save(file, "jpeg", quality=int(quality))
        expected = np.asarray(PIL.Image.open(file)).astype(int)
        assert np.abs(shifts.altered(SMOOTH, "jpeg", strength, (24, 24)) - expected).max() <= 1


def test_blur_is_measured_in_pixels_of_the_original():
    # 24 pixels were 48 across and 24 down: a sigma of 2 pixels is 1 across and 2 down.
    expected = gaussian_filter(SMOOTH.astype(float), (2, 1, 0), mode="mirror")
    assert np.abs(shifts.altered(SMOOTH, "blur", 2, (48, 24)) - expected)[6:-6, 6:-6].max() <= 1.5


def test_zoom_enlarges_the_central_part():
    np.testing.assert_array_equal(shifts.zoomed(IMAGE, 1), IMAGE)
    ramp = np.repeat(np.linspace(0, 230, 24)[None, :, None], 24, axis=0).repeat(3, axis=2)  # 10 levels a pixel
    made = shifts.altered(np.rint(ramp).astype(np.uint8), "scale", 5, (24, 24))[12, :, 0].astype(float)
    np.testing.assert_allclose(made, np.linspace(57.5, 172.5, 24), atol=1)  # 5 levels a pixel around the same middle
