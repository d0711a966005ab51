"""The intervals of Tables 4, 5 and 6."""

from collections.abc import Sequence

from histobench.evaluation.bootstrap import POOLED
from histobench.evaluation.summary import ARM
from histobench.report.render import Table
from histobench.report.tables.external_tables import EMPTY_EXTERNAL
from histobench.report.terms import EMPTY, HEADS, OPTIMISTIC, Texts, count, fixed, printed
from histobench.study.resolved import Study


def intervals_table(
    intervals: Sequence[Texts],
    published: Sequence[Texts],
    number: int,
    selection: str,
    study: Study,
) -> Table:
    """Return the intervals of Table 4, 5 or 6: a cell for every arm, magnification and score, and some scores more.

    Args:
        intervals: rows of `intervals.csv`, for Table 6 of `external_intervals.csv`.
        published: rows of the published table; its arms come first.
        number: number of the table.
        selection: `last` or `best_epoch`; Table 6 has only the last epoch.
        study: the resolved study.
    """
    if number == 6:
        wanted = study.table6
    else:
        wanted = {**study.main, "augmentation": study.numbered[number], "selection": selection}
    arms: dict[tuple[str, ...], dict[str, Texts]] = {}
    for row in intervals:
        if all(row[column] == value for column, value in wanted.items()):
            arms.setdefault(tuple(row[column] for column in ARM), {})[row["metric"]] = row
    setting = ", ".join(f"{column} {value}" for column, value in wanted.items())
    keys, parts = ("model", "mode", "magnification"), ("estimate", "low", "high")
    columns = (*keys, *(f"{metric}_{part}" for metric in POOLED for part in parts))
    rows = []
    for arm, metrics in arms.items():
        key = dict(zip(ARM, arm, strict=True))
        row = {"model": study.label(key["model"]), "mode": key["mode"], "magnification": key["magnification"]}
        rows.append(row | {f"{name}_{part}": fixed(metrics[name][part]) for name in POOLED for part in parts})
    order = [(row.get("model"), row.get("mode")) for row in (*published, *rows)]
    rows.sort(key=lambda row: (order.index((row["model"], row["mode"])), int(row["magnification"])))
    numbers = [int(row["patients"]) for metrics in arms.values() for row in metrics.values()]
    patients = count(numbers, "patient") if numbers else "no patient"
    if number == 6:
        what = (
            f"Mean over the models of all folds of their scores on another dataset, with 95 % intervals: {setting}; "
            f"{patients} of that dataset (an image whose patient is unknown counts as one), resampled within class.",
        )
    else:
        what = (
            f"Scores on the pooled out-of-fold predictions with 95 % intervals: {setting.replace('_', ' ')}; {patients}, "
            "resampled within class.",
            *([OPTIMISTIC] if selection == "best_epoch" else []),
            "A pooled score is not the mean over folds: folds differ in size, and the AUC ranks images of all folds "
            "together.",
            "Two intervals that overlap do not show that arms are alike: see Table 7 for differences.",
        )
    if not rows:
        what = (*what, EMPTY_EXTERNAL if number == 6 else EMPTY)
    suffix = ", best epoch" if selection == "best_epoch" else ""
    return Table(
        title=f"Table {number}{suffix}, intervals",
        caption=study.caption(*what),
        columns=columns,
        rows=rows,
        header=tuple(HEADS[column] for column in (*keys, *POOLED)),
        cells=[
            (
                *(printed(key, row[key]) for key in keys),
                *(f"{row[f'{name}_estimate']} [{row[f'{name}_low']}, {row[f'{name}_high']}]" for name in POOLED),
            )
            for row in rows
        ],
    )
