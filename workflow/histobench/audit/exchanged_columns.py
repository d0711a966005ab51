"""Columns of a printed table that look exchanged: the scores of its rows fit together, or fit better, the other way round."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from histobench.audit.confusion_matrices import matrices
from histobench.audit.row_checks import NOTE, WORDS, Case, Finding, implied
from histobench.claims.verdicts import IMPLAUSIBLE

FEWEST = 3
"""Rows from which on a better fit, that is not exact, says something: by chance every row improves in one table of eight."""
BETTER = 0.5
"""All distances together must shrink to this part."""


def exchanged_columns(cases: Sequence[Case]) -> list[Finding]:
    """Return the pairs of columns that look exchanged in a table.

    Of rows of one test set, two columns look exchanged if some rows have no confusion matrix as printed, and each of these
    has one with the two exchanged. Precision and recall also do if exchanging them brings the accuracy that they imply
    nearer to the printed one in each of three or more rows, and all distances together to half or less; then nothing is
    certain, since other mistakes may do that.
    """
    found = _exactly(cases)
    if not found and (closer := _nearer(cases)):
        found.append(closer)
    return found


WORDS_OF = ("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "npv", "f1", "auc")


def _exactly(cases: Sequence[Case]) -> list[Finding]:
    bad = []
    for case in cases:
        if case.folds == 1 and case.counts:
            found = matrices(case.windows(), case.counts, case.average)
            if found and not found[0]:
                bad.append(case)
    names = [name for name in WORDS_OF if name != "auc" and bad and all(case.has(name) for case in bad)]
    findings = []
    for first, second in combinations(names, 2):
        fits = [
            matrices(_exchanged(case, first, second).windows(), case.counts or (0, 0), case.average) for case in bad
        ]
        if all(found and found[0] for found in fits):
            rows = f"the {len(bad)} rows" if len(bad) > 1 else "the row"
            text = f"{_names(first, second)} look exchanged: {rows} without a confusion matrix"
            text += f" {'have' if len(bad) > 1 else 'has'} one if they are"
            findings.append(Finding("table", "columns", IMPLAUSIBLE, text))
    return findings


def _nearer(cases: Sequence[Case]) -> Finding | None:
    before, after, misfits = [], [], 0
    for case in cases:
        printed = implied(case)
        other = implied(_exchanged(case, "precision", "recall")) if printed else None
        if printed and other:
            accuracy = case.mean("accuracy").value
            before.append(abs(accuracy - printed.accuracy))
            after.append(abs(accuracy - other.accuracy))
            misfits += before[-1] > printed.unequal
    nearer = sum(there < here for here, there in zip(before, after, strict=True))
    if len(before) < FEWEST or nearer < len(before) or sum(after) > BETTER * sum(before) or not misfits:
        return None
    text = (
        f"precision and recall look exchanged: in each of {len(before)} rows the accuracy that they imply is nearer to the "
        f"printed one if they are (mean distance {sum(after) / len(after):.4f} instead of {sum(before) / len(before):.4f})"
    )
    return Finding("table", "columns", NOTE, text)


def _exchanged(case: Case, first: str, second: str) -> Case:
    scores = dict(case.row.scores)
    scores[first], scores[second] = scores[second], scores[first]
    return replace(case, row=replace(case.row, scores=scores))


def _names(first: str, second: str) -> str:
    return f"{WORDS.get(first, first)} and {WORDS.get(second, second)}"
