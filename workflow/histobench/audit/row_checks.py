"""Whether the scores of one row of a printed table can belong together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from histobench.audit.confusion_matrices import Counts, Window, folds_allow, matrices, stratified
from histobench.audit.printed_scores import Printed, PrintedRow
from histobench.audit.table_options import TableOptions, class_counts, magnification
from histobench.claims.checks.consistency import f1_fault
from histobench.claims.score_bounds import (
    ImpliedAccuracy,
    PrintedMean,
    binomial_deviation,
    f1_bounds,
    implied_accuracy,
)
from histobench.claims.verdicts import IMPLAUSIBLE, IMPOSSIBLE

NOTE = "note"
"""Of a finding that is no contradiction by itself."""
WORDS = {"f1": "F1", "auc": "AUC", "mcc": "MCC", "npv": "NPV", "balanced_accuracy": "balanced accuracy"}
CONVENTIONS = {
    "binary": "scores of the positive class",
    "negative": "scores of the negative class",
    "macro": "means over both classes",
    "weighted": "means weighted by class counts",
}


@dataclass(frozen=True)
class Finding:
    """Something that a row, or a table, says of itself."""

    where: str
    """The row, or `table`."""
    check: str
    verdict: str
    text: str
    """A clause or sentence without full stop."""


@dataclass(frozen=True)
class Case:
    """A row with what is known of its test."""

    row: PrintedRow
    counts: Counts | None
    """Positives and negatives, all folds together; exchanged where scores are those of the negative class."""
    folds: int | None
    """1 for one test set, None where the number is not known."""
    average: str
    """`binary`, `macro` or `weighted`."""
    known: Sequence[Sequence[Counts]] = ()
    """The counts of the folds, in every arrangement that is possible; empty where they are not known."""
    balance: tuple[float, float] | None = None
    """Of unknown folds: the largest deviation and shift of the share of positives over random folds of patients."""
    whole: bool = False
    """Each fold's model was tested on all images."""
    deviation: str = "any"

    def mean(self, name: str, without: float = 0.0) -> PrintedMean:
        """Return a printed score; its deviation is `without` where none is printed."""
        score = self.row.scores[name]
        spread = float(score.deviation.value + score.deviation.half) if score.deviation else without
        return PrintedMean(float(score.value), float(score.half), spread)

    def has(self, *names: str) -> bool:
        """Return whether all these scores are printed."""
        return all(name in self.row.scores for name in names)

    @property
    def share(self) -> float:
        """Return the share of positives."""
        assert self.counts
        return self.counts[0] / sum(self.counts)

    def windows(self) -> dict[str, Window]:
        """Return where the scores of confusion matrices lie; the AUC is none of them."""
        return {name: self._window(score) for name, score in self.row.scores.items() if name != "auc"}

    def _window(self, score: Printed) -> Window:
        spread = None
        if score.deviation and self.folds and self.folds > 1:
            low, high = score.deviation.value - score.deviation.half, score.deviation.value + score.deviation.half
            sample = math.sqrt((self.folds - 1) / self.folds)
            first, last = {"sample": (sample, sample), "population": (1, 1), "any": (sample, 1)}[self.deviation]
            spread = (max(float(low), 0.0) * first, float(high) * last)
        return Window(float(score.value), float(score.half), spread)


def case_of(row: PrintedRow, options: TableOptions, balances: dict[str, tuple[float, float]]) -> Case:
    """Return a row with what options say of its test; `balances` are those of BreakHis, by magnification."""
    counts, average = class_counts(options, row.setting, row.counts), options.average
    folds = options.folds or len(options.fold_counts) or None
    if folds is None and not any(score.deviation for score in row.scores.values()):
        folds = 1
    known: list[list[Counts]] = []
    if options.fold_counts:
        known = [list(options.fold_counts)]
    elif counts and folds and folds > 1 and options.tested == "whole":
        known = [[counts] * folds]
    elif counts and folds and folds > 1 and options.balance == "stratified" and min(counts) >= folds:
        known = list(stratified(counts, folds))
    if average == "negative":
        average, counts = "binary", (counts[1], counts[0]) if counts else None
        known = [[(pair[1], pair[0]) for pair in pairs] for pairs in known]
    balance = None if known else balances.get(magnification(row.setting))
    return Case(row, counts, folds, average, known, balance, options.tested == "whole", options.deviation)


def check_row(case: Case) -> list[Finding]:
    """Return what one row says of itself."""
    found = [_f1(case), _accuracy(case), _weighted(case)]
    found.append(_matrix(case, [finding for finding in found if finding and finding.verdict == IMPOSSIBLE]))
    found += [_majority(case), _auc(case)]
    return [finding for finding in found if finding]


def implied(case: Case) -> ImpliedAccuracy | None:
    """Return the accuracy that precision and recall imply, where that is known."""
    if case.average != "binary" or not (case.counts and case.folds) or not case.has("accuracy", "precision", "recall"):
        return None
    scores = [case.row.scores[name] for name in ("precision", "recall")]
    if case.folds > 1 and not all(score.deviation for score in scores):
        return None
    precision, recall = case.mean("precision"), case.mean("recall")
    if precision.value <= precision.half:
        return None
    half = float(case.row.scores["accuracy"].half)
    return implied_accuracy(precision, recall, half, case.share, case.folds, case.balance or (0.0, 0.0))


def fold_deviation(case: Case) -> tuple[float, float] | None:
    """Return the printed deviation of accuracy, and that of independent images, both of the folds' sample; None if unknown.

    The latter is sqrt((q r (1 - r) + (1 - q) s (1 - s)) / n) with n images in a fold, where recall is printed (r, and s the
    specificity that it leaves for the accuracy), else sqrt(a (1 - a) / n), which is never smaller.
    """
    if not case.counts or not case.folds or case.folds < 2 or case.whole or "accuracy" not in case.row.scores:
        return None
    score = case.row.scores["accuracy"]
    if not score.deviation or not 0 < score.value < 1:
        return None
    printed = float(score.deviation.value + score.deviation.half)
    if case.deviation != "sample":
        printed *= math.sqrt(case.folds / (case.folds - 1))
    images, accuracy, q = sum(case.counts) / case.folds, float(score.value), case.share
    independent = binomial_deviation(accuracy, images)
    if case.average == "binary" and "recall" in case.row.scores:
        r = float(case.row.scores["recall"].value)
        s = min(max((accuracy - q * r) / (1 - q), 0.0), 1.0)
        independent = math.sqrt((q * r * (1 - r) + (1 - q) * s * (1 - s)) / images)
    return (printed, independent) if independent > 0 else None


def _f1(case: Case) -> Finding | None:
    if not case.has("precision", "recall", "f1"):
        return None
    spread = all(case.row.scores[name].deviation for name in ("precision", "recall")) or case.folds == 1
    precision, recall, f1 = case.mean("precision"), case.mean("recall"), case.mean("f1")
    if case.folds == 1:
        precision, recall = (PrintedMean(score.value, score.half) for score in (precision, recall))
    least, most = f1_bounds(precision, recall, f1.half, case.folds or 2)
    if not spread or case.folds is None or case.average != "binary":
        least = 0.0  # Without deviations or their number only the upper bound holds; for means over classes also.
    if least - 1e-9 <= f1.value <= most + 1e-9:
        return None
    bare = 2 * precision.value * recall.value / (precision.value + recall.value or 1)
    text = f1_fault(precision.value, recall.value, f1.value, (least, bare))
    return Finding(case.row.name, "F1", IMPOSSIBLE, text)


def _accuracy(case: Case) -> Finding | None:
    found = implied(case)
    if found is None or case.counts is None:
        return None
    accuracy = case.mean("accuracy")
    excess = accuracy.value - found.accuracy
    positives, negatives = case.counts
    text = f"accuracy is {accuracy.value:.4f}, but precision, recall and {positives:,} positives of {positives + negatives:,} images imply "
    text += f"{found.accuracy:.4f}"
    if accuracy.value + accuracy.half < found.least - 1e-9:
        text += f", and no class balance gives less than {found.least:.4f}"
        return Finding(case.row.name, "accuracy", IMPOSSIBLE, text)
    if abs(excess) <= found.alike + 1e-9:
        return None
    text += f" (±{found.alike:.4f} by {'rounding' if case.folds == 1 else 'folds of equal class balance'})"
    if case.folds == 1 or case.whole or (case.known and all(_is_alike(pairs) for pairs in case.known)):
        return Finding(case.row.name, "accuracy", IMPOSSIBLE, text)
    if case.known:
        return None  # the linear program decides
    if case.balance is None:
        return Finding(case.row.name, "accuracy", NOTE, f"{text}: only folds of unequal class balance can give it")
    random = f"the most unequal of 10,000 random folds of patients give up to ±{found.unequal:.4f}"
    if abs(excess) <= found.unequal + 1e-9:
        return Finding(
            case.row.name, "accuracy", NOTE, f"{text}: only folds of unequal class balance can give it; {random}"
        )
    return Finding(case.row.name, "accuracy", IMPLAUSIBLE, f"{text}, and even {random}")


def _weighted(case: Case) -> Finding | None:
    """Return whether a mean recall is the accuracy (weighted) or the balanced accuracy (unweighted), as it is in every fold."""
    other = {"weighted": "accuracy", "macro": "balanced_accuracy"}.get(case.average, "")
    if not other or not case.has(other, "recall"):
        return None
    first, second = case.mean(other), case.mean("recall")
    if abs(first.value - second.value) <= first.half + second.half + 1e-9:
        return None
    text = (
        f"{WORDS.get(other, other)} {first.value:.4f} and recall {second.value:.4f} differ, but are equal by definition"
    )
    return Finding(case.row.name, "accuracy", IMPOSSIBLE, f"{text} where recall is averaged so")


def _matrix(case: Case, others: Sequence[Finding]) -> Finding | None:
    """Return whether no confusion matrices give the row; `others` are findings that say so already, in other words."""
    windows = case.windows()
    if case.counts is None or len(windows) < 1 or case.folds is None:
        return None
    if case.folds > 1:
        if not case.known or any(folds_allow(windows, pairs, case.average) is not False for pairs in case.known):
            return None
        what = "no whole numbers of right and wrong calls in its folds give these means"
        what += " and deviations" if any(window.deviations for window in windows.values()) else ""
        return Finding(case.row.name, "confusion matrix", IMPOSSIBLE, what)
    found = matrices(windows, case.counts, case.average)
    if found is None or found[0]:
        return None
    positives, negatives = case.counts
    text = f"no confusion matrix of {positives:,} positives and {negatives:,} negatives gives {_listed(list(windows))}"
    cut = {name: Window(window.mean + window.half, window.half) for name, window in windows.items()}
    if not others and (matrices(cut, case.counts, case.average) or (0,))[0]:
        return Finding(
            case.row.name, "confusion matrix", IMPLAUSIBLE, f"{text} rounded, only cut off after the last digit"
        )
    return Finding(case.row.name, "confusion matrix", IMPOSSIBLE, text)


def conventions(case: Case) -> list[str]:
    """Return under which other ways of averaging there is a confusion matrix that gives a row of one test set."""
    if case.folds != 1 or case.counts is None or not {"precision", "recall", "f1"} & case.row.scores.keys():
        return []
    ways = [name for name in CONVENTIONS if name != case.average]
    return [name for name in ways if (matrices(case.windows(), case.counts, name) or (0,))[0]]


def _majority(case: Case) -> Finding | None:
    if case.counts is None or "accuracy" not in case.row.scores:
        return None
    accuracy, larger = case.mean("accuracy"), max(case.counts) / sum(case.counts)
    if accuracy.value - accuracy.half > larger:
        return None
    text = f"accuracy {accuracy.value:.4f} is not above {larger:.4f}, which calling every image the larger class gives"
    return Finding(case.row.name, "prevalence", NOTE, text)


def _auc(case: Case) -> Finding | None:
    """Return whether the AUC is what hard labels give: (sensitivity + specificity) / 2, on a balanced set the accuracy."""
    if "auc" not in case.row.scores or case.mean("auc").half > 6e-4:
        return None
    auc = case.mean("auc")
    balanced = case.counts and case.counts[0] == case.counts[1] and (case.folds == 1 or case.whole)
    for name in ("balanced_accuracy", *(["accuracy"] if balanced else [])):
        if case.has(name) and abs(auc.value - case.mean(name).value) <= auc.half + case.mean(name).half + 1e-9:
            text = f"AUC {auc.value:.4f} and {WORDS.get(name, name)} {case.mean(name).value:.4f} coincide"
            text += ", as they do where the AUC is computed from hard labels" + (
                " on a balanced set" if balanced else ""
            )
            return Finding(case.row.name, "AUC", NOTE, text)
    return None


def _is_alike(pairs: Sequence[Counts]) -> bool:
    return len({positives / (positives + negatives) for positives, negatives in pairs}) == 1


def _listed(names: Sequence[str]) -> str:
    words = [WORDS.get(name, name) for name in names]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
