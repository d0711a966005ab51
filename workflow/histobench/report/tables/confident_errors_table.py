"""The table of the most confident errors of every arm, and which arms the figure of them shows."""

from collections.abc import Mapping, Sequence

from histobench.evaluation.confident_errors import MOST, ConfidentError
from histobench.report.render import Table
from histobench.report.terms import Texts, magnified
from histobench.study.resolved import Arm, Study

COLUMNS = ("model", "mode", "rank", "image_id", "group", "fold", "label", "probability")
HEADER = ("Model", "Mode", "Rank", "Image", "Group", "Fold", "Label", "Probability of malignant")
IN_FIGURE = 4
"""Most arms of the figure."""


def errors_table(found: Mapping[tuple[str, str], Sequence[ConfidentError]], study: Study) -> Table:
    """Return a row for each of the most confident errors of every arm, in the order of the study's arms."""
    rows = [
        {
            "model": arm.label,
            "mode": arm.mode,
            "rank": str(rank),
            "image_id": error.image_id,
            "group": error.group,
            "fold": str(error.run.fold),
            "label": ("benign", "malignant")[error.label],
            "probability": f"{error.probability:.4f}",
        }
        for arm in study.arms
        for rank, error in enumerate(found.get(arm.key, ()), 1)
    ]
    return Table.of(
        "Most confident errors",
        study.caption(
            f"The {MOST} images of each arm that are called wrongly with a probability furthest from 0.5, all folds together: "
            f"dataset {study.dataset}, {magnified(study.magnification)}, split policy {study.split}, augmentation "
            f"{study.augmentation}, last epoch. Group: the {study.unit(study.split)}. Probabilities are not calibrated.",
            *([] if rows else ["Empty: no image is called wrongly."]),
        ),
        COLUMNS,
        rows,
        COLUMNS,
        HEADER,
    )


def drawn_arms(summary: Sequence[Texts], study: Study) -> list[Arm]:
    """Return the :data:`IN_FIGURE` arms with the highest accuracy in `summary.csv` among those of the table, the best first."""
    place = {**study.main, "magnification": str(study.magnification), "selection": "last"}
    accuracy = {
        (row["model"], row["mode"]): float(row["accuracy_mean"]) for row in summary if place.items() <= row.items()
    }
    known = [arm for arm in study.arms if arm.key in accuracy]
    return sorted(known, key=lambda arm: -accuracy[arm.key])[:IN_FIGURE]
