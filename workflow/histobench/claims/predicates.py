"""The predicates that claims are made of: each looks at the published tables and, where it can, at a study.

A predicate is a function that takes a :class:`Paper` and the claim's arguments, registered under its name; a second one
of the same name takes a :class:`Study`. A new kind of claim is a new function here, a new claim of a known kind is YAML.

Decision rule for a study. A claim says that an effect lies in a region: above zero, at least 0.93, between two numbers,
or at a printed number to its last digit. It is *supported* if the 95 % interval of the effect lies wholly inside the
region, *contradicted* if wholly outside, else *undecided*. A claim about many cases (every model, every magnification)
is supported if every case is, which needs no correction, and contradicted if one is whose interval is widened for the
number of cases (Bonferroni), since among many intervals some miss by chance. A number printed with four decimals can
therefore be contradicted or stay undecided, but no study of 82 patients supports it. *not run*: the study lacks a file,
an arm or an interval that the claim needs.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from histobench.claims.evidence import ALL, EXTERNAL, Cell, Estimate, NotPublished, NotRun, Paper, Study, Terms

HOLDS, CONTRADICTED, IMPOSSIBLE, NOT_CHECKABLE = "holds", "contradicted", "impossible", "not checkable"
SUPPORTED, UNDECIDED, NOT_RUN = "supported", "undecided", "not run"


@dataclass(frozen=True)
class Published:
    """What the published numbers say about a claim."""

    verdict: str
    """holds, contradicted, impossible (no data can give the printed numbers), or not checkable."""
    evidence: str
    """One sentence with the numbers."""


@dataclass(frozen=True)
class Reproduced:
    """What a study says about a claim."""

    verdict: str
    """supported, contradicted, undecided, or not run."""
    evidence: str
    """One sentence."""
    estimate: Estimate | None = None
    """The case that decides, or that is nearest to deciding."""


ON_PAPER: dict[str, Callable[..., Published]] = {}
"""Predicate -> what it says of the published tables; the first argument is a :class:`Paper`."""
ON_STUDY: dict[str, Callable[..., Reproduced]] = {}
"""Predicate -> what it says of a study; the first argument is a :class:`Study`. Some predicates are about the paper's
own numbers, and have none."""


def _on_paper(function: Callable[..., Published]) -> Callable[..., Published]:
    ON_PAPER[function.__name__] = function
    return function


def _on_study(name: str) -> Callable[[Callable[..., Reproduced]], Callable[..., Reproduced]]:
    def register(function: Callable[..., Reproduced]) -> Callable[..., Reproduced]:
        ON_STUDY[name] = function
        return function

    return register


# Scores: one cell, or a weighted sum of cells


@_on_paper
def exceeds(paper: Paper, terms: Mapping[str, Any], each: Mapping[str, Sequence] | None = None) -> Published:
    """Tell whether a weighted sum of cells is above zero in every case.

    Args:
        paper: the published numbers.
        terms: cell address -> weight (a number or a text such as `1/3`); `{name}` in an address is filled in from `each`.
        each: name -> values; every combination is one case.
    """
    found = []
    for case in _cases(terms, each):
        found.append((sum(weight * paper.value(cell) for cell, weight in case.items()), case))
    value, case = min(found, key=lambda item: item[0])
    failing = sum(value <= 0 for value, _ in found)
    shown = _written(case, paper)
    if failing:
        are = "is" if failing == 1 else "are"
        count = f"{failing} of {len(found)} differences {are} not above 0, the lowest" if len(found) > 1 else "it is"
        return Published(CONTRADICTED, f"{count} {_signed(value)}: {shown}.")
    count = f"all {len(found)} differences are above 0, the smallest" if len(found) > 1 else "the difference is"
    return Published(HOLDS, f"{count} {_signed(value)}: {shown}.")


@_on_study("exceeds")
def _(study: Study, terms: Mapping[str, Any], each: Mapping[str, Sequence] | None = None) -> Reproduced:
    cases = [(_named(case), case, 0.0, math.inf) for case in _cases(terms, each)]
    return _judged(study, cases)


@_on_paper
def printed(paper: Paper, cells: Mapping[str, str]) -> Published:
    """Tell whether numbers of the text are those of the tables.

    Args:
        paper: the published numbers.
        cells: cell address -> the number as the text has it, a text that keeps its last zeros.
    """
    read = [(Cell.parse(address), text) for address, text in cells.items()]
    wrong = [(cell, text) for cell, text in read if paper.value(cell) != Fraction(text)]
    if wrong:
        parts = (f"{text} in the text is {_plain(paper.value(cell))} in the table" for cell, text in wrong)
        return Published(CONTRADICTED, f"{', '.join(parts)} ({wrong[0][0].arm}, {wrong[0][0].setting}).")
    numbers = ", ".join(f"{cell.metric} {text}" for cell, text in read)
    return Published(
        HOLDS, f"the table prints the same: {numbers} ({', '.join(dict.fromkeys(c.arm for c, _ in read))})."
    )


@_on_study("printed")
def _(study: Study, cells: Mapping[str, str]) -> Reproduced:
    cases = []
    for address, text in cells.items():
        cell, half = Cell.parse(address), 0.5 * 10.0 ** -len(text.partition(".")[2])
        name = f"{_named({cell: Fraction(1)})}, where {text} is claimed"
        cases.append((name, {cell: Fraction(1)}, float(text) - half, float(text) + half))
    return _judged(study, cases)


@_on_paper
def within(
    paper: Paper,
    cells: str,
    each: Mapping[str, Sequence] | None = None,
    at_least: str | None = None,
    at_most: str | None = None,
) -> Published:
    """Tell whether every cell lies between two numbers, either of which may be absent."""
    low, high = _bounds(at_least, at_most)
    values = {cell: paper.value(cell) for case in _cases({cells: 1}, each) for cell in case}
    outside = {cell: value for cell, value in values.items() if not low <= value <= high}
    span = f"{_plain(min(values.values()))} to {_plain(max(values.values()))}"
    if outside:
        worst = max(outside, key=lambda cell: max(low - outside[cell], outside[cell] - high))
        return Published(
            CONTRADICTED,
            f"{len(outside)} of {len(values)} values lie outside, as {_plain(outside[worst])} "
            f"({worst.arm}, {worst.setting}); they are {span}.",
        )
    return Published(HOLDS, f"all {len(values)} values are {span}.")


@_on_study("within")
def _(
    study: Study,
    cells: str,
    each: Mapping[str, Sequence] | None = None,
    at_least: str | None = None,
    at_most: str | None = None,
) -> Reproduced:
    low, high = _bounds(at_least, at_most)
    claimed = (
        f"{at_least} to {at_most}"
        if at_least and at_most
        else f"at {'least' if at_least else 'most'} {at_least or at_most}"
    )
    return _judged(
        study,
        [
            (f"{_named(case)}, where {claimed} is claimed", case, float(low), float(high))
            for case in _cases({cells: 1}, each)
        ],
    )


@_on_paper
def ranges(paper: Paper, cells: str, lowest: str, highest: str, each: Mapping[str, Sequence]) -> Published:
    """Tell whether the smallest and the largest of some cells are two given numbers."""
    values = {cell: paper.value(cell) for case in _cases({cells: 1}, each) for cell in case}
    low, high = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    wrong = [
        f"the {word} is {_plain(values[cell])} at {cell.magnification}X, not {text}"
        for word, cell, text in (("lowest", low, lowest), ("highest", high, highest))
        if values[cell] != Fraction(text)
    ]
    if wrong:
        return Published(CONTRADICTED, f"{' and '.join(wrong)} ({low.arm}, {low.metric}, Table {low.table}).")
    return Published(HOLDS, f"{lowest} at {low.magnification}X to {highest} at {high.magnification}X.")


@_on_study("ranges")
def _(study: Study, cells: str, lowest: str, highest: str, each: Mapping[str, Sequence]) -> Reproduced:
    return ON_STUDY["within"](study, cells, each, lowest, highest)


@_on_paper
def steadier(paper: Paper, first: Sequence[str], second: Sequence[str], over: str, table: int = 4) -> Published:
    """Tell whether the accuracy of each arm of `first` varies less than that of each arm of `second`.

    Args:
        paper: the published numbers.
        first: arms, `MODEL/MODE`.
        second: arms.
        over: `folds`: the standard deviation, compared at each magnification; `magnifications`: the range of the means.
        table: 4 or 5.
    """

    def spreads(arm: str) -> dict[str, Fraction]:
        cells = [Cell.parse(f"table{table} {arm} {number}x accuracy") for number in paper.images("total")]
        if over == "folds":
            return {f" at {cell.magnification}X": Fraction(paper.row(cell)["accuracy_std"]) for cell in cells}
        values = [paper.value(cell) for cell in cells]
        return {"": max(values) - min(values)}

    pairs = [
        (mine, theirs[place], one, other, place)
        for one in first
        for other in second
        for theirs in [spreads(other)]
        for place, mine in spreads(one).items()
    ]
    failing = sum(mine >= theirs for mine, theirs, *_ in pairs)
    mine, theirs, one, other, place = max(pairs, key=lambda pair: pair[0] - pair[1])
    shown = f"{one} {_plain(mine)} against {other} {_plain(theirs)}{place}"
    what = "standard deviation over folds" if over == "folds" else "range over magnifications"
    if failing:
        return Published(
            CONTRADICTED, f"the {what} is not the smaller one in {failing} of {len(pairs)} comparisons: {shown}."
        )
    return Published(HOLDS, f"the {what} is the smaller one in all {len(pairs)} comparisons, the closest {shown}.")


@_on_study("steadier")
def _(study: Study, first: Sequence[str], second: Sequence[str], over: str, table: int = 4) -> Reproduced:
    def spread(arm: str) -> float:
        cells = [Cell.parse(f"table{table} {arm} {number}x accuracy") for number in (40, 100, 200, 400)]
        if over == "folds":
            return math.sqrt(np.mean([study.deviation(cell) ** 2 for cell in cells]))
        return float(np.ptp([study.mean(cell) for cell in cells]))

    mine, theirs = {arm: spread(arm) for arm in first}, {arm: spread(arm) for arm in second}
    one, other = max(mine, key=mine.__getitem__), min(theirs, key=theirs.__getitem__)
    what = "root mean square deviation over folds" if over == "folds" else "range over magnifications"
    return Reproduced(
        UNDECIDED,
        f"the {what} of accuracy is at most {mine[one]:.4f} ({one}) against at least {theirs[other]:.4f} ({other}), "
        "but has no interval here.",
        Estimate(theirs[other] - mine[one], math.nan, math.nan),
    )


@_on_paper
def fold_deviations(
    paper: Paper, arms: Sequence[str], reference: Sequence[str], largest: str, folds: int = 5
) -> Published:
    """Tell whether standard deviations over folds reach what folds of patients give, or look like folds of images.

    The accuracy of n independent images has a binomial deviation of sqrt(a (1 - a) / n), here with n a fold's share of
    Table 1. Images of one patient are alike, so that folds of patients deviate more.

    Args:
        paper: the published numbers.
        arms: `MODEL/MODE`.
        reference: lowest and highest deviation of accuracy in published patient-level studies of BreakHis.
        largest: the largest deviation of the paper, which a study's is held against.
        folds: number of folds.
    """
    images = paper.images("total")
    rows = [row for table in ALL for row in paper.tables[table] if f"{row['model']}/{row['mode']}" in arms]
    deviations = [Fraction(row["accuracy_std"]) for row in rows]
    binomial = [
        math.sqrt(mean * (1 - mean) * folds / images[row["magnification"]])
        for row in rows
        for mean in [float(row["accuracy_mean"])]
    ]
    ratios = [float(deviation) / expected for deviation, expected in zip(deviations, binomial, strict=True)]
    below = sum(deviation < Fraction(reference[0]) for deviation in deviations)
    return Published(
        CONTRADICTED if below == len(rows) else HOLDS,
        f"{below} of {len(rows)} deviations of accuracy ({_plain(min(deviations), 3)} to {_plain(max(deviations), 3)}) "
        f"are below the {reference[0]} to {reference[1]} of patient-level folds; they are {min(ratios):.2f} to "
        f"{max(ratios):.2f} times (mean {np.mean(ratios):.2f}) the binomial deviation of independent images.",
    )


@_on_study("fold_deviations")
def _(study: Study, arms: Sequence[str], reference: Sequence[str], largest: str, folds: int = 5) -> Reproduced:
    """Ask whether the study's folds deviate as little as the paper's.

    The effect is the root mean square deviation of accuracy over the arms of Table 4; arms share their folds, so the
    chi-square interval has no more degrees of freedom than one arm alone, folds - 1.
    """
    from scipy.special import chdtri

    rows = [
        row
        for row in study.unaugmented()
        if f"{study.names.get(row['model'])}/{row['mode']}" in arms and row["accuracy_std"]
    ]
    if not rows:
        raise NotRun("the study has none of these arms with a deviation over folds")
    freedom = min(int(row["folds"]) for row in rows) - 1
    value = math.sqrt(np.mean([float(row["accuracy_std"]) ** 2 for row in rows]))
    low, high = (value * math.sqrt(freedom / float(chdtri(freedom, tail))) for tail in (0.025, 0.975))
    estimate = Estimate(value, low, high)
    return Reproduced(
        _verdict([_side(estimate, 0.0, float(largest))]),
        f"deviation of accuracy over {freedom + 1} folds, root mean square of {len(rows)} cells, against at most {largest} "
        "in the paper.",
        estimate,
    )


# P-values


@_on_paper
def significant(
    paper: Paper,
    pairs: Sequence[Sequence[str]],
    metrics: Sequence[str],
    below: str | None = None,
    at_most: str | None = None,
    test_pairs: int = 5,
    magnification: int = 200,
) -> Published:
    """Tell whether p-values of Table 7 are what the text says, and whether a signed-rank test could give them.

    Args:
        paper: the published numbers.
        pairs: the arm said to be better, then the other, both `MODEL/MODE`.
        metrics: of accuracy, f1 and auc.
        below: exclusive bound of p.
        at_most: inclusive bound of p.
        test_pairs: number of pairs (folds) that the test was applied to.
        magnification: for the study; Table 7 has 200X alone.
    """
    bound = below or at_most or "1"
    values = [_p_value(paper, pair, metric) for pair in pairs for metric in metrics]
    wrong = [value for value in values if value > Fraction(bound) or (below and value == Fraction(bound))]
    floor = signed_rank_p_values(test_pairs)[0]
    unattainable = (
        f"the exact two-sided signed-rank test on {test_pairs} pairs has no p-value below {float(floor):g}"
        if floor > max(values)
        else ""
    )
    span = f"{_plain(min(values), 3)} to {_plain(max(values), 3)}" if len(values) > 1 else _plain(values[0], 3)
    relation = f"below {below}" if below else f"at most {at_most}"
    if wrong:
        are = "is" if len(wrong) == 1 else "are"
        text = f"{len(wrong)} of {len(values)} printed p-values {are} not {relation} (largest {_plain(max(values), 3)})"
        return Published(CONTRADICTED, f"{text}; {unattainable}." if unattainable else f"{text}.")
    if unattainable:
        return Published(IMPOSSIBLE, f"printed {span}, {relation}, but {unattainable}.")
    return Published(HOLDS, f"printed {span}, {relation}.")


@_on_study("significant")
def _(
    study: Study,
    pairs: Sequence[Sequence[str]],
    metrics: Sequence[str],
    below: str | None = None,
    at_most: str | None = None,
    test_pairs: int = 5,
    magnification: int = 200,
) -> Reproduced:
    """Ask whether the differences themselves are above zero: intervals say so without the test's floor."""
    cases = []
    for better, worse in pairs:
        for metric in metrics:
            cells = (Cell.parse(f"table4 {arm} {magnification}x {metric}") for arm in (better, worse))
            case = dict(zip(cells, (Fraction(1), Fraction(-1)), strict=True))
            cases.append((_named(case), case, 0.0, math.inf))
    found = _judged(study, cases)
    return replace(found, evidence=f"the differences, whatever their p-values: {found.evidence}")


@_on_paper
def signed_rank(paper: Paper, pairs: int = 5) -> Published:
    """Tell whether the p-values of Table 7 can come from a Wilcoxon signed-rank test on `pairs` pairs.

    The exact p-values are those of :func:`signed_rank_p_values`; ties or zero differences only make them coarser. The
    normal approximation is smallest when all differences have one sign; its variance is n (n + 1) (2n + 1) / 24, less
    (n^3 - n) / 48 when all are of one size (Hollander, Wolfe and Chicken 2014, Nonparametric Statistical Methods, 3.1).
    """
    values = [Fraction(row[f"{metric}_p"]) for row in paper.tables[7] for metric in ("accuracy", "f1", "auc")]
    exact = signed_rank_p_values(pairs)
    step = Fraction(math.gcd(*(value.numerator * 2**pairs // value.denominator for value in exact)), 2**pairs)
    mean, variance = pairs * (pairs + 1) / 4, pairs * (pairs + 1) * (2 * pairs + 1) / 24
    normal, tied = (
        math.erfc(mean / math.sqrt(2 * spread)) for spread in (variance, variance - (pairs**3 - pairs) / 48)
    )
    attained = [value for value in values if any(abs(value - p) <= Fraction(1, 2000) for p in exact)]
    below = sum(value < tied for value in values)
    span = f"{_plain(min(values), 3)} to {_plain(max(values), 3)}"
    return Published(
        HOLDS if len(attained) == len(values) else IMPOSSIBLE,
        f"{len(attained)} of {len(values)} printed p-values ({span}) are attainable: on {pairs} pairs the exact two-sided "
        f"p is a multiple of {float(step):g}, the one-sided at least {float(exact[0] / 2):g}, that of the normal "
        f"approximation at least {normal:.4f} ({tied:.4f} if all differences were equal, and {below} are smaller still).",
    )


def signed_rank_p_values(pairs: int) -> list[Fraction]:
    """Return every two-sided p-value that the exact signed-rank test on `pairs` untied pairs can give, ascending.

    Under the null all 2^n patterns of signs are equally likely; p is twice the smaller tail of the rank sum, at most 1.
    """
    sums = [sum(ranks) for size in range(pairs + 1) for ranks in itertools.combinations(range(1, pairs + 1), size)]
    tails = {total: sum(other <= total for other in sums) for total in sums}
    return sorted({min(Fraction(2 * count, 2**pairs), Fraction(1)) for count in tails.values()})


# Whether printed scores can belong together


@_on_paper
def f1_agrees(paper: Paper, tables: Sequence[int], folds: int = 5) -> Published:
    """Tell whether each mean F1 can belong to the mean precision and recall beside it.

    In every fold F1 = 2pr / (p + r) = s/2 - d^2 / 2s with s = p + r and d = p - r. This is concave in (p, r), so its
    mean over folds is at most that of the mean p and r (Jensen). And it is at least S/2 - E[d^2] / (2 s_min), where
    E[d^2] <= D^2 + (sd_p + sd_r)^2 (k - 1) / k, and no s of k folds is farther than (k - 1) / sqrt(k) sample deviations
    below its mean S (Samuelson 1968). Means may be off by half a unit of their last digit, deviations likewise.
    """
    faults, rows = [], [(table, row) for table in tables for row in paper.tables[table]]
    for table, row in rows:
        (p, p_sd), (r, r_sd), (f1, _) = (_spread(row, metric) for metric in ("precision", "recall", "f1"))
        total, gap, spread = p + r, p - r, p_sd + r_sd
        upper = 2 * p * r / total + 1e-4
        square = (abs(gap) + 1e-4) ** 2 + spread**2 * (folds - 1) / folds
        smallest = max(total - (folds - 1) / math.sqrt(folds) * spread, 1e-9)
        lower = total / 2 - square / (2 * smallest) - 1e-4
        if f1 > upper:
            bound = f"{total / 2:.5f}, the mean" if f1 > total / 2 else f"{upper - 1e-4:.5f}, the harmonic mean"
            faults.append(
                f"F1 {f1:.4f} exceeds {bound} of precision {p:.4f} and recall {r:.4f}, its most ({_row_name(row, table)})"
            )
        elif f1 < lower:
            faults.append(
                f"F1 {f1:.4f} is below {lower:.4f}, the least that precision {p:.4f} and recall {r:.4f} "
                f"allow ({_row_name(row, table)})"
            )
    if faults:
        return Published(IMPOSSIBLE, f"in {len(faults)} of {len(rows)} rows: {'; '.join(faults[:2])}.")
    return Published(HOLDS, f"in all {len(rows)} rows F1 is what precision and recall allow.")


@_on_paper
def accuracy_agrees(
    paper: Paper, tables: Sequence[int], malignant_share: str | None = None, folds: int = 5, draws: int = 10_000
) -> Published:
    """Tell whether each mean accuracy can belong to the mean precision and recall beside it, given the class balance.

    With a share q of malignant images, the errors of a fold are q (1 - r) missed and q r (1 - p) / p false calls of all
    images, so that accuracy = 1 - q e with e = 1 - 2r + r/p. Averaging over folds leaves 1 - Q (1 - 2R + R/P) plus
    terms that are bounded here (population deviations s, and p_min as for :func:`f1_agrees`):

    - of r/p: |cov(r, 1/p)| <= s_r s_p / p_min^2, and 0 <= E[1/p] - 1/P <= s_p^2 / (p_min P^2);
    - of folds whose balance differs: |cov(q, e)| <= s_q s_e with s_e <= s_r + s_p / p_min^2 (p > 1/3), and |E[q] - Q| times e;
      both of q are the largest that occur in `draws` random assignments of the patients to folds, each class spread
      evenly (seed 0);
    - of rounding: half a unit of the last digit.

    Args:
        paper: the published numbers.
        tables: of 4, 5 and 6.
        malignant_share: the same in every fold, as in an external test; absent: as in Table 1.
        folds: number of folds.
        draws: number of random assignments.
    """
    counts, total = paper.images("malignant"), paper.images("total")
    balance = {} if malignant_share else fold_balance(paper, folds, draws)
    excess, equal, patient, alike = [], 0, 0, []
    rows = [(table, row) for table in tables for row in paper.tables[table]]
    for _, row in rows:
        (p, p_sd), (r, r_sd), (accuracy, _) = (_spread(row, metric) for metric in ("precision", "recall", "accuracy"))
        size = row.get("magnification", "")
        share = float(Fraction(malignant_share)) if malignant_share else counts[size] / total[size]
        spread, shift = balance.get(size, (0.0, 0.0))
        least = max(p - (folds - 1) / math.sqrt(folds) * p_sd, 1e-9)
        p_sd, r_sd = (deviation * math.sqrt((folds - 1) / folds) for deviation in (p_sd, r_sd))
        error = 1 - 2 * r + r / p
        curved = r_sd * p_sd / least**2 + r * p_sd**2 / (least * p**2)
        rounded = 5e-5 * (1 + share * (abs(2 - 1 / p) + r / p**2))
        allowed = share * curved + rounded
        unequal = allowed + spread * (r_sd + p_sd / least**2) + shift * (error + curved)
        difference = accuracy - (1 - share * error)
        excess.append(difference)
        alike.append(allowed)
        equal += abs(difference) > allowed
        patient += abs(difference) > unequal
    above = sum(value > 0 for value in excess)
    if len(rows) <= 2:
        parts = (
            f"{row['accuracy_mean']} where precision and recall imply {float(row['accuracy_mean']) - value:.4f} "
            f"({_row_name(row, table)})"
            for (table, row), value in zip(rows, excess, strict=True)
        )
        evidence = f"{'; '.join(parts)}; folds allow {max(alike):.4f} at most."
    else:
        direction = f"accuracy exceeds what precision, recall and class balance imply in {above} of {len(rows)} rows"
        evidence = (
            f"{direction} (by {min(excess):.4f} to {max(excess):.4f}), in {equal} by more than folds of equal balance "
            f"allow (at most {max(alike):.4f})"
        ) + (f", in {patient} by more than any of {draws:,} random patient-level folds allow." if balance else ".")
    return Published(IMPOSSIBLE if patient else HOLDS, evidence)


def fold_balance(paper: Paper, folds: int, draws: int, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Return how unequal folds of patients are: for each magnification two extremes over random assignments.

    Each class's patients are spread evenly over the folds. The extremes are the largest population deviation of the
    folds' malignant shares, and the largest distance of their mean from the share of all images.

    Args:
        paper: with the census of patients.
        folds: number of folds.
        draws: number of random assignments.
        seed: of the generator.
    """
    if not paper.patients:
        raise NotPublished("there is no census of patients")
    generator = np.random.default_rng(seed)
    sums = []
    for malignant in (False, True):
        images = np.array([patient.images for patient in paper.patients if patient.malignant == malignant])
        places = generator.random((draws, len(images)), np.float32).argsort(axis=1) % folds
        sums.append(np.stack([(places == fold).astype(np.float32) @ images for fold in range(folds)], axis=1))
    shares = sums[1] / (sums[0] + sums[1])  # draws x folds x magnifications
    whole = sums[1].sum(axis=1)[0] / (sums[0] + sums[1]).sum(axis=1)[0]
    spread, shift = shares.std(axis=1).max(axis=0), abs(shares.mean(axis=1) - whole).max(axis=0)
    return {name: (float(a), float(b)) for name, a, b in zip(paper.images("total"), spread, shift, strict=True)}


@_on_paper
def auc_of_scores(paper: Paper, arm: str) -> Published:
    """Tell whether an AUC of Table 6 differs from the accuracy beside it.

    Computed from hard labels instead of scores, the AUC is (sensitivity + specificity) / 2, which on a balanced set is
    the accuracy.
    """
    accuracy, auc = (paper.value(Cell.parse(f"table{EXTERNAL} {arm} {metric}")) for metric in ("accuracy", "auc"))
    if abs(accuracy - auc) <= Fraction(1, 10_000):
        return Published(
            NOT_CHECKABLE,
            f"AUC {_plain(auc)} and accuracy {_plain(accuracy)} coincide, as they do when AUC is computed from hard labels "
            "on a balanced set; the tables cannot tell.",
        )
    return Published(HOLDS, f"AUC {_plain(auc)} is not the accuracy {_plain(accuracy)}.")


# The dataset


@_on_paper
def counts(paper: Paper, images: int, benign: int, malignant: int) -> Published:
    """Tell whether the rows of Table 1 add up to its totals, and these to the text's."""
    wanted = {"total": images, "benign": benign, "malignant": malignant}
    sums = {column: sum(paper.images(column).values()) for column in (*wanted, "train", "test")}
    last = next(row for row in paper.tables[1] if row["magnification"] == "total")
    wrong = [name for name, total in sums.items() if {int(last[name]), wanted.get(name, total)} != {total}]
    text = ", ".join(f"{column} {sums[column]}" for column in wanted)
    if wrong:
        return Published(
            CONTRADICTED, f"the rows of Table 1 add up to {text}, which is not what {wrong[0]} is said to be."
        )
    return Published(HOLDS, f"the rows of Table 1 add up to {text}.")


@_on_paper
def class_ratio(paper: Paper, malignant_per_benign: str) -> Published:
    """Tell whether there are so many malignant images per benign one, to the last digit."""
    malignant, benign = (sum(paper.images(column).values()) for column in ("malignant", "benign"))
    half = Fraction(1, 2 * 10 ** len(malignant_per_benign.partition(".")[2]))
    fits = abs(Fraction(malignant, benign) - Fraction(malignant_per_benign)) <= half
    return Published(HOLDS if fits else CONTRADICTED, f"{malignant} / {benign} = {malignant / benign:.3f}.")


@_on_paper
def patient_count(paper: Paper, patients: int) -> Published:
    """Tell whether the archive holds so many patients, that is distinct slide ids."""
    if not paper.patients:
        raise NotPublished("there is no census of patients")
    slides = [patient.slide for patient in paper.patients]
    accessions = {patient.accession for patient in paper.patients}
    double = sorted({slide for slide in slides if slides.count(slide) > 1})
    twice = f" ({', '.join(double)} occurs under two subtypes)" if double else ""
    return Published(
        HOLDS if len(set(slides)) == patients else CONTRADICTED,
        f"the archive has {len(slides)} pairs of subtype and slide, {len(set(slides))} slides{twice} "
        f"and {len(accessions)} accession numbers.",
    )


@_on_paper
def split_sizes(paper: Paper, train_share: str) -> Published:
    """Tell whether the training sets of Table 1 are this share of the images, to the nearest image."""
    total, train, test = (paper.images(column) for column in ("total", "train", "test"))
    exact = _exact_sizes(total, train, train_share)
    adds_up = all(train[size] + test[size] == total[size] for size in total)
    return Published(
        HOLDS if exact == len(total) and adds_up else CONTRADICTED,
        f"train is the whole number nearest to {train_share} n at {exact} of {len(total)} magnifications.",
    )


@_on_paper
def split_of_patients(
    paper: Paper, train_share: str, fewest: int, most: int, draws: int = 2_000_000, seed: int = 0
) -> Published:
    """Tell whether Table 1 looks like a split of images rather than of patients.

    Any given set of sizes is rare among splits of patients. But sizes that equal round(share x n) at every magnification
    are what a split of images gives every time, and a split of patients only by chance; how rarely is counted here.
    Patients go to the training side independently with probability `train_share`; draws with fewer than `fewest` or
    more than `most` of them are drawn again. Given its size, each set of patients is then equally likely.

    Args:
        paper: the published numbers, with the census of patients.
        train_share: of the patients.
        fewest: smallest number of patients on the training side.
        most: largest number.
        draws: number of random splits.
        seed: of the generator.
    """
    total, train = paper.images("total"), paper.images("train")
    exact = _exact_sizes(total, train, train_share)
    hits, near = patient_splits(paper, float(train_share), (fewest, most), draws, seed)
    evidence = (
        f"train is round({train_share} n) at {exact} of {len(total)} magnifications, as a split of images gives; {hits} of "
        f"{draws:,} random splits of patients ({fewest} to {most} of {len(paper.patients)} in train, seed {seed}) have "
        f"these sizes, and {near} come within 3 images at every magnification."
    )
    return Published(CONTRADICTED if exact == len(total) and hits < draws / 1000 else NOT_CHECKABLE, evidence)


def patient_splits(
    paper: Paper, share: float, size: tuple[int, int], draws: int, seed: int, near: int = 3
) -> tuple[int, int]:
    """Return how many random patient-level splits have the training sizes of Table 1, exactly and within `near` images."""
    if not paper.patients:
        raise NotPublished("there is no census of patients")
    images = np.array([patient.images for patient in paper.patients], np.float32)  # exact: all sums are below 2^24
    wanted = np.array(list(paper.images("train").values()), np.float32)
    generator = np.random.default_rng(seed)
    drawn = exact = close = 0
    while drawn < draws:
        chosen = generator.random((100_000, len(images)), np.float32) < share
        members = chosen.sum(axis=1)
        chosen = chosen[(members >= size[0]) & (members <= size[1])][: draws - drawn]
        distance = abs(chosen.astype(np.float32) @ images - wanted).max(axis=1)
        drawn, exact, close = (
            drawn + len(chosen),
            exact + int((distance == 0).sum()),
            close + int((distance <= near).sum()),
        )
    return exact, close


@_on_paper
def all_partitions(paper: Paper, patients: int, folds: int) -> Published:
    """Tell whether cross-validation tests every set of patients that a fold could hold."""
    sets = math.comb(patients, patients // folds)
    return Published(
        HOLDS if sets <= folds else CONTRADICTED,
        f"{folds} folds test {folds} of the {sets:.1e} sets of {patients // folds} of {patients} patients.",
    )


# Models and recipes


@_on_paper
def configured(paper: Paper, models: Sequence[str], key: str, value: int) -> Published:
    """Tell whether the published configuration of each model has this value, for example at `vision_config.patch_size`."""
    found = {}
    for model in models:
        part: Any = paper.models.get(model, {})
        for name in key.split("."):
            part = part.get(name, {})
        if part == {}:
            raise NotPublished(f"the configuration of {model} is not at hand or has no {key}")
        found[model] = part
    right = all(number == value for number in found.values())
    text = ", ".join(f"{number} in {model}" for model, number in found.items())
    return Published(HOLDS if right else CONTRADICTED, f"the true {key} is {text}.")


@_on_paper
def trainable(paper: Paper, arms: Sequence[str], at_least: str | None = None, at_most: str | None = None) -> Published:
    """Tell whether LoRA on the decoder's attention trains so many parameters.

    A matrix from m to n features gets rank x (m + n) parameters (Hu et al. 2022); q, k, v and o of every layer are
    adapted, and the head adds one weight per feature and a bias. The rank is that of Table 3.

    Args:
        paper: the published numbers and the models' configurations.
        arms: `MODEL/MODE`.
        at_least: fewest parameters, in millions.
        at_most: most, in millions.
    """
    low, high = _bounds(at_least, at_most)
    numbers = {arm: _lora_parameters(paper, arm.partition("/")[0]) for arm in arms}
    inside = all(low <= Fraction(number, 1_000_000) <= high for number in numbers.values())
    text = " and ".join(f"{number:,} in {arm}" for arm, number in numbers.items())
    return Published(HOLDS if inside else CONTRADICTED, f"rank {paper.hyperparameter('Rank r')} gives {text}.")


@_on_study("trainable")
def _(study: Study, arms: Sequence[str], at_least: str | None = None, at_most: str | None = None) -> Reproduced:
    low, high = _bounds(at_least, at_most)
    numbers = {arm: study.trainable(*arm.split("/")) for arm in arms}
    millions = {arm: number / 1e6 for arm, number in numbers.items()}
    sides = {arm: _side(Estimate(*[value] * 3), float(low), float(high)) for arm, value in millions.items()}
    verdict = _verdict(list(sides.values()))
    arm = next((arm for arm, side in sides.items() if side < 0), arms[0])
    text = " and ".join(f"{number:,} in {arm}" for arm, number in numbers.items())
    return Reproduced(verdict, f"counted exactly: {text} (effect in millions).", Estimate(*[millions[arm]] * 3))


@_on_paper
def model_sizes(paper: Paper, smallest: str, lowest: str, highest: str) -> Published:
    """Tell whether Table 2's models have from `lowest` to `highest` million parameters, and which has fewest."""
    sizes = {row["model"]: Fraction(row["parameters_millions"]) for row in paper.tables[2]}
    least = min(sizes, key=sizes.__getitem__)
    right = (least, sizes[least], max(sizes.values())) == (smallest, Fraction(lowest), Fraction(highest))
    text = ", ".join(f"{model} {_plain(size, 1)}" for model, size in sizes.items())
    return Published(HOLDS if right else CONTRADICTED, f"Table 2: {text} million.")


@_on_paper
def product(paper: Paper, factors: Sequence[int], result: str, unit: int = 1) -> Published:
    """Tell whether numbers multiply to a result, to its last digit, in units of `unit`."""
    value = Fraction(math.prod(factors), unit)
    half = Fraction(1, 2 * 10 ** len(result.partition(".")[2]))
    right = abs(value - Fraction(result)) < half
    return Published(HOLDS if right else CONTRADICTED, f"{' x '.join(map(str, factors))} = {math.prod(factors):,}.")


@_on_paper
def crop_scale(paper: Paper, scale: Sequence[str]) -> Published:
    """Tell whether a crop can have these shares of an image's area."""
    largest = max(map(Fraction, scale))
    if largest > 1:
        return Published(IMPOSSIBLE, f"a crop of {_plain(largest, 1)} times the area is larger than the image.")
    return Published(HOLDS, "no crop is larger than the image.")


@_on_paper
def always_augmented(paper: Paper) -> Published:
    """Tell whether there are no results of training without augmentation."""
    keys = ("model", "mode", "magnification")
    with_it = {tuple(row[key] for key in keys): row for row in paper.tables[5]}
    both = [row for row in paper.tables[4] if tuple(row[key] for key in keys) in with_it]
    differ = sum(row != with_it[tuple(row[key] for key in keys)] for row in both)
    return Published(
        CONTRADICTED if differ else HOLDS,
        f"{differ} of {len(both)} rows have one result without augmentation (Table 4) and another with it (Table 5).",
    )


@_on_paper
def not_checkable(paper: Paper, reason: str) -> Published:
    """Say why the tables cannot tell."""
    return Published(NOT_CHECKABLE, f"{reason}.")


@_on_study("not_checkable")
def _(study: Study, reason: str) -> Reproduced:
    raise NotRun(reason)


# Shared


def _cases(terms: Mapping[str, Any], each: Mapping[str, Sequence] | None) -> Iterator[Terms]:
    """Yield the weighted sum of each combination of the values of `each`."""
    each = each or {}
    for values in itertools.product(*each.values()):
        names = dict(zip(each, values, strict=True))
        try:
            filled = {Cell.parse(address.format_map(names)): Fraction(weight) for address, weight in terms.items()}
        except KeyError as error:
            raise ValueError(f"`each` gives no values for {{{error.args[0]}}}") from None
        if len(filled) < len(terms):
            raise ValueError("two terms are the same cell")
        yield filled


def _bounds(low: str | None, high: str | None) -> tuple[Fraction | float, Fraction | float]:
    return (-math.inf if low is None else Fraction(low)), (math.inf if high is None else Fraction(high))


def _named(terms: Terms) -> str:
    """Return a sum of cells in words, for example `ResNet34/ft over SmolVLM/ft (accuracy, 200X, Table 4)`."""
    if len(terms) > 4:
        sizes = dict.fromkeys(f"{cell.magnification}X" for cell in terms if cell.magnification)
        return f"a sum of {len(terms)} cells at {', '.join(sizes)}"
    first, second = ([cell for cell, weight in terms.items() if sign * weight > 0] for sign in (1, -1))
    settings = {cell.setting for cell in terms}
    setting = f" ({settings.pop()})" if len(settings) == 1 else ""
    mine, theirs = (
        " and ".join(cell.arm if setting else f"{cell.arm} ({cell.setting})" for cell in side)
        for side in (first, second)
    )
    return f"{mine} over {theirs}{setting}" if second else f"{mine}{setting}"


def _written(terms: Terms, paper: Paper) -> str:
    """Return a sum of cells with its numbers; the longer ones without them."""
    if len(terms) > 4:
        return _named(terms)
    if len(terms) > 2:
        parts = (f"{'+' if weight > 0 else '−'} {_plain(paper.value(cell))}" for cell, weight in terms.items())
        return f"{' '.join(parts).removeprefix('+ ')}, {_named(terms)}"
    (first, _), (second, _) = sorted(terms.items(), key=lambda item: -item[1])
    if first.setting == second.setting:
        return f"{first.arm} {_plain(paper.value(first))} against {second.arm} {_plain(paper.value(second))} ({first.setting})"
    one, other = (f"{_plain(paper.value(cell))} ({cell.setting})" for cell in (first, second))
    return f"{first.arm} {one} against {'' if first.arm == second.arm else second.arm + ' '}{other}"


class _Case(NamedTuple):
    """A case of a claim as a study has it, in the order of how much it speaks against the claim."""

    spared: bool
    """The widened interval is not wholly outside."""
    side: int
    margin: float
    name: str
    estimate: Estimate


def _judged(study: Study, cases: Sequence[tuple[str, Terms, float, float]]) -> Reproduced:
    """Apply the module's decision rule to cases: name, weighted sum of cells, lower and upper end of the claimed region."""
    known, missing = [], []
    for name, terms, low, high in cases:
        try:
            estimate = study.estimate(terms)
        except NotRun as error:
            missing.append(str(error))
            continue
        widened = estimate.widened(len(cases)) if len(cases) > 1 else estimate
        margin = _margin(estimate, low, high)
        known.append(_Case(_side(widened, low, high) != -1, _side(estimate, low, high), margin, name, estimate))
    inside, outside = (sum(case.side == side for case in known) for side in (1, -1))
    surely = sum(not case.spared for case in known)
    # One case surely outside contradicts, whatever the missing ones would say; support takes all.
    if missing and not surely:
        part = f"{len(missing)} of {len(cases)} cases: " if len(cases) > 1 else ""
        raise NotRun(f"{part}{missing[0]}")
    verdict = CONTRADICTED if surely else SUPPORTED if inside == len(cases) else UNDECIDED
    shown = min(known, key=lambda case: case[:3])
    if len(cases) == 1:
        return Reproduced(verdict, f"{shown.name}.", shown.estimate)
    text = f"of {len(known)} intervals {inside} are inside the claim and {outside} outside"
    if outside:
        text += f", {surely} also when widened for {len(cases)} cases; farthest outside: {shown.name}."
    else:
        text += f"; closest: {shown.name}."
    return Reproduced(verdict, text, shown.estimate)


def _side(estimate: Estimate, low: float, high: float) -> int:
    """Return 1 where the interval is inside the region (its ends included, but for 0 and infinity), -1 outside, else 0."""
    if estimate.high < low or estimate.low > high:
        return -1
    inside = estimate.low >= low and estimate.high <= high
    return int(inside and not (low == 0 and estimate.low == 0))


def _margin(estimate: Estimate, low: float, high: float) -> float:
    """Return how far the interval is inside the region, or, negative, outside."""
    if _side(estimate, low, high) < 0:
        return -max(low - estimate.high, estimate.low - high)
    return min(estimate.low - low, high - estimate.high)


def _verdict(sides: Sequence[int]) -> str:
    """Return the verdict on exact numbers or a single interval."""
    if -1 in sides:
        return CONTRADICTED
    return UNDECIDED if 0 in sides else SUPPORTED


def _p_value(paper: Paper, pair: Sequence[str], metric: str) -> Fraction:
    models = {arm.partition("/")[0] for arm in pair}
    for row in paper.tables[7]:
        if {row["first"], row["second"]} == models:
            return Fraction(row[f"{metric}_p"])
    raise NotPublished(f"Table 7 does not compare {' and '.join(sorted(models))}")


def _spread(row: Mapping[str, str], metric: str) -> tuple[float, float]:
    """Return mean and deviation; the deviation, printed with three decimals, as large as it can be."""
    return float(row[f"{metric}_mean"]), float(row[f"{metric}_std"]) + 5e-4


def _row_name(row: Mapping[str, str], table: int) -> str:
    size = f" {row['magnification']}X" if "magnification" in row else ""
    return f"{row['model']}/{row['mode']}{size}, Table {table}"


def _exact_sizes(total: Mapping[str, int], train: Mapping[str, int], share: str) -> int:
    return sum(abs(train[size] - Fraction(share) * total[size]) <= Fraction(1, 2) for size in total)


def _lora_parameters(paper: Paper, model: str) -> int:
    text = paper.models.get(model, {}).get("text_config")
    if not text:
        raise NotPublished(f"the configuration of {model} is not at hand")
    hidden, heads, key_heads = (text[key] for key in ("hidden_size", "num_attention_heads", "num_key_value_heads"))
    head = text.get("head_dim", hidden // heads)
    q = o = hidden + heads * head
    k = v = hidden + key_heads * head
    return int(paper.hyperparameter("Rank r")) * (q + k + v + o) * text["num_hidden_layers"] + hidden + 1


def _plain(value: Fraction, digits: int = 4) -> str:
    return f"{float(value):.{digits}f}"


def _signed(value: Fraction | float) -> str:
    return f"{float(value):+.4f}".replace("-", "−")
