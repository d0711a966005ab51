"""Figure of a split: the shares of evaluation images that have something in common with training images."""

from collections.abc import Sequence
from html import escape

from histobench.audit import overlaps
from histobench.audit.audit_page import printable
from histobench.audit.split_tables import shares_of, unit_of
from histobench.audit.splits import Splits

COLOURS = {"image": "#0072B2", "twin": "#D55E00", "slide": "#000000", "accession": "#56B4E9"}
"""The first colours of :mod:`histobench.report.figures.style`, which imports matplotlib: that takes longer than the audit of a split."""
WIDTH, BAR, GAP, LETTER = 736, 11, 12, 7.5
"""Of the drawing, of a bar, between rows, and of a letter; in pixels."""
MAX_ROWS, MAX_LETTERS = 80, 26

Row = tuple[str, Sequence[float]]
"""Name and shares from 0 to 1."""


def shares(found: Splits) -> list[tuple[str, str]]:
    """Return caption and SVG of a figure with a row per fold and class, or nothing where nothing is shared."""
    wanted = list(shares_of(found.dataset))
    rows: list[Row] = []
    for split in found.splits:
        title = split.title if len(found.splits) > 1 else split.evaluated
        for label, part in overlaps.overlap_of_classes(split.sets[split.evaluated], split.sets["train"]).items():
            rows.append((f"{title} {label or 'all'}", [part.share(what) or 0.0 for what in wanted]))
    drawn = [place for place in range(len(wanted)) if any(values[place] for _, values in rows)]
    if not drawn or len(rows) > MAX_ROWS:
        return []
    names = {
        "image": "same image",
        "twin": "same pixels",
        "slide": "same slide",
        "accession": f"same {unit_of(found.dataset)}",
    }
    caption = "Shares of evaluation images that have something in common with a training image, in all and by class."
    if found.dataset == "breakhis":
        caption += " The same image, pixels or slide is certain; the same accession number is the strict reading."
    bars = [(names[wanted[place]], COLOURS[wanted[place]], place) for place in drawn]
    return [(caption, _svg(rows, bars))]


def _svg(rows: Sequence[Row], bars: Sequence[tuple[str, str, int]]) -> str:
    """Return a chart of horizontal bars; `bars` are name, colour, and place among the values of a row."""
    names = [name if len(name) <= MAX_LETTERS else f"{name[: MAX_LETTERS - 1]}…" for name, _ in rows]
    left = 20 + round(LETTER * max(map(len, names)))
    step, top, across = BAR * len(bars) + GAP, 30, WIDTH - left - 20
    bottom = top + step * len(rows)
    parts = []
    for order, (name, colour, _) in enumerate(bars):
        x = left + order * across / 4
        parts += [f'<rect x="{x:g}" y="6" width="22" height="10" fill="{colour}"/>', _text(x + 28, 15, name, "start")]
    for tick in range(0, 101, 20):
        x = left + across * tick / 100
        parts += [
            _line(x, top, x, bottom, "#e5e5e5"),
            _line(x, bottom, x, bottom + 4),
            _text(x, bottom + 18, str(tick)),
        ]
    for number, (name, (_, values)) in enumerate(zip(names, rows, strict=True)):
        y = top + step * number + GAP / 2
        parts.append(_text(left - 8, y + (step - GAP) / 2 + 4, name, "end"))
        for order, (_, colour, place) in enumerate(bars):
            width = across * values[place]
            parts.append(
                f'<rect x="{left}" y="{y + BAR * order:g}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>'
            )
    parts += [_line(left, top, left, bottom), _line(left, bottom, left + across, bottom)]
    parts.append(
        _text(left + across / 2, bottom + 38, "share of evaluation images in % of which the same … also trains")
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{bottom + 46}" viewBox="0 0 {WIDTH} {bottom + 46}" '
        f'font-family="DejaVu Sans, Verdana, sans-serif" font-size="12">{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(printable(text))}</text>'


def _line(x: float, y: float, to_x: float, to_y: float, colour: str = "#000") -> str:
    return f'<path d="M{x:g} {y:g}L{to_x:g} {to_y:g}" stroke="{colour}" stroke-width="0.8"/>'
