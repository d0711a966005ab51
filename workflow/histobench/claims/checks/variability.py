"""Claims about how much accuracy varies over folds or magnifications."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import product

import numpy as np

from histobench.claims.evidence import Estimate, Results, total
from histobench.claims.published import Paper
from histobench.claims.score_bounds import binomial_deviation
from histobench.claims.table_cells import Cell, Each, Unavailable, arm_name, cases, decimals, places, rounding, span
from histobench.claims.verdicts import CONTRADICTED, HOLDS, IMPLAUSIBLE, Case, Verdict, grade


def steadier(
    paper: Paper, first: Sequence[str], second: Sequence[str], over: str, cells: str, each: Each = None
) -> Verdict:
    """Return whether a score of each arm of `first` varies less than that of each arm of `second`.

    `cells` is a cell address with `{arm}`, and `each` the values of other names in it. `over` is `folds` for the standard
    deviation, compared in each cell, or `magnifications` for the range of the means. Arms are `MODEL/MODE`.
    """

    def spreads(arm: str) -> dict[str, Fraction]:
        own = _cells(arm, cells, each)
        if over == "folds":
            places_of = [f" at {cell.magnification}X" if cell.magnification else "" for cell in own]
            deviations = [Fraction(paper.row(cell)[f"{cell.metric}_std"]) for cell in own]
            return dict(zip(places_of, deviations, strict=True))
        values = [paper.value(cell) for cell in own]
        return {"": max(values) - min(values)}

    pairs = [
        (value, theirs[place], one, other, place)
        for one in first
        for other in second
        for theirs in [spreads(other)]
        for place, value in spreads(one).items()
    ]
    # Two deviations, or four means, may each be off by half a unit of the last digit.
    all_cells = [cell for arm in (*first, *second) for cell in _cells(arm, cells, each)]
    deviations = (paper.rounding_of(cell.table, f"{cell.metric}_std") for cell in all_cells)
    rounded = 2 * max(deviations) if over == "folds" else 4 * max(rounding(paper.text(cell)) for cell in all_cells)
    digits = paper.digits(all_cells)
    differences = [theirs - value for value, theirs, *_ in pairs]
    failing = sum(difference <= -rounded for difference in differences)
    value, theirs, one, other, place = max(pairs, key=lambda pair: pair[0] - pair[1])
    shown = f"{arm_name(one)} {decimals(value, digits)} against {arm_name(other)} {decimals(theirs, digits)}{place}"
    what = "standard deviation over folds" if over == "folds" else "range over magnifications"
    if failing:
        text = f"the {what} is not the smaller one in {failing} of {len(pairs)} comparisons: {shown}."
        return Verdict(CONTRADICTED, text)
    if min(differences) <= rounded:
        raise Unavailable(f"rounding decides which {what} is the smaller one: {shown}")
    return Verdict(HOLDS, f"the {what} is the smaller one in all {len(pairs)} comparisons, the closest {shown}.")


def steadier_in_study(
    study: Results, first: Sequence[str], second: Sequence[str], over: str, cells: str, each: Each = None
) -> Verdict:
    """Return whether a score of each arm of `first` varies less than that of each arm of `second`.

    Over folds the effect is the ratio of two deviations, claimed to be above 1 (:func:`deviation_ratio`), over
    magnifications the difference of two ranges, claimed to be above 0 (:func:`range_difference`).
    """
    graded = []
    for one, other in product(first, second):
        names = f"{arm_name(other)} over {arm_name(one)}"
        if over == "folds":
            for pair in zip(_cells(one, cells, each), _cells(other, cells, each), strict=True):
                name = f"ratio of the deviations over folds, {names}, {pair[0].magnification}X"
                graded.append(Case(name, partial(deviation_ratio, study, *pair), low=1.0))
        else:
            name = f"difference of the ranges over magnifications, {names}"
            ranges = partial(range_difference, study, _cells(one, cells, each), _cells(other, cells, each))
            graded.append(Case(name, ranges))
    return grade(graded)


def deviation_ratio(study: Results, steadier: Cell, other: Cell) -> Estimate:
    """Return the standard deviation of a score over folds, `other` over `steadier`, which were scored on the same folds.

    The interval inverts the test of Pitman and of Morgan (Biometrika 31, 1939, 9 and 13) that variances of normal pairs are
    equal: x - c y and x + c y are uncorrelated if c is the true ratio. With the correlation r of k pairs and K = 1 + 2
    (1 - r^2) t^2 / (k - 2), t being Student's quantile with k - 2 degrees of freedom, the ratio of variances is divided and
    multiplied by K + sqrt(K^2 - 1). Simulated with five folds, each tail is missed in 2.2 to 3.0 % of studies, for normal
    scores and for accuracies of folds of patients.

    Raises:
        Unavailable: the arms do not share three folds, or a score does not vary.
    """
    from scipy.special import stdtrit

    scores = study.fold_scores(steadier), study.fold_scores(other)
    if scores[0].keys() != scores[1].keys() or len(scores[0]) < 3:
        raise Unavailable(f"the arms do not share three or more complete folds ({steadier.arm}, {steadier.setting})")
    values = np.array([[of_arm[fold] for fold in scores[0]] for of_arm in scores])
    deviations = values.std(axis=1, ddof=1)
    if deviations.min() < 1e-12:
        raise Unavailable(f"a score does not vary over folds ({steadier.setting})")
    ratio, unshared = float(deviations[1] / deviations[0]), 1 - float(np.corrcoef(values)[0, 1]) ** 2
    freedom = values.shape[1] - 2

    def ends(cases: int) -> tuple[float, float]:
        k = 1 + 2 * max(unshared, 0.0) * float(stdtrit(freedom, 1 - 0.025 / cases)) ** 2 / freedom
        factor = math.sqrt(k + math.sqrt(k * k - 1))
        return ratio / factor, ratio * factor

    return Estimate(ratio, ends, "folds taken as independent")


def range_difference(study: Results, steadier: Sequence[Cell], other: Sequence[Cell]) -> Estimate:
    """Return the range of the means of some cells, `other` minus `steadier`.

    Noise increases a range, so that the ranges of bootstrap draws are too large, and their percentiles miss the truth far
    too often. But by the triangle inequality no range is farther from the true one than the range of the errors. The
    difference is therefore given +- the 95 % quantile of the sum of both arms' ranges of errors, draw minus estimate: an
    interval that is conservative whatever the ranges and the noise. In simulated studies with ranges of 0 to 0.15 and
    standard errors of 0.005 to 0.03 it missed a tail in at most 1.2 %, the percentiles in up to 99 %.
    """
    drawn = [[study.drawn(cell) for cell in cells] for cells in (other, steadier)]
    effects = [float(np.ptp([cell.effect for cell in cells])) for cells in drawn]
    error = sum(np.ptp([cell.draws - cell.effect for cell in cells], axis=0) for cells in drawn)
    effect = effects[0] - effects[1]
    both = replace(total((1, cell) for cells in drawn for cell in cells), effect=effect)
    return replace(both, draws=np.concatenate([effect - error, effect + error])).estimate()


def fold_deviations(
    paper: Paper,
    tables: Sequence[str],
    images: str,
    arms: Sequence[str],
    reference: Mapping[str, str],
    largest: str,
    folds: int,
) -> Verdict:
    """Return whether standard deviations over folds reach what folds of patients give, or look like folds of images.

    The accuracy of n independent images has a binomial deviation of sqrt(a (1 - a) / n), here with n a fold's share of
    the table `images`, which has a row for each magnification. Images of one patient are alike, so that folds of patients
    deviate more.

    `reference` holds the deviation of accuracy in published patient-level studies of BreakHis, by their names; `largest` is
    the largest of the paper, with which a study's is compared.
    """
    totals = paper.images(images, "total")
    rows = [(table, row) for table, row in paper.rows(tables) if f"{row['model']}/{row['mode']}" in arms]
    if not rows:
        raise Unavailable("the tables have none of these arms")
    deviations, ratios = [Fraction(row["accuracy_std"]) for _, row in rows], []
    for (table, row), deviation in zip(rows, deviations, strict=True):
        unit = paper.unit(table, "accuracy_mean")
        binomial = binomial_deviation(float(row["accuracy_mean"]) / unit, totals[row["magnification"]] / folds)
        ratios.append(float(deviation) / unit / binomial)
    digits = max(places(str(row["accuracy_std"]).rstrip("0")) for _, row in rows)
    lowest = min(map(Fraction, reference.values()))
    below = sum(deviation < lowest for deviation in deviations)
    studies = " and ".join(f"{deviation} ({name})" for name, deviation in reference.items())
    return Verdict(
        IMPLAUSIBLE if below == len(rows) else HOLDS,
        f"{below} of {len(rows)} deviations of accuracy ({span(deviations, digits)}) are below those of patient-level studies, "
        f"{studies}; they are {min(ratios):.2f} to {max(ratios):.2f} times (mean {np.mean(ratios):.2f}) the binomial "
        "deviation of independent images.",
    )


def fold_deviations_in_study(
    study: Results,
    tables: Sequence[str],
    images: str,
    arms: Sequence[str],
    reference: Mapping[str, str],
    largest: str,
    folds: int,
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

    def ends(cases: int) -> tuple[float, float]:
        tail = 0.025 / cases
        low, high = (value * math.sqrt(freedom / float(chdtri(freedom, upper))) for upper in (tail, 1 - tail))
        return low, high

    name = (
        f"deviation of accuracy over {freedom + 1} folds, root mean square of {len(found)} cells, against at most {largest} "
        "in the paper"
    )
    return grade([Case(name, lambda: Estimate(value, ends), 0.0, float(largest))])


def _cells(arm: str, cells: str, each: Each) -> list[Cell]:
    return [cell for case in cases({cells: 1}, {"arm": [arm], **(each or {})}) for cell in case]
