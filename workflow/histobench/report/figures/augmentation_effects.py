"""What each augmentation adds to the accuracy of the same arm, sorted."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from histobench.report.figures.style import DIAGONAL, GREY, PAGE, SMALL, canvas, looks
from histobench.report.terms import Texts, head, magnified, minus
from histobench.study.resolved import Study

COLUMNS = (
    "model",
    "mode",
    "magnification",
    "metric",
    "augmentation",
    "score",
    "difference",
    "difference_low",
    "difference_high",
)
"""Columns of the table of augmentation effects that are drawn."""


def augmentation_effects(rows: Sequence[Texts], study: Study) -> Figure:
    """Return a panel for each arm and magnification: the difference in accuracy of each augmentation from none, and its interval.

    The rows are those of :func:`histobench.report.tables.augmentation_table.augmentation_table`, in their order.
    """
    keys = {(arm.label, arm.mode): arm for arm in study.arms}
    panels: dict[tuple[str, str, str], list[Texts]] = {}
    for row in rows:
        if row["metric"] == head("accuracy"):
            panels.setdefault((row["model"], row["mode"], row["magnification"]), []).append(row)
    columns = min(2, max(1, len(panels)))
    lines = -(-len(panels) // columns)
    most = max(map(len, panels.values()), default=1)
    note = (
        f"Difference in mean accuracy over folds from augmentation {study.numbered[4]}, with 95 % intervals: the same groups are resampled for "
        f"both. Dashed: augmentation {study.numbered[5]}."
    )
    figure = canvas(PAGE, lines * (13 + 4.2 * most), [note, *study.notes])
    axes = figure.subplots(max(lines, 1), columns, sharex=True, squeeze=False).ravel()
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    for axis, ((model, mode, magnification), own) in zip(axes, panels.items(), strict=False):
        arm = keys[model, mode]
        look = looks(study.arms)[arm.key]
        axis.axvline(0, color=GREY, linewidth=0.8)
        for place, row in enumerate(own):
            value = float(row["difference"])
            if row["difference_low"]:
                ends = [float(row["difference_low"]), float(row["difference_high"])]
                axis.plot(ends, [place, place], color=look.colour, linewidth=1.0, gid="interval")
            axis.plot([value], [place], linestyle="none", gid=row["augmentation"], **look.marks)
            axis.annotate(
                minus(row["difference"]), (1, place), (3, 0), xycoords=("axes fraction", "data"),
                textcoords="offset points", va="center", size=SMALL,
            )  # fmt: skip
            if row["augmentation"] == study.numbered[5]:
                axis.axvline(value, gid="augmented", **DIAGONAL)
        axis.set_yticks(range(len(own)), [row["augmentation"] for row in own])
        axis.set_ylim(most - 0.5, -0.5)
        axis.grid(axis="x")
        axis.set_title(f"{arm.name}, {magnified(magnification)}", loc="left")
        axis.set_xlabel(f"change in accuracy from {study.numbered[4]}")
    return figure
