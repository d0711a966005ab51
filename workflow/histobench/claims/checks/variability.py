"""Claims about how much accuracy varies over folds or magnifications."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from histobench.claims.evidence import Estimate, Results
from histobench.claims.published import Paper
from histobench.claims.table_cells import CROSS_VALIDATION, Cell, Unavailable, arm_name, decimals, span
from histobench.claims.verdicts import CONTRADICTED, HOLDS, UNDECIDED, Verdict, holds, verdict_of


def steadier(paper: Paper, first: Sequence[str], second: Sequence[str], over: str) -> Verdict:
    """Return whether the accuracy of each arm of `first` varies less in Table 4 than that of each arm of `second`.

    `over` is `folds` for the standard deviation, compared at each magnification, or `magnifications` for the range of the
    means. Arms are `MODEL/MODE`.
    """

    def spreads(arm: str) -> dict[str, Fraction]:
        cells = _cells(arm)
        if over == "folds":
            return {f" at {cell.magnification}X": Fraction(paper.row(cell)["accuracy_std"]) for cell in cells}
        values = [paper.value(cell) for cell in cells]
        return {"": max(values) - min(values)}

    pairs = [
        (value, theirs[place], one, other, place)
        for one in first
        for other in second
        for theirs in [spreads(other)]
        for place, value in spreads(one).items()
    ]
    failing = sum(value >= theirs for value, theirs, *_ in pairs)
    value, theirs, one, other, place = max(pairs, key=lambda pair: pair[0] - pair[1])
    shown = f"{arm_name(one)} {decimals(value)} against {arm_name(other)} {decimals(theirs)}{place}"
    what = "standard deviation over folds" if over == "folds" else "range over magnifications"
    if failing:
        text = f"the {what} is not the smaller one in {failing} of {len(pairs)} comparisons: {shown}."
        return Verdict(CONTRADICTED, text)
    return Verdict(HOLDS, f"the {what} is the smaller one in all {len(pairs)} comparisons, the closest {shown}.")


def steadier_in_study(study: Results, first: Sequence[str], second: Sequence[str], over: str) -> Verdict:
    """Return the smallest difference in variability, always undecided: it has no interval."""

    def spread(arm: str) -> float:
        if over == "folds":
            return math.sqrt(np.mean([study.summary(cell, "std") ** 2 for cell in _cells(arm)]))
        return float(np.ptp([study.summary(cell, "mean") for cell in _cells(arm)]))

    most, one = max((spread(arm), arm) for arm in first)
    least, other = min((spread(arm), arm) for arm in second)
    what = "root mean square deviation over folds" if over == "folds" else "range over magnifications"
    return Verdict(
        UNDECIDED,
        f"the {what} of accuracy is at most {most:.4f} ({arm_name(one)}) against at least {least:.4f} "
        f"({arm_name(other)}), but has no interval here.",
        Estimate(least - most, math.nan, math.nan),
    )


def fold_deviations(paper: Paper, arms: Sequence[str], reference: Sequence[str], largest: str, folds: int) -> Verdict:
    """Return whether standard deviations over folds reach what folds of patients give, or look like folds of images.

    The accuracy of n independent images has a binomial deviation of sqrt(a (1 - a) / n), here with n a fold's share of
    Table 1. Images of one patient are alike, so that folds of patients deviate more.

    `reference` holds the lowest and the highest deviation of accuracy in published patient-level studies of BreakHis,
    `largest` is the largest of the paper, with which a study's is compared.
    """
    images = paper.images("total")
    rows = [row for _, row in paper.rows(CROSS_VALIDATION) if f"{row['model']}/{row['mode']}" in arms]
    deviations, ratios = [Fraction(row["accuracy_std"]) for row in rows], []
    for row, deviation in zip(rows, deviations, strict=True):
        mean = float(row["accuracy_mean"])
        ratios.append(float(deviation) / math.sqrt(mean * (1 - mean) * folds / images[row["magnification"]]))
    below = sum(deviation < Fraction(reference[0]) for deviation in deviations)
    return holds(
        below < len(rows),
        f"{below} of {len(rows)} deviations of accuracy ({span(deviations, 3)}) are below the {reference[0]} to "
        f"{reference[1]} of patient-level folds; they are {min(ratios):.2f} to {max(ratios):.2f} times (mean "
        f"{np.mean(ratios):.2f}) the binomial deviation of independent images.",
    )


def fold_deviations_in_study(
    study: Results, arms: Sequence[str], reference: Sequence[str], largest: str, folds: int
) -> Verdict:
    """Return whether the study's folds deviate as little as the paper's.

    The effect is the root mean square deviation of accuracy over the arms of Table 4. Arms share their folds, so the
    chi-square interval has folds - 1 degrees of freedom, as that of one arm.
    """
    from scipy.special import chdtri

    found = [row for row in study.table4() if study.arm(row) in arms and row["accuracy_std"]]
    if not found:
        raise Unavailable("the study has none of these arms with a deviation over folds")
    freedom = min(int(row["folds"]) for row in found) - 1
    value = math.sqrt(np.mean([float(row["accuracy_std"]) ** 2 for row in found]))
    low, high = (value * math.sqrt(freedom / float(chdtri(freedom, tail))) for tail in (0.025, 0.975))
    estimate = Estimate(value, low, high)
    return Verdict(
        verdict_of(estimate, 0.0, float(largest)),
        f"deviation of accuracy over {freedom + 1} folds, root mean square of {len(found)} cells, against at most {largest} "
        "in the paper.",
        estimate,
    )


def _cells(arm: str) -> list[Cell]:
    return [Cell.parse(f"table4 {arm} {number}x accuracy") for number in (40, 100, 200, 400)]
