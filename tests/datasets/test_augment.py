"""Augmented views: pure functions of (seed, epoch, image id), with the configured rates and effects."""

import hashlib
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from histobench.datasets.augment import Augmentation, check
from histobench.io.errors import HistoBenchError

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}

# The augmentations of section 3.6 of the paper, independent of the configuration.
FLIP = {"HorizontalFlip": {"p": 0.5}}
ROTATE = {"Rotate": {"limit": 15, "border_mode": cv2.BORDER_REFLECT_101, "p": 0.5}}
COLOUR = {"RandomBrightnessContrast": {"brightness_limit": 0.2, "contrast_limit": 0.1, "p": 0.5}}
CROP = {"RandomResizedCrop": {"scale": [0.9, 1.0], "ratio": [0.05, 1.1], "p": 0.8}}
BLUR = {"Blur": {"blur_limit": [3, 3], "p": 0.5}}
PAPER = [FLIP, ROTATE, COLOUR, CROP, BLUR]


def picture(size: int) -> np.ndarray:
    """Return a made-up image with structure in every channel."""
    y, x = np.mgrid[:size, :size]
    waves = np.stack([np.sin(x / 3 + y / 7), np.sin(x * y / size / 4), np.cos(x / 5 - y / 4)], axis=-1)
    return (127.5 + 100 * waves).astype(np.uint8)


def always(transform: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the transform with probability 1."""
    return {name: arguments | {"p": 1.0} for name, arguments in transform.items()}


def views(transforms: list[dict[str, dict[str, Any]]], count: int, size: int = 32) -> np.ndarray:
    """Return the views of one image in the first `count` epochs."""
    augmentation, image = Augmentation(transforms, size), picture(size)
    return np.stack([augmentation(image, 0, epoch, "image") for epoch in range(count)])


def changed(transforms: list[dict[str, dict[str, Any]]], count: int, size: int = 32) -> np.ndarray:
    """Return for each of `count` epochs whether the view differs from the image."""
    return (views(transforms, count, size) != picture(size)).any(axis=(1, 2, 3))


def test_configured_lists_are_the_papers() -> None:
    configured = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())["augmentations"]
    assert configured["none"] == []
    for name, expected in (("paper", PAPER), ("colour", [COLOUR, BLUR]), ("geometric", [FLIP, ROTATE, CROP])):
        assert [next(iter(item)) for item in configured[name]] == [next(iter(item)) for item in expected]
        assert np.array_equal(views(configured[name], 50), views(expected, 50))


# -- a view is a pure function ---------------------------------------------------------------------

KEYS = [
    (seed, epoch, name) for seed in (0, 1) for epoch in (0, 1, 7) for name in ("a", "b", "SOB_B_A-14-22549AB-40-001")
]


def digests(augmentation: Augmentation, keys: list[tuple[int, int, str]]) -> dict[tuple[int, int, str], str]:
    """Return a digest of each view of one image."""
    image = picture(32)
    return {key: hashlib.sha256(augmentation(image, *key).tobytes()).hexdigest() for key in keys}


def test_order_and_object_do_not_change_a_view() -> None:
    first = digests(Augmentation(PAPER, 32), KEYS)
    augmentation = Augmentation(PAPER, 32)
    np.random.seed(5)  # noqa: NPY002 - nor do the global generators matter
    assert digests(augmentation, KEYS[::-1]) == first
    assert digests(augmentation, KEYS[5:6]) == {KEYS[5]: first[KEYS[5]]}
    assert digests(pickle.loads(pickle.dumps(augmentation)), KEYS) == first
    assert digests(augmentation, [(np.int64(1), np.int64(7), "b")])[1, 7, "b"] == first[1, 7, "b"]


def test_other_views_for_other_seeds_epochs_and_images() -> None:
    """Geometry and colour are always drawn here, so that no two views agree by not being changed."""
    found = digests(Augmentation([always(ROTATE), always(COLOUR)], 32), KEYS)
    assert len(set(found.values())) == len(KEYS)


def test_removing_a_transform_leaves_the_draws_of_the_others() -> None:
    flipped = changed([FLIP], 60)
    turned, both = views([ROTATE], 60), views([FLIP, FLIP, ROTATE], 60)
    second = changed([FLIP, FLIP], 60) ^ flipped  # the second of two flips has draws of its own
    assert 10 < second.sum() < 50
    straight = ~(flipped ^ second)
    assert np.array_equal(both[straight], turned[straight])


def test_the_image_is_not_changed() -> None:
    image = picture(32)
    image.flags.writeable = False
    augmentation = Augmentation(PAPER, 32)
    for epoch in range(30):
        view = augmentation(image, 0, epoch, "image")
        assert not np.shares_memory(view, image)
    assert np.array_equal(image, picture(32))


# -- rates and effects -----------------------------------------------------------------------------


def test_transforms_act_independently() -> None:
    """With the library's own seeding either all would act or none."""
    pair = views([FLIP, BLUR], 2000)
    image = picture(32)
    blurred = cv2.blur(image, (3, 3))
    outcomes = {
        "neither": image,
        "flip": image[:, ::-1],
        "blur": blurred,
        "both": cv2.blur(image[:, ::-1].copy(), (3, 3)),
    }
    found = {name: (pair == outcome).all(axis=(1, 2, 3)) for name, outcome in outcomes.items()}
    assert sum(hits.sum() for hits in found.values()) == 2000
    for hits in found.values():
        assert abs(hits.mean() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 2000)  # four standard errors


def test_views_have_not_changed() -> None:
    """Two pinned views; more than what processors round differently is a silent change of a library.

    A value between two whole ones may become the other of them where colours change, and again where images are resampled: 2.

    Epoch 17 flips, changes the colours, crops and blurs; epoch 22 rotates instead of flipping.
    """
    from histobench.datasets.decode import decode

    file = Path(__file__).with_name("views.png")
    pinned = decode(file.read_bytes(), file.name).astype(int)
    augmentation, image = Augmentation(PAPER, 32), picture(32)
    found = np.concatenate([augmentation(image, 0, epoch, "image") for epoch in (17, 22)], axis=1)
    assert np.abs(pinned - found).max() <= 2


# -- empty lists, mistakes -------------------------------------------------------------------------


def test_an_empty_list_imports_nothing_and_changes_nothing() -> None:
    code = (
        "import sys, numpy as np; from histobench.datasets.augment import Augmentation\n"
        "image = np.zeros((8, 8, 3), np.uint8); print(Augmentation([], 8)(image, 0, 0, 'x') is image)\n"
        "print([name for name in ('albumentations', 'torch', 'cv2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["True", "[]"]


@pytest.mark.parametrize(
    ("transform", "found"),
    [
        ({"Rotat": {}}, "has no transform 'Rotat'"),
        ({"Compose": {}}, "has no transform 'Compose'"),
        ({"Rotate": {"limits": 3}}, "Argument.s. 'limits' are not valid for transform Rotate"),
        ({"Rotate": {"limit": "far"}}, "does not take .'limit': 'far'. .limit"),
        ({"Rotate": {"p": 1.5}}, "p Input should be less than or equal to 1"),
        ({"Rotate": {"border_mode": "BORDER_MIRROR"}}, "no attribute 'BORDER_MIRROR'"),
        ({"RandomResizedCrop": {"scale": [0.9, 1.1]}}, "scale Value error, All values in .0.9, 1.1. must be >= 0 and <= 1"),
        ({"Blur": {"blur_limit": 1}}, "blur_limit: Invalid kernel size range .3, 1.. Values less than 3"),
        ({"RandomSizedBBoxSafeCrop": {}}, "does not take"),
    ],
)  # fmt: skip
def test_a_wrong_transform_is_refused_when_it_is_built(transform: dict[str, dict[str, Any]], found: str) -> None:
    with pytest.raises(HistoBenchError, match=found) as raised:
        Augmentation([FLIP, transform], 32)
    assert "\n" not in str(raised.value)
    assert "InitSchema" not in str(raised.value)
    assert check([FLIP, transform, BLUR], 32) == [str(raised.value)]


@pytest.mark.parametrize(
    ("transforms", "found"),
    [
        ([{"Normalize": {"p": 1}}, BLUR], "after transform Normalize the view of {} is float32 of shape (32, 32, 3), expected"),
        ([FLIP, {"PadIfNeeded": {"min_height": 40, "min_width": 40, "p": 1}}], "is uint8 of shape (40, 40, 3), expected"),
        ([{"ToTensorV2": {"p": 1}}], "after transform ToTensorV2 the view of {} is torch.uint8"),
        ([{"MaskDropout": {"p": 1}}], "transform MaskDropout failed on {} (ValueError: MaskDropout requires"),
    ],
)  # fmt: skip
def test_a_view_of_another_shape_or_type_is_refused(transforms: list[dict[str, dict[str, Any]]], found: str) -> None:
    with pytest.raises(HistoBenchError) as raised:
        Augmentation(transforms, 32)(picture(32), 0, 0, "x")
    assert found.format("x") in str(raised.value)
    # The check applies even what would rarely act.
    rare = [{name: arguments | {"p": 0.001}} for item in transforms for name, arguments in item.items()]
    (message,) = check(rare, 32)
    assert found.format("a test image") in message


def test_check_reports_every_wrong_transform_and_accepts_what_works() -> None:
    assert check(PAPER, 32) == check([], 32) == []
    assert (
        check([{"PadIfNeeded": {"min_height": 40, "min_width": 40}}, {"CenterCrop": {"height": 32, "width": 32}}], 32)
        == []
    )
    messages = check([{"Rotat": {}}, FLIP, {"Blur": {"blur": 3}}], 32)
    assert [("Rotat" in message, "blur" in message) for message in messages] == [(True, False), (False, True)]


def test_size_is_filled_in_and_constants_have_names() -> None:
    given = [{"RandomResizedCrop": {"size": [32, 32], "interpolation": cv2.INTER_CUBIC}}]
    short = [{"RandomResizedCrop": {"interpolation": "INTER_CUBIC"}}]
    assert np.array_equal(views(given, 20), views(short, 20))
    assert not np.array_equal(views([{"RandomResizedCrop": {}}], 20), views(short, 20))
