"""Alterations of images at five strengths each (:data:`histobench.study.stress_settings.STRENGTHS`), as pure functions.

They are applied to images of the pixel store, after the resize to the model's square.
"""

import cv2
import numpy as np

from histobench.study.stress_settings import STRENGTHS

STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
"""Optical densities of haematoxylin, eosin and a third stain (DAB) in red, green and blue (Ruifrok and Johnston, "Quantification of
histochemical staining by color deconvolution", Analytical and Quantitative Cytology and Histology 23, 2001, 291-299). The third takes
what the other two leave, so that the way back is exact."""
DENSITY = -np.log((np.arange(256, dtype=np.float32) + 1) / 256)


def altered(image: np.ndarray, shift: str, strength: int, original: tuple[int, int]) -> np.ndarray:
    """Return an image, uint8 (S, S, 3), as altered by a shift; the image itself at strength 0.

    `original` is the width and height in pixels of the image before it was resized, of which the blur is a measure.
    """
    if not strength:
        return image
    value, side = STRENGTHS[shift][strength - 1], len(image)
    match shift:
        case "stain":
            return stained(image, (1 + value, 1 - value))
        case "blur":
            return cv2.GaussianBlur(image, (0, 0), *(value * side / length for length in original))
        case "jpeg":
            return compressed(image, int(value))
        case "brightness":
            return np.rint(image * np.float32(value)).astype(np.uint8)
        case "scale":
            return zoomed(image, value)
    raise ValueError(shift)


def stained(image: np.ndarray, factors: tuple[float, float]) -> np.ndarray:
    """Return an image whose optical densities of haematoxylin and eosin are multiplied by two factors."""
    unit = STAINS / np.linalg.norm(STAINS, axis=1, keepdims=True)
    change = np.linalg.inv(unit) @ np.diag([*factors, 1.0]) @ unit
    density = DENSITY[image] @ change.astype(np.float32)
    return np.clip(np.rint(256 * np.exp(-density) - 1), 0, 255).astype(np.uint8)


def compressed(image: np.ndarray, quality: int) -> np.ndarray:
    """Return an image after compression as JPEG of a quality from 1 to 100 (OpenCV's default subsampling of colour, 4:2:0)."""
    written = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(cv2.imdecode(written, cv2.IMREAD_COLOR)[..., ::-1])


def zoomed(image: np.ndarray, factor: float) -> np.ndarray:
    """Return the central part of an image, 1 / factor as wide, enlarged to the size of the image by bilinear interpolation."""
    side = len(image)
    start = (side - 1) / 2 * (1 - 1 / factor)
    inverse = np.array([[1 / factor, 0, start], [0, 1 / factor, start]])
    return cv2.warpAffine(image, inverse, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
