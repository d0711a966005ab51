"""Scores that a publication prints, held against those of its own predictions."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from histobench.audit.findings import Cell, Table
from histobench.io.errors import HistoBenchError

PRINTABLE = ("accuracy", "balanced_accuracy", "auc", "precision", "recall", "f1", "patient_rate")


def claimed_scores(printed: Mapping[str, Sequence[str]], made: Sequence[Mapping[str, Cell]]) -> tuple[list[str], Table]:
    """Return sentences and a table about printed scores.

    Args:
        printed: score -> one printed number for each fold, or a single one, of the mean over folds.
        made: of each fold, `fold` and its scores from the predictions.

    Raises:
        HistoBenchError: a score is unknown, or a number is none, or there are more or fewer than folds.
    """
    values: dict[str, list[tuple[str, str, float, float]]] = {}
    for metric, texts in printed.items():
        if metric not in PRINTABLE:
            raise HistoBenchError(
                f"printed score {metric!r:.40} is unknown, expected one of {', '.join(PRINTABLE)}; name one of these"
            )
        if len(texts) not in (1, len(made)):
            raise HistoBenchError(
                f"printed {metric}: {len(texts)} numbers for {len(made)} folds, expected one for each, or one for their mean"
            )
        of_folds = [row[metric] for row in made]
        known = [float(value) for value in of_folds if isinstance(value, int | float)]
        if len(known) < len(made):
            raise HistoBenchError(f"printed {metric}: the predictions have no scores to compute it from; leave it out")
        names = [str(row["fold"]) for row in made]
        if len(texts) == 1:
            names, known = ["mean" if len(made) > 1 else names[0]], [sum(known) / len(known)]
        values[metric] = [
            (name, text, _number(metric, text), own) for name, text, own in zip(names, texts, known, strict=True)
        ]
    rows: list[list[Cell]] = [
        [name, metric, text, own, number - own, "yes" if _agrees(text, number, own) else "no"]
        for metric, found in values.items()
        for name, text, number, own in found
    ]
    sentences = [*_exchanged(values)]
    wrong = [row for row in rows if row[5] == "no"]
    if wrong:
        name, metric, text, own, *_ = wrong[0]
        sentences.append(
            f"{len(wrong)} of {len(rows)} printed scores are not those of the predictions to their last digit, the first is {metric} "
            f"{text}{f' of fold {name}' * (len(made) > 1)}, where the predictions give {own:.4f}."
        )
    elif rows:
        sentences.append(f"All {len(rows)} printed scores are those of the predictions to their last digit.")
    columns = ["fold", "score", "printed", "from the predictions", "printed less predictions", "equal"]
    caption = "Printed scores and those of the predictions; equal means to the last printed digit. Malignant is the positive class."
    return sentences, Table("printed", caption, columns, rows, {columns[3]: ".4f", columns[4]: "+z.4f"})


def _number(metric: str, text: str) -> float:
    try:
        number = float(text.strip())
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise HistoBenchError(
            f"printed {metric} is {text!r:.40}, expected a number from 0 to 1; divide percentages by 100"
        )
    return number


def _agrees(text: str, number: float, own: float) -> bool:
    """Tell whether a number is that of the predictions, rounded in any way."""
    digits = len(text.strip().partition(".")[2])
    return abs(number - own) < 10.0**-digits * 0.5 + 1e-9


def _exchanged(values: Mapping[str, Sequence[tuple[str, str, float, float]]]) -> list[str]:
    """Return a sentence for each two scores whose printed numbers are nearer to each other's in every fold, at most half as far away."""
    found = []
    for (first, ones), (second, twos) in combinations(values.items(), 2):
        if [one[0] for one in ones] != [two[0] for two in twos]:
            continue
        apart = [(abs(a[2] - a[3]) + abs(b[2] - b[3])) / 2 for a, b in zip(ones, twos, strict=True)]
        turned = [(abs(a[2] - b[3]) + abs(b[2] - a[3])) / 2 for a, b in zip(ones, twos, strict=True)]
        if all(other < own / 2 for own, other in zip(apart, turned, strict=True)):
            found.append(
                f"Printed {first} and {second} look exchanged: as printed they are off by {sum(apart) / len(apart):.4f} on average, "
                f"exchanged by {sum(turned) / len(turned):.4f}, and exchanged they are nearer in every fold."
            )
    return found
