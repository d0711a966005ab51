"""What the page opens with: which arm is first, by how much, and which published claims survive."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from histobench.report.page.cells import Cell, Row, RowCount, Source, View, fill, negated, shown, value_of
from histobench.report.terms import printed

PUBLISHED = ("holds", "contradicted", "impossible", "not checkable")
STUDY = ("supported", "contradicted", "undecided", "not run")
LEVEL = 0.05


@dataclass(frozen=True)
class Setting:
    """One magnification under one augmentation, and the arms there in the order of pooled accuracy."""

    magnification: str
    augmentation: str
    place: Cell
    """The magnification, marked."""
    arms: Sequence[int]
    """Rows of intervals.csv, best first."""


@dataclass(frozen=True)
class Winner:
    """The first arm of a setting against each other one."""

    setting: Setting
    accuracy: Cell
    arm: Cell
    second: Cell | None
    difference: Cell | None
    """First minus second, with its interval; None where the pair was not compared."""
    holm: Cell | None
    equal: bool
    """The second has the same pooled accuracy."""
    clear: bool
    """The difference to the second is separated from zero."""
    ahead: Sequence[str]
    """Arms that the first is separated from."""
    level: Sequence[str]
    """Arms that it is not separated from."""
    unknown: Sequence[str]
    """Arms that it was not compared with."""


def settings(intervals: Source, dataset: str, split: str) -> list[Setting]:
    """Return the settings of one dataset and split policy, last epoch: augmentations as in the file, then magnification."""
    groups: dict[tuple[str, str], list[int]] = {}
    for index, row in enumerate(intervals.rows):
        place = (row["dataset"], row["split"], row["selection"], row["metric"])
        if place == (dataset, split, "last", "accuracy") and row["estimate"]:
            groups.setdefault((row["augmentation"], row["magnification"]), []).append(index)
    places = list(dict.fromkeys(augmentation for augmentation, _ in groups))

    def order(item: tuple[tuple[str, str], list[int]]) -> tuple[int, int]:
        return places.index(item[0][0]), int(item[0][1])

    return [
        Setting(
            magnification,
            augmentation,
            [value_of(intervals, arms[0], "magnification", {}, away=True)],
            sorted(arms, key=lambda row: -_estimate(intervals, row)),
        )
        for (augmentation, magnification), arms in sorted(groups.items(), key=order)
    ]


def winner(
    setting: Setting,
    intervals: Source,
    comparisons: Source | None,
    dataset: str,
    split: str,
    names: Mapping[str, str],
) -> Winner:
    """Return what is said of the first arm of a setting.

    An arm is separated from another when the 95 % interval of the pooled difference leaves out zero and Holm's p,
    over all declared pairs, is below 0.05: the first was picked after looking, so one interval alone is too little.
    """
    first, *others = setting.arms
    place = (dataset, split, setting.magnification, setting.augmentation, "last", "accuracy")
    pairs: dict[tuple[str, str], int] = {}
    for index, row in enumerate(comparisons.rows if comparisons else ()):
        keys = ("dataset", "split", "magnification", "augmentation", "selection", "metric")
        if tuple(row[key] for key in keys) == place and row["pooled_difference"]:
            pairs[row["first"], row["second"]] = index
    best = _arm(intervals.rows[first])
    known, unknown = {"ahead": [], "level": []}, []
    against: list[tuple[int, bool] | None] = []
    for other in others:
        name = _arm(intervals.rows[other])
        found = (pairs[best, name], False) if (best, name) in pairs else None
        found = (pairs[name, best], True) if (name, best) in pairs else found
        against.append(found)
        label = shown("first", name, names)
        if found is None or comparisons is None:
            unknown.append(label)
        else:
            known["ahead" if _separated(comparisons.rows[found[0]], found[1]) else "level"].append(label)
    second = against[0] if against else None
    holm = difference = None
    if second and comparisons:
        row, flipped = second
        difference = _difference(comparisons, row, flipped, names)
        if comparisons.rows[row]["holm_p"]:
            holm = [value_of(comparisons, row, "holm_p", names, away=True)]
    label = shown("first", _arm(intervals.rows[others[0]]), names) if others else ""
    return Winner(
        setting,
        fill("{estimate} [{low}, {high}]", intervals, first, names, away=True),
        [shown("first", best, names)],
        [label] if others else None,
        difference,
        holm,
        bool(others) and _estimate(intervals, first) == _estimate(intervals, others[0]),
        bool(second and comparisons and _separated(comparisons.rows[second[0]], second[1])),
        known["ahead"],
        known["level"],
        unknown,
    )


def table(winners: Sequence[Winner], link: str) -> View:
    """Return the table of the first arms."""
    heads = (
        "Magnification",
        "Augmentation",
        "First",
        "Next, and the lead over it",
        "Behind it",
        "Not told apart from it",
    )
    rows = [
        Row(
            [
                one.setting.place,
                [one.setting.augmentation],
                [*one.arm, "\n", *one.accuracy],
                [
                    *one.second,
                    "\n",
                    *(one.difference or ["not compared"]),
                    *(["\nHolm p ", *one.holm] if one.holm else []),
                ]
                if one.second
                else ["–"],
                [", ".join(one.ahead) or "–"],
                [", ".join([*one.level, *(f"{name} (not compared)" for name in one.unknown)]) or "–"],
            ],
            None,
        )
        for one in winners
    ]
    return View(
        "first-arms",
        "The first arm at each magnification",
        "Pooled accuracy of the out-of-fold predictions and its 95 % interval, patients resampled within class. The "
        "difference is that of the same patients under both arms. An arm counts as behind when the interval of its "
        "difference leaves out zero and Holm's p over all declared pairs is below 0.05.",
        link,
        heads,
        ["number", "name", "stack", "stack", "list", "list"],
        rows,
    )


def firsts(winners: Sequence[Winner]) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """Return for each augmentation the arms that come first, each with the magnifications where it does."""
    found: dict[str, dict[str, list[str]]] = {}
    for one in winners:
        arm = " and ".join(str(cell[0]) for cell in (one.arm, one.second if one.equal else None) if cell)
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
        order = [*verdicts, *sorted({value for value in values if value and value not in verdicts})]
        counts = [
            (verdict, RowCount(str(values.count(verdict)), claims.link, column, verdict))
            for verdict in order
            if verdict in values or verdict in verdicts
        ]
        found.append((title, counts))
    return found


def notable(claims: Source, names: Mapping[str, str], most: int = 4) -> list[tuple[str, list[dict[str, object]]]]:
    """Return the claims to read first: what cannot be, what the paper's own tables deny, what the study denies."""

    def effect(row: Mapping[str, str]) -> float:
        try:
            return -abs(float(row["effect"]))
        except ValueError:
            return 0.0

    wanted = (
        ("Impossible", "published_verdict", "impossible", "published_evidence"),
        ("Contradicted by the paper's own tables", "published_verdict", "contradicted", "published_evidence"),
        ("Contradicted by this study", "study_verdict", "contradicted", "study_evidence"),
        ("Supported by this study", "study_verdict", "supported", "study_evidence"),
    )
    found = []
    for title, column, verdict, evidence in wanted:
        rows = [index for index, row in enumerate(claims.rows) if row[column] == verdict]
        rows.sort(key=lambda index: effect(claims.rows[index]) if column == "study_verdict" else 0.0)
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


def _arm(row: Mapping[str, str]) -> str:
    return f"{row['model']}/{row['mode']}"


def _separated(row: Mapping[str, str], flipped: bool) -> bool:
    if not row["low"] or not row["high"]:
        return False
    beyond = float(row["high"]) < 0 if flipped else float(row["low"]) > 0
    return beyond and (not row["holm_p"] or float(row["holm_p"]) < LEVEL)


def _difference(comparisons: Source, row: int, flipped: bool, names: Mapping[str, str]) -> Cell:
    """Return `difference [low, high]` of a pair, told from its other side where `flipped`."""
    if not comparisons.rows[row]["low"] or not comparisons.rows[row]["high"]:
        cell = value_of(comparisons, row, "pooled_difference", names, away=True)
        return [negated(cell) if flipped else cell]
    if not flipped:
        return fill("{pooled_difference} [{low}, {high}]", comparisons, row, names, away=True)
    cells = [value_of(comparisons, row, name, names, away=True) for name in ("pooled_difference", "high", "low")]
    value, low, high = (negated(cell) for cell in cells)
    return [value, " [", low, ", ", high, "]"]
