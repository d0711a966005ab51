"""Stain normalisation: the colours of an image are moved to those of the training images of a fold.

`macenko`: Macenko et al., "A method for normalizing histology slides for quantitative analysis", ISBI 2009, 1107-1110, with the usual
constants (240 for transmitted light, natural logarithm, beta 0.15, percentiles 1 and 99), as torchstain 1.4.1 has them. `reinhard`:
Reinhard et al., "Color transfer between images", IEEE Computer Graphics and Applications 21(5), 2001, 34-41, in the colour space of
that paper, l alpha beta.

Both are functions of an image's own measures and of a target, which is the median of the measures of training images, so that each
training image counts equally. An image with too little tissue has no measures and stays as it is.
"""

from collections.abc import Iterable

import numpy as np

from histobench.io.errors import HistoBenchError

LIGHT, BETA, PERCENTILE = 240, 0.15, 1
FEWEST = 0.01
"""Share of an image's pixels that must be tissue: optical density of at least `BETA` in each channel."""
LEAST_ANGLE = 0.05
"""Sine of the smallest angle between two stains: below it, an image has one colour alone."""
DENSITY = -np.log((np.arange(256, dtype=np.float32) + 1) / LIGHT)
"""Optical density (natural logarithm) of each grey level."""
LMS = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
LAB = np.diag([3**-0.5, 6**-0.5, 2**-0.5]) @ np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]])
"""Equations 4 and 6 of Reinhard et al.: RGB to LMS, and log LMS to l alpha beta."""


def measure(image: np.ndarray, method: str) -> np.ndarray | None:
    """Return what `method` knows of an image, uint8 (height, width, 3); None where it has too little tissue.

    Returns:
        For `macenko` (2, 4): of haematoxylin and eosin the unit vector of optical density in red, green and blue, and the 99th
        percentile of the concentration. For `reinhard` (3, 2): mean and standard deviation of l, alpha and beta.
    """
    density = DENSITY[image.reshape(-1, 3)]
    tissue = density[(density >= BETA).all(axis=1)]
    if len(tissue) < max(FEWEST * len(density), 3):
        return None
    if method == "reinhard":
        lab = _to_lab(image)
        found = np.stack([lab.mean(axis=0), lab.std(axis=0)], axis=1)
        return found if found[:, 1].min() > 1e-4 else None
    plane = np.linalg.eigh(np.cov(tissue.T))[1][:, 1:]  # of the two largest eigenvalues
    angle = np.arctan2(*(tissue @ plane).T[::-1])
    ends = np.percentile(angle, [PERCENTILE, 100 - PERCENTILE])
    stains = np.stack([np.cos(ends), np.sin(ends)], axis=1) @ plane.T
    stains = stains[np.argsort(-stains[:, 0])]  # haematoxylin absorbs more red
    if np.linalg.norm(np.cross(*stains)) < LEAST_ANGLE:
        return None
    most = np.percentile(density @ np.linalg.pinv(stains), 100 - PERCENTILE, axis=0)
    return np.column_stack([stains, most]) if most.min() > 1e-3 else None


def target(measures: Iterable[np.ndarray | None]) -> np.ndarray:
    """Return the median of the measures of training images, without those that have none.

    Raises:
        HistoBenchError: none has measures.
    """
    known = [one for one in measures if one is not None]
    if not known:
        raise HistoBenchError(
            "stain: no training image has enough tissue to be measured; leave `stain` out of the mode for this dataset"
        )
    found = np.median(known, axis=0)
    if found.shape[1] == 4:
        found[:, :3] /= np.linalg.norm(found[:, :3], axis=1, keepdims=True)
    return found


def normalise(image: np.ndarray, own: np.ndarray | None, wanted: np.ndarray) -> np.ndarray:
    """Return an image, uint8 (height, width, 3), with its measures `own` moved to those `wanted`; itself where it has none."""
    if own is None:
        return image
    if own.shape[1] == 4:
        to = np.linalg.pinv(own[:, :3]) @ np.diag(wanted[:, 3] / own[:, 3]) @ wanted[:, :3]
        pixels = LIGHT * np.exp(-DENSITY[image.reshape(-1, 3)] @ to.astype(np.float32)) - 1
    else:
        lab = (_to_lab(image) - own[:, 0]) * (wanted[:, 1] / own[:, 1]) + wanted[:, 0]
        pixels = 255 * np.power(10, lab @ np.linalg.inv(LAB).T) @ np.linalg.inv(LMS).T
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8).reshape(image.shape)


def _to_lab(image: np.ndarray) -> np.ndarray:
    """Return (pixels, 3): l, alpha and beta; black counts as the darkest grey level but one, because it has no logarithm."""
    return np.log10(np.maximum(image.reshape(-1, 3), 1) / 255 @ LMS.T) @ LAB.T
