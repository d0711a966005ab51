"""What each augmentation adds to the scores of the same arm: differences, paired by patient."""

from collections.abc import Mapping, Sequence

import numpy as np

from histobench.evaluation.bootstrap import interval
from histobench.evaluation.comparisons import name_of_draws
from histobench.report.render import Table
from histobench.report.tables.comparison_tables import excludes_zero
from histobench.report.terms import EMPTY, Texts, bracket, fixed, head, magnified, minus, remarks, resampled, signed
from histobench.study.resolved import Study, printed_mode

SHOWN = ("accuracy", "auc")
PLACE = ("model", "mode", "magnification", "metric")
DIFFERENCES = ("difference", "augmented_difference")
"""From the augmentation of Table 4, which is none, and from that of Table 5."""
COLUMNS = (*PLACE, "augmentation", "score", *(f"{name}{end}" for name in DIFFERENCES for end in ("", "_low", "_high")))


def augmentation_table(intervals: Sequence[Texts], draws: Mapping[str, np.ndarray], study: Study) -> Table:
    """Return a row for each arm, magnification, score and augmentation, sorted by the difference from no augmentation.

    The score is the mean over folds at the last epoch. Differences have 95 % intervals: patients are resampled, the same ones for
    both augmentations.

    Args:
        intervals: rows of `intervals.csv`.
        draws: arrays of `draws.npz`.
        study: in which an arm is trained with several augmentations (:func:`histobench.study.outputs.several_augmentations`).
    """
    place = {"dataset": study.dataset, "split": study.split, "selection": "last"}
    own = [row for row in intervals if place.items() <= row.items() and row["metric"] in SHOWN]
    known = {_key(row, row["augmentation"]): row for row in own}
    rows = []
    for row in own:
        plain, augmented = (known.get(_key(row, name)) for name in study.numbered.values())
        if plain is None or row is plain:
            continue
        made = {name: row[name] for name in (*PLACE, "augmentation")} | {"score": fixed(row["fold_mean"])}
        for name, other in zip(DIFFERENCES, (plain, augmented), strict=True):
            found = [""] * 3 if other in (None, row) else _difference(row, other, draws)
            made |= {f"{name}{end}": text for end, text in zip(("", "_low", "_high"), found, strict=True)}
        rows.append(made)
    arms = [arm.key for arm in study.arms]
    rows.sort(
        key=lambda row: (
            (arms.index((row["model"], row["mode"])), int(row["magnification"]), SHOWN.index(row["metric"])),
            float(row["difference"]),
        )
    )
    caption = study.caption(
        f"What augmentation adds to the scores of the same arm: dataset {study.dataset}, split {study.split}, last epoch, means over "
        "folds.",
        f"Difference: from augmentation {study.numbered[4]}; augmented difference: from augmentation {study.numbered[5]}; with 95 % "
        "intervals, in which the same groups are resampled for both augmentations.",
        *readings(rows, study),
        f"Groups: {resampled(own, study)}." if rows else EMPTY,
        *remarks([row for row in own if row["metric"] == "accuracy"], study.labels),
    )
    cells = [row | {"model": study.label(row["model"]), "metric": head(row["metric"])} for row in rows]
    return Table.of("Augmentation effects", caption, COLUMNS, cells, (*PLACE, "augmentation", "score", *DIFFERENCES))


def readings(rows: Sequence[Texts], study: Study) -> list[str]:
    """Return what the differences in accuracy say of each arm and magnification, in a sentence each; `rows` are sorted."""
    panels: dict[tuple[str, str, str], list[Texts]] = {}
    for row in rows:
        if row["metric"] == "accuracy":
            panels.setdefault((row["model"], row["mode"], row["magnification"]), []).append(row)
    said = []
    for (model, mode, magnification), own in panels.items():
        ends = [
            f"{row['augmentation']} {minus(row['difference'])} {minus(bracket(row['difference_low'], row['difference_high']))}"
            for row in (own[0], own[-1])
        ]
        clear = [row["augmentation"] for row in own if excludes_zero(row)]
        named = f" ({', '.join(clear)})" if clear else ""
        said.append(
            f"{study.label(model)} {printed_mode(mode)} at {magnified(magnification)}: the lowest change in accuracy is that of {ends[0]}, "
            f"the highest that of {ends[1]}; {len(clear)} of {len(own)} intervals exclude zero{named}. If augmentation changed nothing, "
            f"{0.05 * len(own):.2g} would on average."
        )
    return said


def _key(row: Texts, augmentation: str) -> tuple[str, ...]:
    return (*(row[name] for name in PLACE), augmentation)


def _difference(row: Texts, other: Texts, draws: Mapping[str, np.ndarray]) -> list[str]:
    """Return the difference of two means over folds and the ends of its interval, which are empty where there is none."""
    difference = float(row["fold_mean"]) - float(other["fold_mean"])
    drawn = draws[name_of_draws(row, "draws")] - draws[name_of_draws(other, "draws")]
    return [signed(value) for value in (difference, *interval(difference, drawn, float(row["freedom"])))]
