"""The error map: which groups (patients or accession numbers) are misclassified, by which arm, at which magnification."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from histobench.evaluation.predictions import Predictions
from histobench.io.errors import HistoBenchError
from histobench.metrics import decide
from histobench.report.figures.style import PAGE, TINY, Arm, canvas, in_lines
from histobench.report.terms import printed, subtype
from histobench.study.resolved import Study
from histobench.study.runs import Run

CLASSES = ("benign", "malignant")
CLASS_COLOURS = ("#9ad0c2", "#7a3b69")
SHARE_COLOURS = ("#ffffff", "#f4c9a0", "#c65d21", "#4a1500")
"""From no image misclassified to all; it reads the same in grey."""
NO_IMAGE = "#c9d3de"


def errors(
    predictions: Mapping[Run, Predictions], subtypes: Mapping[str, str], arms: Sequence[Arm]
) -> tuple[list[tuple[str, int, str]], list[tuple[tuple[str, str], int]], np.ndarray]:
    """Return the share of each group's images that are misclassified.

    Rows are groups; a group with two subtypes has two. Benign groups come first. Within a class, those with the
    most errors come first. Columns are arms in their order, each with its magnifications.

    The predictions are those of the runs of one dataset, split and augmentation; `subtypes` are by the ids of images.

    Returns:
        Rows (group, label, subtype), columns (arm key, magnification), and float64 (rows, columns), NaN where a
        group has no image.
    """
    wrong: dict[tuple[str, int, str], dict[tuple[tuple[str, str], int], list[bool]]] = {}
    for run, found in predictions.items():
        column = ((run.model, run.mode), run.magnification)
        miss = decide(found.logit["last"]) != found.label.astype(bool)
        for image, group, label, missed in zip(found.image_id, found.group, found.label, miss, strict=True):
            row = (str(group), int(label), subtypes.get(image, ""))
            wrong.setdefault(row, {}).setdefault(column, []).append(bool(missed))
    present = {column for cells in wrong.values() for column in cells}
    order = [arm.key for arm in arms]
    columns = sorted(present, key=lambda column: (order.index(column[0]), column[1]))
    shares = {
        row: [float(np.mean(cells[c])) if c in cells else np.nan for c in columns] for row, cells in wrong.items()
    }
    rows = sorted(shares, key=lambda row: (row[1], -float(np.nanmean(np.array(shares[row]))), row))
    return rows, columns, np.array([shares[row] for row in rows])


def error_map(predictions: Mapping[Run, Predictions], subtypes: Mapping[str, str], study: Study) -> Figure:
    """Return the map of groups by arms and magnifications of a study; arguments as for :func:`errors`.

    Raises:
        HistoBenchError: there are no predictions.
    """
    of = study.datasets[study.dataset]
    types = {code: subtype(code, of) for code in subtypes.values()}
    return error_map_of(predictions, subtypes, study.arms, types, study.notes, study.unit(study.split))


def error_map_of(
    predictions: Mapping[Run, Predictions],
    subtypes: Mapping[str, str],
    arms: Sequence[Arm],
    types: Mapping[str, str],
    notes: Sequence[str],
    unit: str,
) -> Figure:
    """Return the map of groups by arms and magnifications; the first arguments are those of :func:`errors`.

    Args:
        predictions: as for :func:`errors`.
        subtypes: as for :func:`errors`.
        arms: as for :func:`errors`.
        types: the name of each subtype.
        notes: sentences at the foot of the figure.
        unit: what a group is.

    Raises:
        HistoBenchError: there are no predictions.
    """
    if not predictions:
        raise HistoBenchError(
            "patients: there are no predictions to draw; delete the unusable ones to have their runs repeated"
        )
    rows, columns, shares = errors(predictions, subtypes, arms)
    pitch = min(max(215 / len(rows), 0.8), 5.0)
    shown = sorted({code for _, _, code in rows})
    meanings = "; ".join(f"{code}: {types[code]}" for code in shown if types.get(code, code) != code)
    figure = canvas(PAGE, 26 + pitch * len(rows), [f"{meanings}."] * bool(meanings) + [*notes])
    axis = figure.subplots()
    scale = LinearSegmentedColormap.from_list("errors", SHARE_COLOURS, bad=NO_IMAGE)
    edges = np.arange(len(columns) + 1) - 0.5
    mesh = axis.pcolormesh(
        edges, np.arange(len(rows) + 1) - 0.5, np.ma.masked_invalid(shares), cmap=scale, vmin=0, vmax=1,
        edgecolors="0.88", linewidth=0.25,
    )  # fmt: skip
    margin = 0.05 * len(columns)  # on the left, for the classes
    for place, (_, label, _) in enumerate(rows):
        axis.barh(place, 0.5 * margin, height=1, left=-0.5 - 0.75 * margin, color=CLASS_COLOURS[label], linewidth=0)
    names = {arm.key: arm.name for arm in arms}
    starts = [at for at, (key, _) in enumerate(columns) if at == 0 or columns[at - 1][0] != key]
    for start, end in zip(starts, [*starts[1:], len(columns)], strict=True):
        if start:
            axis.axvline(start - 0.5, color="black", linewidth=0.9)
        label = in_lines(names[columns[start][0]])
        axis.text((start + end - 1) / 2, -1.2, label, ha="center", va="bottom", size=TINY + 0.5, linespacing=1.05)
    benign = sum(label == 0 for _, label, _ in rows)
    if 0 < benign < len(rows):
        axis.axhline(benign - 0.5, color="black", linewidth=0.9)
    for label, (start, end) in enumerate(((0, benign), (benign, len(rows)))):
        if end > start:
            axis.text(-0.5 - margin, (start + end - 1) / 2, CLASSES[label], rotation=90, ha="right", va="center")
    size = min(TINY, max(pitch * 72 / 25.4 * 0.82, 3.0))
    axis.set_xticks(range(len(columns)), [printed("magnification", str(m)) for _, m in columns], rotation=90, size=TINY)
    axis.yaxis.tick_right()
    axis.set_yticks(range(len(rows)), [f"{code} {group}".strip() for group, _, code in rows], size=size)
    axis.tick_params(length=0, pad=1.5)
    axis.set_xlim(-0.5 - margin, len(columns) - 0.5)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.spines[:].set_visible(False)
    bar = figure.colorbar(mesh, ax=axis, location="bottom", shrink=0.45, aspect=40, pad=0.01)
    bar.set_label(f"share of the {unit}'s images that are misclassified")
    bar.outline.set_linewidth(0.5)  # type: ignore[operator]
    # As vectors, not as an embedded image.
    assert bar.solids is not None
    bar.solids.set(rasterized=False, edgecolor="face")
    return figure
