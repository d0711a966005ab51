"""Figures of predictions as SVG text: errors of each slide, and calibration."""

from collections.abc import Mapping, Sequence
from typing import Any

from histobench.audit.score_tables import Units
from histobench.audit.scored_methods import SCORED, Method
from histobench.datasets.breakhis import SUBTYPES
from histobench.study.resolved import Arm


class _Named(Arm):
    """A method as an arm whose name in print is the method's."""

    @property
    def name(self) -> str:
        return self.label


MOST_GROUPS = 400
"""A map with more rows cannot be read."""


def figures(method: Method, calibration: Sequence[Mapping[str, Any]], units: Units) -> list[tuple[str, str]]:
    """Return caption and SVG text of each figure."""
    from histobench.report.figures.patients import error_map_of
    from histobench.report.figures.reliability import reliability_of
    from histobench.report.figures.style import svg

    mode = method.mode("accuracy")
    made = []
    if len(set(method.slide.tolist())) <= MOST_GROUPS:
        runs = {}
        for magnification in sorted(set(method.magnification.tolist())):
            parts = method.runs(magnification=magnification)
            # Only what is at this magnification: 0 stands for all images elsewhere.
            runs |= {run: part for run, part in parts.items() if run.mode == mode and len(part.label)}
        subtypes = dict(zip(method.image.tolist(), method.subtype.tolist(), strict=True))
        types = {code: SUBTYPES[code][1].replace("_", " ") for code in set(subtypes.values()) if code in SUBTYPES}
        arm = _Named(method.key, mode, method.name, "cnn", "all")
        figure = error_map_of(runs, subtypes, [arm], types, (), units.slide)
        made.append(
            (f"Share of each {units.slide}'s images that are called wrongly, at each magnification.", svg(figure))
        )
    if calibration:
        rows = [{name: "" if value is None else str(value) for name, value in row.items()} for row in calibration]
        figure = reliability_of(rows, [_Named(method.key, SCORED, method.name, "cnn", "all")], (), False)
        made.append(
            (
                "Calibration: share of malignant images against the predicted probability, above the number of images.",
                svg(figure),
            )
        )
    return made
