"""The images that an arm calls wrongly with the highest confidence, of all folds together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from histobench.evaluation.calibration import probability
from histobench.evaluation.predictions import Predictions
from histobench.metrics import decide
from histobench.study.runs import Run

MOST = 10
"""Errors of an arm that are listed."""


@dataclass(frozen=True)
class ConfidentError:
    """An image of an evaluation fold that is called wrongly."""

    run: Run
    """The run of its fold; of several seeds that with the first."""
    image_id: str
    group: str
    label: int
    """0 benign, 1 malignant."""
    logit: float
    """Of malignant, the mean over seeds."""

    @property
    def probability(self) -> float:
        """Of malignant."""
        return float(probability(np.array(self.logit)))

    @property
    def key(self) -> str:
        """Name of the image in its arm: folds may share images."""
        return f"{self.run.model}/{self.run.mode}/{self.run.fold}/{self.image_id}"


def by_arm(predictions: Mapping[Run, Predictions]) -> dict[tuple[str, str], list[ConfidentError]]:
    """Return for each arm its :data:`MOST` most confident errors at the last epoch, the most confident first.

    The runs are those of one dataset, split, magnification and augmentation. Arms are in the order of the runs.
    """
    several: dict[tuple[str, str], dict[tuple[int, str], list[tuple[Run, str, int, float]]]] = {}
    for run, found in predictions.items():
        images = several.setdefault((run.model, run.mode), {})
        for image, *row in zip(found.image_id, found.group, found.label, found.logit["last"], strict=True):
            images.setdefault((run.fold, image), []).append((run, str(row[0]), int(row[1]), float(row[2])))
    return {arm: _most_confident(images) for arm, images in several.items()}


def _most_confident(images: Mapping[tuple[int, str], Iterable[tuple[Run, str, int, float]]]) -> list[ConfidentError]:
    found = []
    for (_, image), seeds in images.items():
        run, group, label, _ = min(seeds)
        logit = np.mean([one[-1] for one in seeds])
        if bool(decide(np.array(logit))) != bool(label):
            found.append(ConfidentError(run, image, group, label, float(logit)))
    return sorted(found, key=lambda error: (-abs(error.logit), error.image_id, error.run.fold))[:MOST]
