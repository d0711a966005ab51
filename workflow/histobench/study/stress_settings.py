"""The stress test: which runs are evaluated on altered images, how these are altered, and the columns of what runs predict for them."""

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

from histobench.study.grid_settings import Block
from histobench.study.values import distinct

Shift = Literal["stain", "blur", "jpeg", "brightness", "scale"]
SHIFTS: tuple[str, ...] = get_args(Shift)
STRENGTHS: dict[str, tuple[float, ...]] = {
    "stain": (0.1, 0.2, 0.3, 0.4, 0.5),
    "blur": (1, 2, 3, 4, 6),
    "jpeg": (80, 60, 40, 20, 10),
    "brightness": (0.9, 0.8, 0.7, 0.6, 0.5),
    "scale": (1.1, 1.25, 1.5, 1.75, 2),
}
"""The value of each shift at the strengths 1 to 5:

- `stain`: the optical density of haematoxylin is multiplied by 1 + value and that of eosin by 1 - value. Tellez et al., "Quantifying
  the effects of data augmentation and stain color normalization in convolutional neural networks for computational pathology", Medical
  Image Analysis 58, 2019, 101544, draw such factors; their stronger variant goes as far as 0.2.
- `blur`: standard deviation of a Gaussian in pixels of the original image, those of Gaussian blur in Hendrycks and Dietterich,
  "Benchmarking neural network robustness to common corruptions and perturbations", ICLR 2019.
- `jpeg`: quality of one compression.
- `brightness`: factor of all intensities.
- `scale`: zoom factor. The central part is enlarged; at 2 it is as wide as half of the image.
"""
NONE = "none"
"""The shift of images that are not altered, at strength 0."""
CONDITIONS = ((NONE, 0), *((shift, strength) for shift in SHIFTS for strength in range(1, 6)))
COLUMNS = ("image_id", "group", "label", "shift", "strength", "logit")
"""A row for each evaluation image of a run and each of the conditions; `group` is what statistics resample."""


class Stress(Block):
    """Arms of the study that are evaluated on altered images of their own evaluation folds. Their modes must keep weights.

    A block without any run in the grid is ignored, so that a study laid over another one need not remove it.
    """

    shifts: Annotated[list[Shift], Field(min_length=1), AfterValidator(distinct)] = list(get_args(Shift))
    """How images are altered, each at five strengths."""
