"""The style that all figures share: colours, markers, fonts, sizes and file formats.

To change how figures look, edit this file and no other:

- the colours of arms: `COLOURS`; the first is that of the first arm of the study, and so on;
- their markers: `MARKERS`; their lines: `looks`;
- the colours and markers of magnifications: `MAGNIFICATION_LOOKS`;
- fonts, axes, grid and legend: `_RC`, which holds settings of matplotlib;
- width and resolution: `COLUMN`, `PAGE` and `DPI`.

The colours of a heat map or a diagram are at the top of its own file (patients.py, methods.py).
"""

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.style
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.lines import Line2D

from histobench.io.files import atomic_path
from histobench.study.resolved import Arm

COLUMN, PAGE = 85.0, 175.0
"""Width in mm of one column of a journal, and of its page."""
DPI = 200
"""Resolution of the PNG, and of images inside the PDF and SVG."""
SMALL, TINY = 6.0, 5.5
"""Font size in points of ticks and legends, and of notes; titles and labels have 7."""
GREY = "0.55"
DIAGONAL: Mapping[str, Any] = {"color": "0.6", "linewidth": 0.7, "linestyle": (0, (4, 2))}
"""Of the lines that a classifier without error, or without knowledge, would have."""
FORMATS: Mapping[str, Mapping[str, None]] = {
    # No dates and no versions of the writer, so that two runs write the same bytes.
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}

# DejaVu Sans comes with matplotlib: figures are the same on every machine.
_RC = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "legend.columnspacing": 1.4,
    "legend.labelspacing": 0.35,
    "lines.linewidth": 1.0,
    "lines.markersize": 4,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "pdf.fonttype": 42,  # TrueType: text in a PDF can be searched and copied
    "svg.fonttype": "path",
    "svg.hashsalt": "histobench",
}
# In place of whatever the settings of matplotlib on the machine are.
matplotlib.style.use(["default", _RC])
# Only the fonts of matplotlib itself, so that figures are equal on every machine: a system has its own version of them, and
# the list of fonts that matplotlib keeps in the user's cache can be wrong.
fontManager.ttflist = []
for _font in sorted(Path(matplotlib.get_data_path(), "fonts", "ttf").glob("*.ttf")):
    fontManager.addfont(_font)

# The palette of Okabe and Ito without its yellow, which is too light for lines on white.
COLOURS = ("#0072B2", "#D55E00", "#000000", "#56B4E9", "#009E73", "#CC79A7", "#E69F00")
MARKERS = ("o", "s", "D", "v", "^", "P", "X", "h")
"""Eight markers and seven colours: the first 56 arms all look different."""
MAGNIFICATION_LOOKS = (("#b5b5b5", "o"), ("#6f9fc8", "s"), ("#2b5c8a", "^"), ("#0b1d33", "D"))
"""Colour and marker of each magnification, from low to high."""


@dataclass(frozen=True)
class Look:
    """How one arm is drawn in every figure of a study."""

    colour: str
    marker: str
    line: str
    """Line style: solid for CNNs and encoders, dashed for vision-language models, dotted where only a head is trained."""
    filled: bool
    """Whether markers are filled; they are hollow where only a head is trained."""

    @property
    def marks(self) -> dict[str, object]:
        """Arguments of `Axes.plot` for markers of this look."""
        face = self.colour if self.filled else "white"
        return {"color": self.colour, "marker": self.marker, "markerfacecolor": face, "markeredgewidth": 0.8}


def looks(arms: Sequence[Arm]) -> dict[tuple[str, str], Look]:
    """Return the look of each arm, by its key; it depends only on the position of the arm in the study."""
    return {
        arm.key: Look(
            COLOURS[place % len(COLOURS)],
            MARKERS[place % len(MARKERS)],
            ":" if arm.trainable == "head" else "--" if arm.is_vlm else "-",
            arm.trainable != "head",
        )
        for place, arm in enumerate(arms)
    }


def magnification_looks(magnifications: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Return (colour, marker) of each magnification, darker where it is higher."""
    last = len(MAGNIFICATION_LOOKS) - len(magnifications)
    return {
        magnification: MAGNIFICATION_LOOKS[max(place + last, 0)]
        for place, magnification in enumerate(sorted(magnifications))
    }


def arm_handles(arms: Sequence[Arm], known: Mapping[tuple[str, str], Look], line: bool = True) -> list[Artist]:
    """Return the legend entries of `arms`; `known` holds their looks, `line` is whether lines are shown."""
    return [
        Line2D([], [], label=arm.name, linestyle=known[arm.key].line if line else "none", **known[arm.key].marks)  # type: ignore[arg-type]
        for arm in arms
    ]


def canvas(
    width: float, height: float, notes: Sequence[str] = (), legend: Sequence[Artist] = (), columns: int = 4
) -> Figure:
    """Return an empty figure with a legend of `columns` columns below it, and sentences (`notes`) at its foot.

    Width and height are in mm; the height is that of the area above legend and notes.
    """
    lines = textwrap.wrap(" ".join(notes), round(width * 0.9))
    noted = 2.5 * len(lines) + 1.5 if lines else 0.0
    foot = noted + (3.3 * -(-len(legend) // columns) + 1.5 if legend else 0.0)
    figure = Figure(figsize=(width / 25.4, (height + foot) / 25.4), layout="constrained")
    engine = figure.get_layout_engine()
    share = foot / (height + foot)
    assert engine is not None
    engine.set(rect=(0, share, 1, 1 - share), w_pad=1.2 / 25.4, h_pad=1.2 / 25.4)  # type: ignore[call-arg]
    if lines:
        figure.text(
            1.2 / width, 1 / (height + foot), "\n".join(lines), size=TINY, color="0.25", va="bottom", gid="notes"
        )
    if legend:
        place = (0.5, noted / (height + foot))
        # The layout engine would place the legend over the notes.
        figure.legend(handles=legend, loc="lower center", bbox_to_anchor=place, ncols=columns).set_in_layout(False)
    return figure


def in_lines(name: str) -> str:
    """Return the name of an arm broken into lines."""
    model, _, mode = name.rpartition(" ")
    return f"{model.replace(' (', chr(10) + '(')}\n{mode}"


def save(figure: Figure, prefix: Path) -> None:
    """Write PREFIX.pdf, PREFIX.svg and PREFIX.png, each completely or not at all; the same figure gives the same bytes.

    Raises:
        HistoBenchError: the folder cannot be written, or the disk is full.
    """
    _settle(figure)
    for suffix, metadata in FORMATS.items():
        with atomic_path(Path(f"{prefix}.{suffix}")) as temporary:
            figure.savefig(temporary, format=suffix, dpi=DPI, metadata=metadata)


def svg(figure: Figure) -> str:
    """Return the figure as SVG; the same figure gives the same text."""
    _settle(figure)
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata=FORMATS["svg"])
    return written.getvalue()


def _settle(figure: Figure) -> None:
    figure.draw_without_rendering()
    figure.set_layout_engine(None)  # with one, even "none", each `savefig` draws once more
    for axis in figure.axes:
        # The last digits of the layout's solver depend on addresses in memory, and names within the SVG on these digits.
        left, bottom, width, height = (round(value, 6) for value in axis.get_position(original=True).bounds)
        axis.set_position((left, bottom, width, height))
