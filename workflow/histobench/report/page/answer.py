"""What the page opens with: the best arm of each setting, by how much it leads, and which published claims hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from histobench.claims.verdicts import ON_PAPER, ON_STUDY
from histobench.report.page.cells import Cell, Row, RowCount, Source, Value, View, shown
from histobench.report.terms import ABSENT, Texts, magnified

TALLIES = (
    ("By the paper's own numbers", "published_verdict", ON_PAPER),
    ("By this study", "study_verdict", ON_STUDY),
)
"""Title, column, and the definition of each verdict."""
LEVEL = 0.05
"""Significance level of Holm's p."""
CAPTION = (
    "Accuracy, mean over folds, with its 95 % interval: {} are resampled within class and fold, since images of one {} are not "
    "independent. Differences are paired by {}. "
    "An arm is significantly worse if the interval of its difference excludes zero and Holm's p over all declared pairs, of "
    "sign flips of {}s in the pooled predictions, is below 0.05."
)
"""To be filled in with the groups, and three times with what a group is."""
NOTABLE = (
    ("Impossible by the paper's own numbers", "published_verdict", "impossible", "published_evidence"),
    ("Implausible by the paper's own numbers", "published_verdict", "implausible", "published_evidence"),
    (
        "Contradicted by the paper's tables, its data or its models",
        "published_verdict",
        "contradicted",
        "published_evidence",
    ),
    ("Contradicted by this study", "study_verdict", "contradicted", "study_evidence"),
    ("Supported by this study", "study_verdict", "supported", "study_evidence"),
)
"""Title, column, verdict and column of the evidence of the claims to read first."""


@dataclass
class Winner:
    """The best arm of one magnification with one augmentation, compared with every other arm."""

    augmentation: str
    magnification: Value
    arm: str
    accuracy: Cell
    """Mean over folds, with its interval."""
    pooled: Cell
    """Accuracy of the predictions of all folds together, with its interval."""
    worse: list[str]
    """Arms that are significantly worse."""
    similar: list[str]
    """Arms that are not."""
    not_compared: list[str]
    second: str | None = None
    tied: bool = False
    """Whether the second has the same accuracy."""
    difference: Cell | None = None
    """First minus second with its interval; None where the pair was not compared."""
    holm: Value | None = None


def winners(intervals: Source, comparisons: Source | None, dataset: str, split: str) -> list[Winner]:
    """Return the best arm of each setting of a dataset and split policy, by its mean accuracy over folds at the last epoch.

    Augmentations are in the order of the file, magnifications ascend. An arm is significantly worse if the 95 % interval
    of the difference excludes zero and Holm's p over all declared pairs is below 0.05. The interval alone is too little,
    since the first arm was chosen by its result.
    """
    wanted = {"dataset": dataset, "split": split, "selection": "last", "metric": "accuracy"}
    groups: dict[str, dict[int, list[int]]] = {}
    for index, row in enumerate(intervals.rows):
        if wanted.items() <= row.items() and row["fold_mean"]:
            groups.setdefault(row["augmentation"], {}).setdefault(int(row["magnification"]), []).append(index)
    found = []
    for augmentation, magnifications in groups.items():
        for magnification, arms in sorted(magnifications.items()):
            setting = wanted | {"augmentation": augmentation, "magnification": str(magnification)}
            found.append(_winner(arms, intervals, comparisons, setting))
    return found


def _winner(arms: Sequence[int], intervals: Source, comparisons: Source | None, setting: Texts) -> Winner:
    """Return the best of the arms in these rows of intervals.csv."""
    first, *others = sorted(arms, key=lambda row: -float(intervals.rows[row]["fold_mean"]))
    pairs = {
        (row["first"], row["second"]): index
        for index, row in enumerate(comparisons.rows if comparisons else ())
        if setting.items() <= row.items() and row["difference"]
    }
    best = _arm(intervals.rows[first])
    accuracy, pooled = (
        intervals.fill(template, first, away=True)
        for template in ("{fold_mean} [{fold_mean_low}, {fold_mean_high}]", "{estimate} [{low}, {high}]")
    )
    magnification = intervals.value(first, "magnification", away=True)
    found = Winner(setting["augmentation"], magnification, _label(intervals, best), accuracy, pooled, [], [], [])
    for other in others:
        name = _arm(intervals.rows[other])
        label = _label(intervals, name)
        flipped = (name, best) in pairs
        index = pairs.get((name, best) if flipped else (best, name))
        if index is None or comparisons is None:
            found.not_compared.append(label)
        else:
            worse = _is_significant(comparisons.rows[index], flipped)
            (found.worse if worse else found.similar).append(label)
        if found.second is None:
            found.second = label
            found.tied = float(intervals.rows[first]["fold_mean"]) == float(intervals.rows[other]["fold_mean"])
            if index is not None and comparisons:
                ends = "[{difference_high}, {difference_low}]" if flipped else "[{difference_low}, {difference_high}]"
                template = f"{{difference}} {ends}"
                found.difference = comparisons.fill(template, index, away=True, negate=flipped)
                if comparisons.rows[index]["holm_p"]:
                    found.holm = comparisons.value(index, "holm_p", away=True)
    return found


def table(winners: Sequence[Winner], link: str, groups: str, unit: str) -> View:
    """Return the table of the best arms; `groups` says how many are resampled, `unit` what they are."""
    rows = []
    for one in winners:
        second: Cell = [ABSENT]
        if one.second:
            holm = ["\nHolm p ", one.holm] if one.holm else []
            second = [one.second, "\n", *(one.difference or ["not compared"]), *holm]
        others = [*one.similar, *(f"{name} (not compared)" for name in one.not_compared)]
        cells = [
            [one.magnification],
            [one.augmentation],
            [one.arm, "\n", *one.accuracy],
            second,
            [", ".join(one.worse) or ABSENT],
            [", ".join(others) or ABSENT],
        ]
        rows.append(Row(cells, None))
    columns = {
        "Magnification": "number",
        "Augmentation": "name",
        "First": "stack",
        "Second, and the difference": "stack",
        "Significantly worse than the first": "list",
        "Not significantly different": "list",
    }
    title = "The best arm at each magnification"
    return View(
        "best-arms",
        title,
        CAPTION.format(groups, unit, unit, unit),
        link,
        list(columns),
        list(columns.values()),
        rows,
        cards=True,
    )


def guesses(aucs: Sequence[Texts], names: Mapping[str, str]) -> list[str]:
    """Return sentences on the arms whose AUC is not above that of guessing, given rows of intervals.csv of one magnification."""
    known = [row for row in aucs if row["fold_mean_low"] and row["fold_mean_high"]]
    below = [row for row in known if float(row["fold_mean_high"]) < 0.5]
    similar = [row for row in known if float(row["fold_mean_low"]) <= 0.5 and row not in below]
    kinds = {"does not differ from": similar, "is below": below}
    return [
        f"At {magnified(rows[0]['magnification'])}, the AUC of these arms {what} that of guessing: "
        f"{', '.join(shown('first', _arm(row), names) for row in rows)}."
        for what, rows in kinds.items()
        if rows
    ]


def firsts(winners: Sequence[Winner]) -> dict[str, dict[str, list[str]]]:
    """Return for each augmentation the arms that are first, each with the magnifications where it is."""
    found: dict[str, dict[str, list[str]]] = {}
    for one in winners:
        arm = f"{one.arm} and {one.second}" if one.tied else one.arm
        found.setdefault(one.augmentation, {}).setdefault(arm, []).append(magnified(one.magnification.value))
    return found


def tallies(claims: Source) -> list[tuple[str, list[tuple[str, RowCount]]]]:
    """Return how many claims have each verdict, by the paper's own numbers and by the study's."""
    found = []
    for title, column, verdicts in TALLIES:
        values = [row[column] for row in claims.rows]
        found.append((title, [(one, RowCount(str(values.count(one)), claims.link, column, one)) for one in verdicts]))
    return found


def notable(claims: Source, most: int = 4) -> list[tuple[str, list[dict[str, Value]]]]:
    """Return the claims to read first, at most `most` of each kind; by this study those with the largest effects."""
    found = []
    for title, column, verdict, evidence in NOTABLE:
        rows = [index for index, row in enumerate(claims.rows) if row[column] == verdict]
        if column == "study_verdict":
            rows.sort(key=lambda index: -abs(float(claims.rows[index]["effect"] or 0)))
        parts = {"sentence": "sentence", "wording": "wording", "section": "section", "evidence": evidence}
        if rows:
            shows = ({part: claims.value(row, name, away=True) for part, name in parts.items()} for row in rows[:most])
            found.append((f"{title} ({most} of {len(rows)})" if len(rows) > most else title, list(shows)))
    return found


def _arm(row: Texts) -> str:
    return f"{row['model']}/{row['mode']}"


def _label(source: Source, arm: str) -> str:
    return shown("first", arm, source.names)


def _is_significant(row: Texts, flipped: bool) -> bool:
    """Return whether the first arm of a pair is significantly better, or the second where `flipped`."""
    low, high = row["difference_low"], row["difference_high"]
    if not low or not high:
        return False
    excluded = float(high) < 0 if flipped else float(low) > 0
    return excluded and (not row["holm_p"] or float(row["holm_p"]) < LEVEL)
