"""Figures of a split: the shares of evaluation images that have something in common with training images."""

from collections.abc import Sequence

from histobench.audit import overlaps
from histobench.audit.overlaps import overlap
from histobench.audit.split_tables import SHARES, unit_of
from histobench.audit.splits import Splits


def shares(found: Splits) -> list[tuple[str, str]]:
    """Return caption and SVG of a figure with a row per fold and class, or nothing where nothing is shared."""
    from histobench.report.figures import style  # imports matplotlib

    rows: list[tuple[str, Sequence[float]]] = []
    for split in found.splits:
        images = list(split.sets[split.evaluated])
        for label, part in {"all": images, **overlaps.by_class(images, lambda one: one.label)}.items():
            own = overlap(part, split.sets["train"])
            name = " ".join(text for text in (split.title if len(found.splits) > 1 else split.evaluated, label) if text)
            rows.append((name, [own.share(what) or 0.0 for what in SHARES]))
    if not any(any(values) for _, values in rows) or len(rows) > 80:
        return []
    names = ("same image", "pixel twin", "same slide", f"same {unit_of(found.dataset)}")
    drawn = [place for place in range(len(names)) if any(values[place] for _, values in rows)]
    figure = style.canvas(style.PAGE * 0.7, 12 + 5.5 * len(rows))
    axis = figure.subplots()
    for order, place in enumerate(drawn):
        offset = (order - (len(drawn) - 1) / 2) * 0.8 / len(drawn)
        axis.barh(
            [row + offset for row in range(len(rows))],
            [100 * values[place] for _, values in rows],
            0.8 / len(drawn),
            color=style.COLOURS[place],
            label=names[place],
        )
    axis.set_yticks(range(len(rows)), [name for name, _ in rows])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_xlim(0, 100)
    axis.set_xlabel("share of evaluation images in % of which the same … also trains")
    axis.grid(axis="x")
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(drawn))
    caption = (
        "Shares of evaluation images that have something in common with a training image. The same image, pixels or slide is certain; "
        f"the same {unit_of(found.dataset)} is the strict reading."
    )
    return [(caption, style.svg(figure))]
