"""What the page opens with: the best arm of each setting, by how much it leads, and which published claims hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from histobench.report.page.cells import Cell, Row, RowCount, Source, View, fill, negated, shown, value_of
from histobench.report.terms import Texts, printed

PUBLISHED = ("holds", "contradicted", "impossible", "not checkable")
STUDY = ("supported", "contradicted", "undecided", "not run")
LEVEL = 0.05
"""Significance level of Holm's p."""
CAPTION = (
    "Accuracy of the pooled out-of-fold predictions with its 95 % interval; patients are resampled within their class. "
    "Differences are paired by patient. An arm is significantly worse if the interval of its difference excludes zero and "
    "Holm's p over all declared pairs is below 0.05."
)
NOTABLE = (
    ("Impossible", "published_verdict", "impossible", "published_evidence"),
    ("Contradicted by the paper's own tables", "published_verdict", "contradicted", "published_evidence"),
    ("Contradicted by this study", "study_verdict", "contradicted", "study_evidence"),
    ("Supported by this study", "study_verdict", "supported", "study_evidence"),
)
"""Title, column, verdict and column of the evidence of the claims to read first."""


@dataclass(frozen=True)
class Setting:
    """One magnification with one augmentation, and its arms in the order of pooled accuracy."""

    magnification: str
    augmentation: str
    arms: Sequence[int]
    """Rows of intervals.csv, best first."""


@dataclass(frozen=True)
class Winner:
    """The best arm of a setting compared with every other arm."""

    setting: Setting
    magnification: Cell
    arm: Cell
    accuracy: Cell
    second: Cell | None
    difference: Cell | None
    """First minus second with its interval; None where the pair was not compared."""
    holm: Cell | None
    tied: bool
    """Whether the second has the same pooled accuracy."""
    significant: bool
    """Whether the second is significantly worse."""
    worse: Sequence[str]
    """Arms that are significantly worse than the first."""
    similar: Sequence[str]
    """Arms that are not."""
    not_compared: Sequence[str]


def settings(intervals: Source, dataset: str, split: str) -> list[Setting]:
    """Return the settings of a dataset and split policy, last epoch: by augmentation as in the file, then magnification."""
    groups: dict[str, dict[str, list[int]]] = {}
    for index, row in enumerate(intervals.rows):
        place = (row["dataset"], row["split"], row["selection"], row["metric"])
        if place == (dataset, split, "last", "accuracy") and row["estimate"]:
            groups.setdefault(row["augmentation"], {}).setdefault(row["magnification"], []).append(index)
    return [
        Setting(magnification, augmentation, sorted(arms, key=lambda row: -_estimate(intervals, row)))
        for augmentation, magnifications in groups.items()
        for magnification, arms in sorted(magnifications.items(), key=lambda item: int(item[0]))
    ]


def winner(
    setting: Setting, intervals: Source, comparisons: Source | None, dataset: str, split: str, names: Mapping[str, str]
) -> Winner:
    """Return the best arm of a setting and how it compares with the others.

    An arm is significantly worse if the 95 % interval of the pooled difference excludes zero and Holm's p over all
    declared pairs is below 0.05. The interval alone is too little, since the first arm was chosen by its result.
    """
    first, *others = setting.arms
    place = (dataset, split, setting.magnification, setting.augmentation, "last", "accuracy")
    keys = ("dataset", "split", "magnification", "augmentation", "selection", "metric")
    rows = comparisons.rows if comparisons else ()
    pairs = {
        (row["first"], row["second"]): index
        for index, row in enumerate(rows)
        if tuple(row[key] for key in keys) == place and row["pooled_difference"]
    }
    best = _arm(intervals.rows[first])
    worse, similar, not_compared = [], [], []
    second = difference = holm = None
    for other in others:
        name = _arm(intervals.rows[other])
        label = shown("first", name, names)
        flipped = (best, name) not in pairs
        index = pairs.get((name, best) if flipped else (best, name))
        if index is None or comparisons is None:
            not_compared.append(label)
        else:
            (worse if _is_significant(rows[index], flipped) else similar).append(label)
        if second is None:
            second = [label]
            if index is not None and comparisons:
                difference = _difference(comparisons, index, flipped, names)
                holm = [value_of(comparisons, index, "holm_p", names, away=True)] if rows[index]["holm_p"] else None
    return Winner(
        setting,
        [value_of(intervals, first, "magnification", names, away=True)],
        [shown("first", best, names)],
        fill("{estimate} [{low}, {high}]", intervals, first, names, away=True),
        second,
        difference,
        holm,
        bool(others) and _estimate(intervals, first) == _estimate(intervals, others[0]),
        second is not None and second[0] in worse,
        worse,
        similar,
        not_compared,
    )


def table(winners: Sequence[Winner], link: str) -> View:
    """Return the table of the best arms."""
    heads = ("Magnification", "Augmentation", "First", "Second, and the difference", "Significantly worse than the first",
             "Not significantly different")  # fmt: skip
    rows = []
    for one in winners:
        second: Cell = ["–"]
        if one.second:
            holm = ["\nHolm p ", *one.holm] if one.holm else []
            second = [*one.second, "\n", *(one.difference or ["not compared"]), *holm]
        others = [*one.similar, *(f"{name} (not compared)" for name in one.not_compared)]
        cells = [
            one.magnification,
            [one.setting.augmentation],
            [*one.arm, "\n", *one.accuracy],
            second,
            [", ".join(one.worse) or "–"],
            [", ".join(others) or "–"],
        ]
        rows.append(Row(cells, None))
    kinds = ["number", "name", "stack", "stack", "list", "list"]
    return View("best-arms", "The best arm at each magnification", CAPTION, link, heads, kinds, rows, cards=True)


def firsts(winners: Sequence[Winner]) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """Return for each augmentation the arms that are first, each with the magnifications where it is."""
    found: dict[str, dict[str, list[str]]] = {}
    for one in winners:
        arm = " and ".join(str(cell[0]) for cell in (one.arm, one.second if one.tied else None) if cell)
        magnification = printed("magnification", one.setting.magnification)
        found.setdefault(one.setting.augmentation, {}).setdefault(arm, []).append(magnification)
    return [(augmentation, list(arms.items())) for augmentation, arms in found.items()]


def tallies(claims: Source) -> list[tuple[str, list[tuple[str, RowCount]]]]:
    """Return how many claims have each verdict, by the paper's own numbers and by the study's."""
    found = []
    for column, title, verdicts in (
        ("published_verdict", "By the paper's own numbers", PUBLISHED),
        ("study_verdict", "By this study", STUDY),
    ):
        values = [row[column] for row in claims.rows]
        found.append((title, [(one, RowCount(str(values.count(one)), claims.link, column, one)) for one in verdicts]))
    return found


def notable(claims: Source, names: Mapping[str, str], most: int = 4) -> list[tuple[str, list[dict[str, object]]]]:
    """Return the claims to read first, at most `most` of each kind; by this study those with the largest effects."""
    found = []
    for title, column, verdict, evidence in NOTABLE:
        rows = [index for index, row in enumerate(claims.rows) if row[column] == verdict]
        if column == "study_verdict":
            rows.sort(key=lambda index: -abs(float(claims.rows[index]["effect"] or 0)))
        items = [
            {
                "sentence": value_of(claims, index, "sentence", names, away=True),
                "section": value_of(claims, index, "section", names, away=True),
                "evidence": value_of(claims, index, evidence, names, away=True),
            }
            for index in rows[:most]
        ]
        if items:
            found.append((title, items))
    return found


def _estimate(intervals: Source, row: int) -> float:
    return float(intervals.rows[row]["estimate"])


def _arm(row: Texts) -> str:
    return f"{row['model']}/{row['mode']}"


def _is_significant(row: Texts, flipped: bool) -> bool:
    """Return whether the first arm of a pair is significantly better, or the second where `flipped`."""
    if not row["low"] or not row["high"]:
        return False
    excluded = float(row["high"]) < 0 if flipped else float(row["low"]) > 0
    return excluded and (not row["holm_p"] or float(row["holm_p"]) < LEVEL)


def _difference(comparisons: Source, row: int, flipped: bool, names: Mapping[str, str]) -> Cell:
    """Return `difference [low, high]` of a pair: first minus second, or second minus first where `flipped`."""
    if not flipped:
        return fill("{pooled_difference} [{low}, {high}]", comparisons, row, names, away=True)
    values = [value_of(comparisons, row, name, names, away=True) for name in ("pooled_difference", "high", "low")]
    value, *ends = [negated(one) for one in values if one.value]
    return [value, " [", ends[0], ", ", ends[1], "]"] if len(ends) == 2 else [value]
