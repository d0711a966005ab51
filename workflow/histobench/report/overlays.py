"""A heat map laid over its image, and how much two sets of heat maps agree."""

from functools import cache

import numpy as np
from PIL import Image

STRENGTH = 0.7
"""Opacity of the map where it is highest."""


def towards_call(maps: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return the evidence for the class that is called, and 0 elsewhere: maps (N, h, w) of malignant, logits (N,)."""
    sign = np.where(logits >= 0, 1, -1)[:, None, None]
    return np.maximum(sign * maps, 0)


def overlay(pixels: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return an image in grey under its map, uint8 (S, S, 3); `heat` (h, w) is scaled by its own maximum, and is 0 or more."""
    grey = pixels @ np.array([0.299, 0.587, 0.114])
    share = heat / heat.max() if heat.max() > 0 else heat
    size = pixels.shape[1::-1]
    fine = np.asarray(Image.fromarray(share.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)).clip(0, 1)
    opacity = STRENGTH * fine[..., None]
    mixed = (1 - opacity) * grey[..., None] + opacity * 255 * _colours()[(255 * fine).astype(int)]
    return mixed.round().astype(np.uint8)


def rank_correlation(maps: np.ndarray, others: np.ndarray) -> float:
    """Return the mean Spearman correlation of maps (N, h, w) with others; NaN where no map or other varies."""
    from scipy.stats import rankdata

    pairs = zip(maps.reshape(len(maps), -1), others.reshape(len(others), -1), strict=True)
    found = [np.corrcoef(rankdata(one), rankdata(other))[0, 1] for one, other in pairs if np.ptp(one) and np.ptp(other)]
    return float(np.mean(found)) if found else float("nan")


@cache
def _colours() -> np.ndarray:
    """Return (256, 3) from 0 to 1, from dark to yellow."""
    import matplotlib

    return matplotlib.colormaps["inferno"](np.arange(256))[:, :3]
