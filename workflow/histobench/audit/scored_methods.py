"""Predictions of one method as the statistics of `evaluation` take them: runs of folds, with groups and logits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from histobench.audit.prediction_tables import Prediction
from histobench.evaluation import calibration
from histobench.evaluation.predictions import Predictions
from histobench.metrics import decide
from histobench.study.runs import Run

CALLED, SCORED = "called", "scored"
"""Modes of a method's arms: its predicted classes, and its scores. Where the classes follow from the scores, only the latter."""
SPLIT = "files"
_FARTHEST = 800.0
"""Logit of the probability 1; the logit of any other number from 0 to 1 is nearer to 0."""


@dataclass(frozen=True)
class Method:
    """What one method says of the images of one or several folds."""

    key: str
    """Name of the model of its runs."""
    name: str
    """In print."""
    folds: Mapping[str, Sequence[Prediction]]
    """Name of each fold -> its predictions; an image occurs once in a fold. Both classes occur in each."""
    kind: str
    """What the scores are: `probabilities`, `shares of votes`, `logits`, or nothing."""

    @cached_property
    def rows(self) -> list[Prediction]:
        """Return the predictions of all folds."""
        return [one for part in self.folds.values() for one in part]

    @cached_property
    def fold(self) -> np.ndarray:
        """(N,) number of each prediction's fold, from 1."""
        return np.repeat(np.arange(1, len(self.folds) + 1), [len(part) for part in self.folds.values()])

    @cached_property
    def image(self) -> np.ndarray:
        """(N,) ids of images."""
        return np.array([one.image.image for one in self.rows])

    @cached_property
    def label(self) -> np.ndarray:
        """(N,) int8, 1 malignant."""
        return np.array([one.label for one in self.rows], dtype=np.int8)

    @cached_property
    def called(self) -> np.ndarray:
        """(N,) bool: malignant is called."""
        return np.array([one.called for one in self.rows], dtype=bool)

    @cached_property
    def correct(self) -> np.ndarray:
        """(N,) bool."""
        return self.called == (self.label == 1)

    @cached_property
    def slide(self) -> np.ndarray:
        """(N,) the smallest group that is certain: slide, patient, or the image itself."""
        return np.array([one.image.group for one in self.rows])

    @cached_property
    def accession(self) -> np.ndarray:
        """(N,) the strictest known reading of a patient, or the image itself."""
        return np.array([one.image.accession or one.image.group for one in self.rows])

    @cached_property
    def magnification(self) -> np.ndarray:
        """(N,) magnification, 0 where there is none."""
        return np.array([one.image.magnification for one in self.rows])

    @cached_property
    def subtype(self) -> np.ndarray:
        """(N,) subtype, empty where there is none."""
        return np.array([one.image.subtype for one in self.rows])

    @property
    def partition(self) -> bool:
        """Return whether no image is in two folds."""
        return len(set(self.image.tolist())) == len(self.image)

    @cached_property
    def logits(self) -> dict[str, np.ndarray]:
        """Return the logits of each mode, (N,): the order of scores, and decisions at 0.

        Probabilities become their logits, so that calibration is theirs. Where predicted classes are not those of the scores
        at 0.5, the mode :data:`CALLED` has 1 and -1 for them.
        """
        called = np.where(self.called, 1.0, -1.0)
        if not self.kind:
            return {CALLED: called}
        score = np.array([one.score for one in self.rows], dtype=float)
        logit = score if self.kind == "logits" else _logit(score)
        # A tie that counts as benign is as little below 0 as a number can be: its rank and its probability stay the same.
        if not (self.called & (logit == 0)).any():
            logit = np.where(logit == 0, -np.nextafter(0, 1), logit)
        return {SCORED: logit} if np.array_equal(decide(logit), self.called) else {CALLED: called, SCORED: logit}

    def mode(self, metric: str) -> str:
        """Return the mode that a score is computed from, or nothing."""
        if metric in ("auc", "ece", "sensitivity_at_95_specificity"):
            return SCORED if SCORED in self.logits else ""
        return CALLED if CALLED in self.logits else SCORED

    def runs(self, group: np.ndarray | None = None, magnification: int = 0) -> dict[Run, Predictions]:
        """Return the runs of its folds at one magnification, 0 for all images, for each mode.

        Args:
            group: (N,) what is resampled; the slides where it is None.
            magnification: of the images.
        """
        groups = self.slide if group is None else group
        found = {}
        for mode, logit in self.logits.items():
            for number in range(1, len(self.folds) + 1):
                own = (self.fold == number) & ((magnification == 0) | (self.magnification == magnification))
                run = Run("audit", self.key, mode, SPLIT, magnification, "none", 0, number)
                found[run] = Predictions(
                    tuple(self.image[own].tolist()),
                    groups[own],
                    self.label[own],
                    {"last": logit[own]},
                    self.accession[own],
                )
        return found

    def has_both_classes(self, magnification: int) -> bool:
        """Return whether each fold has both classes at a magnification."""
        own = self.magnification == magnification
        return all(
            len(np.unique(self.label[own & (self.fold == number)])) == 2 for number in range(1, len(self.folds) + 1)
        )


def _logit(probability: np.ndarray) -> np.ndarray:
    """Return the logits of probabilities, which :func:`histobench.evaluation.calibration.bins` counts in the same bins.

    A share of votes is often at the edge of a bin, where rounding would put it on the other side.
    """
    with np.errstate(divide="ignore"):
        logit = np.clip(np.log(probability) - np.log1p(-probability), -_FARTHEST, _FARTHEST)
    for _ in range(100):  # a few steps of the last digit
        off = calibration.bins(calibration.probability(logit)) - calibration.bins(probability)
        if not off.any():
            break
        logit = np.where(off, np.nextafter(logit, np.where(off < 0, np.inf, -np.inf)), logit)
    return logit
