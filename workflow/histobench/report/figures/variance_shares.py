"""The shares of seed, fold and groups in the variance of a score, as stacked bars."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from histobench.evaluation.summary import ARM
from histobench.evaluation.variance import SOURCES
from histobench.report.figures.style import COLOURS, PAGE, TINY, canvas
from histobench.report.tables.variance_table import SHOWN, about, chosen
from histobench.report.terms import Texts, head, magnified
from histobench.study.resolved import Study

SOURCE_COLOURS = dict(zip(SOURCES, (COLOURS[6], COLOURS[0], "0.75"), strict=True))


def shares(variance: Sequence[Texts], study: Study) -> Figure:
    """Return a panel for each of two scores with a bar for each arm and magnification, and its standard deviation beside it.

    The rows are those of `variance.csv`; a bar without shares is of scores that do not vary.
    """
    rows = chosen(variance)
    names = {arm.key: arm.name for arm in study.arms}
    varying = [key for key in ("dataset", "split", "augmentation") if len({row[key] for row in rows}) > 1]
    arms = list(dict.fromkeys(tuple(row[key] for key in ARM) for row in rows))
    labels = []
    for arm in arms:
        row: Texts = dict(zip(ARM, arm, strict=True))
        parts = [names[row["model"], row["mode"]], magnified(row["magnification"]), *(row[key] for key in varying)]
        labels.append(", ".join(parts))
    handles = [Patch(color=colour, linewidth=0, label=name) for name, colour in SOURCE_COLOURS.items()]
    figure = canvas(PAGE, 16 + 5 * max(len(arms), 1), [*about(rows), *study.notes], handles, 3)
    axes = figure.subplots(1, len(SHOWN), sharey=True, squeeze=False)[0]
    for axis, metric in zip(axes, SHOWN, strict=True):
        found = {tuple(row[key] for key in ARM): row for row in rows if row["metric"] == metric}
        for place, arm in enumerate(arms):
            row, left = found[arm], 0.0
            for source in SOURCES:
                width = float(row[f"{source}_share"] or 0)
                gid = f"{labels[place]}: {metric} {source}"
                axis.barh(place, width, 0.7, left, color=SOURCE_COLOURS[source], linewidth=0, gid=gid)
                left += width
            axis.text(1.02, place, f"SD {float(row['total_std']):.3f}", va="center", size=TINY)
        axis.set_title(head(metric), loc="left")
        axis.set_xlabel("share of variance")
        axis.set_xlim(0, 1.16)
        axis.set_xticks(np.linspace(0, 1, 5))
    axes[0].set_yticks(range(len(arms)), labels)
    axes[0].set_ylim(max(len(arms), 1) - 0.5, -0.5)
    return figure
