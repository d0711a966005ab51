"""Claims that the scores of Tables 4, 5 and 6 are as printed: whether scores in one row can belong together.

Scores are those of the malignant class, means over k folds. Means may be off by half a unit of their fourth decimal, and
deviations by half a unit of their third, whose larger end is taken. A printed deviation is taken as that of the population
of folds, which is larger than it if the sample deviation was printed. No value of k folds is farther than sqrt(k - 1)
such deviations below their mean (Samuelson 1968). What these bounds exclude is impossible, whatever the data.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from histobench.claims.published import Paper
from histobench.claims.table_cells import Cell, Row, Unavailable, arm_name, decimals
from histobench.claims.verdicts import HOLDS, IMPLAUSIBLE, IMPOSSIBLE, Verdict

HALF = 5e-5
"""Half a unit of the last digit of a printed mean."""


def f1_agrees(paper: Paper, tables: Sequence[int], folds: int = 5) -> Verdict:
    """Return whether each mean F1 can belong to the mean precision and recall beside it.

    In every fold F1 = 2pr / (p + r) = s/2 - d^2 / 2s with s = p + r and d = p - r. This is concave in (p, r), so its
    mean over folds is at most that of the mean p and r (Jensen). And it is at least S/2 - E[d^2] / (2 s_min), where S is
    the mean of s, E[d^2] <= D^2 + (sd_p + sd_r)^2, D being the mean of d, and s_min is Samuelson's bound.
    """
    faults, rows = [], paper.rows(tables)
    for table, row in rows:
        (p, p_sd), (r, r_sd), (f1, _) = (_mean_and_deviation(row, metric) for metric in ("precision", "recall", "f1"))
        total, spread = p + r, p_sd + r_sd
        upper = 2 * (p + HALF) * (r + HALF) / (total + 2 * HALF) + HALF
        square = (abs(p - r) + 2 * HALF) ** 2 + spread**2
        lower = total / 2 - square / (2 * _least(total - 2 * HALF, spread, folds)) - 2 * HALF
        if f1 > upper:
            bound = f"{total / 2:.5f}, the mean" if f1 > total / 2 else f"{upper - 2 * HALF:.5f}, the harmonic mean"
            fault = f"F1 {f1:.4f} exceeds {bound} of precision {p:.4f} and recall {r:.4f}, its most"
        elif f1 < lower:
            fault = f"F1 {f1:.4f} is below {lower:.4f}, the least that precision {p:.4f} and recall {r:.4f} allow"
        else:
            continue
        faults.append(f"{fault} ({_row_name(row, table)})")
    if faults:
        return Verdict(IMPOSSIBLE, f"in {len(faults)} of {len(rows)} rows: {'; '.join(faults[:2])}.")
    return Verdict(HOLDS, f"in all {len(rows)} rows F1 is what precision and recall allow.")


def accuracy_agrees(
    paper: Paper, tables: Sequence[int], malignant_share: str | None = None, folds: int = 5, draws: int = 10_000
) -> Verdict:
    """Return whether each mean accuracy can belong to the mean precision and recall beside it, given the class balance.

    With a share q of malignant images, the errors of a fold are q (1 - r) missed and q r (1 - p) / p false calls of all
    images, so that accuracy = 1 - q e with e = 1 - 2r + r/p. Averaging over folds leaves 1 - Q (1 - 2R + R/P) plus
    terms that are bounded here (s: deviations, p_min: Samuelson's bound):

    - of r/p: |cov(r, 1/p)| <= s_r s_p / p_min^2, and 0 <= E[1/p] - 1/P <= s_p^2 / (p_min P^2);
    - of folds whose balance differs: |cov(q, e)| <= s_q s_e with s_e <= s_r + s_p / p_min^2 (p > 1/3), and |E[q] - Q| times
      e; both of q are those of :func:`fold_balance`;
    - of rounding: half a unit of the last digit.

    `malignant_share` is the same in every fold, as in an external test, where these bounds make a row impossible. Without it
    the share is that of Table 1, and the balance of folds is not known: a row is impossible if no balance gives its
    accuracy (e is not negative, so that accuracy is at least 1 - E[e]), and implausible if none of `draws` random folds of
    patients is as unequal as it needs.
    """
    malignant, total = paper.images("malignant"), paper.images("total")
    balance = {} if malignant_share else fold_balance(paper, folds, draws)
    excess, alike, unequal, rows, impossible = [], [], [], paper.rows(tables), False
    for _, row in rows:
        (p, p_sd), (r, r_sd), (accuracy, _) = (
            _mean_and_deviation(row, metric) for metric in ("precision", "recall", "accuracy")
        )
        size = row.get("magnification", "")
        q = float(Fraction(malignant_share)) if malignant_share else malignant[size] / total[size]
        spread, shift = balance.get(size, (0.0, 0.0))
        p_min = _least(p - HALF, p_sd, folds)
        error = 1 - 2 * r + r / p
        curved = r_sd * p_sd / p_min**2 + r * p_sd**2 / (p_min * p**2)
        digits = HALF * (abs(2 - 1 / p) + r / p**2)
        excess.append(accuracy - (1 - q * error))
        alike.append(q * (curved + digits) + HALF)
        impossible |= accuracy + HALF < 1 - error - curved - digits
        unequal.append(alike[-1] + spread * (r_sd + p_sd / p_min**2) + shift * (error + curved))
    equal, patient = (
        sum(abs(value) > most for value, most in zip(excess, allowed, strict=True)) for allowed in (alike, unequal)
    )
    if len(rows) <= 2:
        parts = (
            f"{row['accuracy_mean']} where precision and recall imply {float(row['accuracy_mean']) - value:.4f} "
            f"({_row_name(row, table)})"
            for (table, row), value in zip(rows, excess, strict=True)
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


def fold_balance(paper: Paper, folds: int, draws: int, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Return how unequal folds of patients are: for each magnification two extremes over random assignments.

    Each class's patients are spread evenly over the folds. The extremes are the largest population deviation of the
    folds' malignant shares, and the largest distance of their mean from the share of all images.
    """
    generator = np.random.default_rng(seed)
    sums = []
    for malignant in (False, True):
        images = np.array([patient.images for patient in paper.census if patient.malignant == malignant])
        places = generator.random((draws, len(images)), np.float32).argsort(axis=1) % folds
        sums.append(np.stack([(places == fold).astype(np.float32) @ images for fold in range(folds)], axis=1))
    shares = sums[1] / (sums[0] + sums[1])  # draws x folds x magnifications
    whole = sums[1].sum(axis=1)[0] / (sums[0] + sums[1]).sum(axis=1)[0]
    spread, shift = shares.std(axis=1).max(axis=0), abs(shares.mean(axis=1) - whole).max(axis=0)
    return {name: (float(a), float(b)) for name, a, b in zip(paper.images("total"), spread, shift, strict=True)}


def auc_of_scores(paper: Paper, arm: str) -> Verdict:
    """Return whether an AUC of Table 6 is computed from scores, not from hard labels.

    Computed from hard labels, the AUC is (sensitivity + specificity) / 2, which on a balanced set is the accuracy.
    """
    accuracy, auc = (paper.value(Cell.parse(f"table6 {arm} {metric}")) for metric in ("accuracy", "auc"))
    if abs(accuracy - auc) > Fraction(1, 10_000):
        return Verdict(HOLDS, f"AUC {decimals(auc)} is not the accuracy {decimals(accuracy)}.")
    raise Unavailable(
        f"AUC {decimals(auc)} and accuracy {decimals(accuracy)} coincide, as they do when AUC is computed from hard "
        "labels on a balanced set; the tables cannot tell"
    )


def _mean_and_deviation(row: Row, metric: str) -> tuple[float, float]:
    return float(row[f"{metric}_mean"]), float(row[f"{metric}_std"]) + 5e-4


def _least(mean: float, deviation: float, folds: int) -> float:
    """Return Samuelson's lower bound of the values of all folds, above 0."""
    return max(mean - math.sqrt(folds - 1) * deviation, 1e-9)


def _row_name(row: Row, table: int) -> str:
    size = f" {row['magnification']}X" if "magnification" in row else ""
    return f"{arm_name('/'.join((row['model'], row['mode'])))}{size}, Table {table}"
