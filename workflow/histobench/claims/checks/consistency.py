"""Claims that the scores of tables are as printed: whether scores in one row can belong together.

Scores are those of the malignant class, means over folds, or of one test set with `folds: 1`. Means and deviations may be off
by half a unit of their last digit. The bounds are those of :mod:`histobench.claims.score_bounds`.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from histobench.claims.published import Paper, Patient
from histobench.claims.score_bounds import f1_bounds, implied_accuracy
from histobench.claims.table_cells import Cell, Row, Unavailable, arm_name, rounding, table_title
from histobench.claims.verdicts import HOLDS, IMPLAUSIBLE, IMPOSSIBLE, Verdict


def f1_agrees(paper: Paper, tables: Sequence[str], folds: int) -> Verdict:
    """Return whether each mean F1 can belong to the mean precision and recall beside it, by :func:`f1_bounds`."""
    faults, rows = [], paper.rows(tables)
    for table, row in rows:
        precision, recall, f1 = (paper.score(table, row, metric, folds) for metric in ("precision", "recall", "f1"))
        lower, upper = f1_bounds(precision, recall, f1.half, folds)
        if f1.value < lower or f1.value > upper:
            fault = f1_fault(precision.value, recall.value, f1.value, (lower, upper - 2 * f1.half))
            faults.append(f"{fault} ({_row_name(row, table)})")
    if faults:
        return Verdict(IMPOSSIBLE, f"in {len(faults)} of {len(rows)} rows: {'; '.join(faults[:2])}.")
    return Verdict(HOLDS, f"in all {len(rows)} rows F1 is what precision and recall allow.")


def accuracy_agrees(
    paper: Paper,
    tables: Sequence[str],
    folds: int,
    malignant_share: str | None = None,
    images: str | None = None,
    draws: int = 10_000,
) -> Verdict:
    """Return whether each mean accuracy can belong to the mean precision and recall beside it, given the class balance.

    The bounds are those of :func:`implied_accuracy`, and the balance of folds is that of :func:`fold_balance`.

    `malignant_share` is the same in every fold, as in an external test, where these bounds make a row impossible. Without it
    the share is that of the table `images`, with the numbers of BreakHis per magnification, and the balance of folds is not
    known: a row is impossible if no balance gives its accuracy (e is not negative, so that accuracy is at least 1 - E[e]), and
    implausible if none of `draws` random folds of patients is as unequal as it needs.
    """
    if bool(malignant_share) == bool(images):
        raise ValueError("give either malignant_share or images")
    malignant, total = (paper.images(images, column) if images else {} for column in ("malignant", "total"))
    balance = {}
    if images:
        balance = dict(zip(total, fold_balance(paper.census, folds, draws), strict=True))
    values, excess, alike, unequal, rows, impossible = [], [], [], [], paper.rows(tables), False
    for table, row in rows:
        accuracy, precision, recall = (
            paper.score(table, row, metric, folds) for metric in ("accuracy", "precision", "recall")
        )
        size = row.get("magnification", "")
        share = float(Fraction(malignant_share)) if malignant_share else malignant[size] / total[size]
        spread = balance.get(size, (0.0, 0.0))
        implied = implied_accuracy(precision, recall, accuracy.half, share, folds, spread)
        values.append(accuracy.value)
        excess.append(accuracy.value - implied.accuracy)
        alike.append(implied.alike)
        unequal.append(implied.unequal)
        impossible |= accuracy.value + accuracy.half < implied.least
    equal, patient = (
        sum(abs(value) > most for value, most in zip(excess, allowed, strict=True)) for allowed in (alike, unequal)
    )
    if len(rows) <= 2:
        parts = (
            f"{printed:.4f} where precision and recall imply {printed - value:.4f} ({_row_name(row, table)})"
            for (table, row), printed, value in zip(rows, values, excess, strict=True)
        )
        evidence = f"{'; '.join(parts)}; folds allow {max(alike):.4f} at most."
    else:
        above = sum(value > 0 for value in excess)
        evidence = (
            f"accuracy exceeds what precision, recall and class balance imply in {above} of {len(rows)} rows (by "
            f"{min(excess):.4f} to {max(excess):.4f}), in {equal} by more than folds of equal balance allow (at most "
            f"{max(alike):.4f})"
        )
        evidence += f", in {patient} by more than any of {draws:,} random patient-level folds allow" if balance else ""
        evidence += "."
    impossible |= bool(malignant_share and patient)
    return Verdict(IMPOSSIBLE if impossible else IMPLAUSIBLE if patient else HOLDS, evidence)


def fold_balance(
    census: Sequence[Patient], folds: int, draws: int = 10_000, seed: int = 0
) -> list[tuple[float, float]]:
    """Return how unequal folds of patients are: for each magnification two extremes over random assignments.

    Each class's patients are spread evenly over the folds. The extremes are the largest population deviation of the
    folds' malignant shares, and the largest distance of their mean from the share of all images.
    """
    generator = np.random.default_rng(seed)
    sums = []
    for malignant in (False, True):
        images = np.array([patient.images for patient in census if patient.malignant == malignant])
        places = generator.random((draws, len(images)), np.float32).argsort(axis=1) % folds
        sums.append(np.stack([(places == fold).astype(np.float32) @ images for fold in range(folds)], axis=1))
    shares = sums[1] / (sums[0] + sums[1])  # draws x folds x magnifications
    whole = sums[1].sum(axis=1)[0] / (sums[0] + sums[1]).sum(axis=1)[0]
    spread, shift = shares.std(axis=1).max(axis=0), abs(shares.mean(axis=1) - whole).max(axis=0)
    return [(float(a), float(b)) for a, b in zip(spread, shift, strict=True)]


def f1_fault(precision: float, recall: float, f1: float, allowed: tuple[float, float]) -> str:
    """Return in words why an F1-score is outside what it may be; `allowed` is least and most, the latter without rounding."""
    mean, beside = (precision + recall) / 2, f"precision {precision:.4f} and recall {recall:.4f}"
    if f1 < allowed[0]:
        return f"F1 {f1:.4f} is below {allowed[0]:.4f}, the least that {beside} allow"
    bound = f"{mean:.5f}, the mean" if f1 > mean else f"{allowed[1]:.5f}, the harmonic mean"
    return f"F1 {f1:.4f} exceeds {bound} of {beside}, its most"


def auc_of_scores(paper: Paper, accuracy: str, auc: str) -> Verdict:
    """Return whether an AUC on a balanced set is computed from scores, not from hard labels; both are cell addresses.

    Computed from hard labels, the AUC is (sensitivity + specificity) / 2, which on a balanced set is the accuracy.
    """
    hard, area = (paper.text(Cell.parse(address)) for address in (accuracy, auc))
    if abs(Fraction(hard) - Fraction(area)) > rounding(hard) + rounding(area):
        return Verdict(HOLDS, f"AUC {area} is not the accuracy {hard}.")
    raise Unavailable(
        f"AUC {area} and accuracy {hard} coincide, as they do when AUC is computed from hard labels on a balanced set; the "
        "tables cannot tell"
    )


def _row_name(row: Row, table: str) -> str:
    size = f" {row['magnification']}X" if row.get("magnification") else ""
    arm = "/".join(row[key] for key in ("model", "mode") if row.get(key))
    return f"{arm_name(arm)}{size}, {table_title(table)}"
