"""ROC and precision-recall curves and confusion matrices of each arm, of the predictions of all its runs together."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from histobench.evaluation.predictions import Predictions
from histobench.io.errors import HistoBenchError
from histobench.metrics import decide
from histobench.report.figures.style import COLUMN, DIAGONAL, PAGE, TINY, arm_handles, canvas, in_lines, looks
from histobench.report.terms import magnified
from histobench.study.resolved import Arm, Study
from histobench.study.runs import Run

Folds = Mapping[Run, Predictions]
"""The predictions of the runs of one dataset, split and augmentation."""
Curve = tuple[np.ndarray, np.ndarray, float]
"""x and y of a curve, and the area below it."""
CLASSES = ("benign", "malignant")
SHARE_COLOURS = ("#ffffff", "#2b5c8a")
"""From no image of a true class to all."""


def roc(predictions: Folds, study: Study) -> Figure:
    """Return the ROC curve of each arm, one panel per magnification, with the area below it."""
    from sklearn.metrics import roc_auc_score, roc_curve

    def curve(label: np.ndarray, logit: np.ndarray) -> Curve:
        alarms, hits, _ = roc_curve(label, logit)
        return alarms, hits, float(roc_auc_score(label, logit))

    note = "AUC: of all folds together (mean ± sample standard deviation over folds)."
    figure = _panels(predictions, study, curve, note)
    for axis in figure.axes:
        axis.plot([0, 1], [0, 1], zorder=1, **DIAGONAL)
        axis.set(xlabel="false positive rate", ylabel="true positive rate")
    return figure


def precision_recall(predictions: Folds, study: Study) -> Figure:
    """Return the precision-recall curve of each arm, one panel per magnification, with its average precision.

    A dashed line is the share of malignant images: the precision of a classifier that knows nothing.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    def curve(label: np.ndarray, logit: np.ndarray) -> Curve:
        precision, recall, _ = precision_recall_curve(label, logit)
        return recall[::-1], precision[::-1], float(average_precision_score(label, logit))

    note = "AP, average precision: of all folds together (mean ± sample standard deviation over folds)."
    figure = _panels(predictions, study, curve, note, drawstyle="steps-pre")
    for axis, magnification in zip(figure.axes, _magnifications(predictions), strict=True):
        several = [one.label for run, one in predictions.items() if run.magnification == magnification]
        axis.axhline(float(np.mean(np.concatenate(several))), zorder=1, gid="share malignant", **DIAGONAL)
        axis.set(xlabel="recall", ylabel="precision")
    return figure


def confusion(predictions: Folds, study: Study) -> Figure:
    """Return the confusion matrix of each arm at each magnification: counts, and their share of the true class."""
    magnifications, arms = _magnifications(predictions), _arms(predictions, study)
    shares = np.full((2 * len(arms), 2 * len(magnifications)), np.nan)
    figure = canvas(PAGE, 18 + 11 * len(arms), study.notes)
    axis = figure.subplots()
    for place, arm in enumerate(arms):
        for at, magnification in enumerate(magnifications):
            folds = _folds(predictions, arm, magnification)
            if not folds:
                continue
            label, logit = _pooled(folds.values())
            counts = np.bincount(2 * label + decide(logit), minlength=4).reshape(2, 2)
            share = counts / counts.sum(1, keepdims=True)
            shares[2 * place : 2 * place + 2, 2 * at : 2 * at + 2] = share
            for true, called in np.ndindex(2, 2):
                text = f"{counts[true, called]:,} ({share[true, called]:.0%})".replace("%", " %")
                colour = "white" if share[true, called] > 0.75 else "black"
                x, y = 2 * at + called, 2 * place + true
                style = {"ha": "center", "va": "center", "color": colour, "size": TINY + 0.5}
                axis.text(x, y, text, gid=f"{arm.name}: {magnification}", **style)
        axis.annotate(
            in_lines(arm.name), (-0.5, 2 * place + 0.5), (-38, 0), textcoords="offset points", ha="right", va="center"
        )
    scale = LinearSegmentedColormap.from_list("shares", SHARE_COLOURS, bad="0.9")
    rows, columns = (np.arange(length + 1) - 0.5 for length in shares.shape)
    axis.pcolormesh(
        columns, rows, np.ma.masked_invalid(shares), cmap=scale, vmin=0, vmax=1, edgecolors="0.85", linewidth=0.4
    )
    for edge in range(2, shares.shape[0], 2):
        axis.axhline(edge - 0.5, color="black", linewidth=0.9)
    for edge in range(2, shares.shape[1], 2):
        axis.axvline(edge - 0.5, color="black", linewidth=0.9)
    for at, magnification in enumerate(magnifications):
        title = magnified(magnification)
        axis.annotate(title, (2 * at + 0.5, -0.5), (0, 20), textcoords="offset points", ha="center", va="bottom")
    axis.set_xticks(range(shares.shape[1]), [f"called\n{name}" for name in CLASSES] * len(magnifications))
    axis.set_yticks(range(shares.shape[0]), CLASSES * len(arms))
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.set_ylim(shares.shape[0] - 0.5, -0.5)
    axis.spines[:].set_visible(False)
    return figure


def _panels(
    predictions: Folds, study: Study, curve: Callable[[np.ndarray, np.ndarray], Curve], note: str, **line: str
) -> Figure:
    """Return a panel for each magnification with the curve of each arm, and the areas in its lower right corner."""
    magnifications, arms = _magnifications(predictions), _arms(predictions, study)
    known, columns = looks(study.arms), min(len(magnifications), 2)
    rows = -(-len(magnifications) // columns)
    figure = canvas(
        *(PAGE if columns > 1 else COLUMN, 4 + 84 * rows, [note, *study.notes], arm_handles(arms, known)),
        columns=4 if columns > 1 else 2,
    )
    for place, magnification in enumerate(magnifications):
        axis = figure.add_subplot(rows, columns, place + 1)
        areas = []
        for number, arm in enumerate(arms):
            folds = _folds(predictions, arm, magnification)
            if not folds:
                continue
            x, y, area = curve(*_pooled(folds.values()))
            look = known[arm.key]
            drawn = {"linestyle": look.line, "linewidth": 0.9, "markersize": 3, **look.marks}
            every = (0.1 + 0.2 * number / len(arms), 0.2)  # of the panel's diagonal: markers of arms do not coincide
            axis.plot(x, y, markevery=every, gid=f"{arm.name}: {magnification}", **drawn, **line)  # type: ignore[arg-type]
            areas_of: dict[int, list[float]] = {}
            for run, one in folds.items():
                areas_of.setdefault(run.fold, []).append(curve(one.label, one.logit["last"])[2])
            own = [float(np.mean(seeds)) for seeds in areas_of.values()]
            spread = f" ({np.mean(own):.3f} ± {np.std(own, ddof=1):.3f})" if len(own) > 1 else ""
            areas.append(Line2D([], [], label=f"{area:.3f}{spread}", **drawn))  # type: ignore[arg-type]
        legend = axis.legend(
            handles=areas, loc="lower right", fontsize=TINY, frameon=True, framealpha=0.8, edgecolor="none"
        )
        legend.set_zorder(3)
        axis.set_title(magnified(magnification), loc="left")
        axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axis.grid()
    return figure


def _magnifications(predictions: Folds) -> list[int]:
    """Return the magnifications that there are, from low to high.

    Raises:
        HistoBenchError: there are no predictions.
    """
    if not predictions:
        raise HistoBenchError("there are no predictions to draw; delete the unusable ones to have their runs repeated")
    return sorted({run.magnification for run in predictions})


def _arms(predictions: Folds, study: Study) -> list[Arm]:
    return [arm for arm in study.arms if any((run.model, run.mode) == arm.key for run in predictions)]


def _folds(predictions: Folds, arm: Arm, magnification: int) -> dict[Run, Predictions]:
    setting = (*arm.key, magnification)
    return {run: one for run, one in predictions.items() if (run.model, run.mode, run.magnification) == setting}


def _pooled(folds: Iterable[Predictions]) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels and last-epoch logits of all folds and seeds, both (N,): with S seeds an image is there S times."""
    return tuple(
        np.concatenate(parts) for parts in zip(*((one.label, one.logit["last"]) for one in folds), strict=True)
    )  # type: ignore[return-value]
