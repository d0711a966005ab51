"""Accuracy on altered images by the strength of the alteration."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from histobench.evaluation.summary import ARM
from histobench.report.figures.style import PAGE, arm_handles, canvas, looks
from histobench.report.tables.stress_table import TITLES
from histobench.report.terms import Texts, magnified, resampled
from histobench.study.resolved import Study
from histobench.study.stress_settings import NONE, SHIFTS, STRENGTHS

UNITS = {
    "stain": "change of H and E",
    "blur": "sigma (pixels)",
    "jpeg": "quality",
    "brightness": "factor",
    "scale": "zoom factor",
}
"""What the values of each shift are."""
PLACE = [name for name in ARM if name not in ("model", "mode")]


def stress_curves(stress: Sequence[Texts], study: Study) -> Figure:
    """Return a panel for each shift with a line for each arm, from rows of stress.csv.

    Where arms are of several datasets, splits, magnifications or augmentations, the first is drawn.
    """
    first = {name: stress[0][name] for name in PLACE}
    rows = [row for row in stress if row["metric"] == "accuracy" and first.items() <= row.items()]
    shifts = [shift for shift in SHIFTS if any(row["shift"] == shift for row in rows)]
    shown = [arm for arm in study.arms if any((row["model"], row["mode"]) == arm.key for row in rows)]
    known = looks(study.arms)
    place = f"{first['dataset']}, split {first['split']}, {magnified(first['magnification'])}, augmentation {first['augmentation']}"
    notes = [
        f"{place}. Lines: mean over folds; bands: 95 % interval, {resampled(rows, study)} resampled. Left of each panel: unaltered.",
        *study.notes,
    ]
    figure = canvas(PAGE, 52, notes, arm_handles(shown, known))
    axes = figure.subplots(1, len(shifts), sharey=True, squeeze=False)[0]
    for axis, shift in zip(axes, shifts, strict=True):
        for arm in shown:
            own = {
                int(row["strength"]): row
                for row in rows
                if (row["model"], row["mode"]) == arm.key
                and row["shift"] in (NONE, shift)
                and row["strength"].isdecimal()
            }
            points = [own[strength] for strength in range(6)]
            if all(row["estimate_low"] and row["estimate_high"] for row in points):
                ends = ([float(row[f"estimate_{end}"]) for row in points] for end in ("low", "high"))
                axis.fill_between(range(6), *ends, color=known[arm.key].colour, alpha=0.12, linewidth=0)
            values = [float(row["estimate"]) for row in points]
            axis.plot(
                range(6), values, linestyle=known[arm.key].line, gid=f"{arm.name}: {shift}", **known[arm.key].marks
            )
        axis.set_title(TITLES[shift], loc="left")
        axis.set_xlabel(UNITS[shift])
        axis.set_xticks(range(6), ["–", *(f"{value:g}" for value in STRENGTHS[shift])])
        axis.grid(axis="y")
    axes[0].set_ylabel("accuracy")
    return figure
