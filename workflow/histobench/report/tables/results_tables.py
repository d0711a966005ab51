"""Tables 4 and 5, the scores per arm and magnification, and the scores of every arm under every split policy.

The CSV of a table holds the numbers as printed, so that the companion's differences can be checked by hand;
`summary.csv` has full precision.
"""

from collections.abc import Mapping, Sequence

from histobench.io.errors import HistoBenchError
from histobench.metrics import METRICS, SCORES
from histobench.report.published_tables import COMPARED, beside
from histobench.report.render import Bold, Table
from histobench.report.terms import EMPTY, HEADS, OPTIMISTIC, Texts, count, fixed, printed, spread
from histobench.study.resolved import Study

ARM_KEYS = ("model", "mode", "magnification")
RESULTS_COLUMNS = (*ARM_KEYS, *(f"{score}_{statistic}" for score in SCORES for statistic in ("mean", "std")))
SCORES_KEYS = ("dataset", "model", "mode", "magnification", "augmentation", "split", "selection")
SCORES_COLUMNS = (
    *SCORES_KEYS,
    "folds",
    *(f"{metric}_{statistic}" for metric in METRICS for statistic in ("mean", "std")),
)


def results_tables(
    summary: Sequence[Texts],
    published: Sequence[Texts],
    number: int,
    selection: str,
    study: Study,
) -> tuple[Table, Table]:
    """Return Table 4 or 5, the scores per arm and magnification, and its companion.

    Published arms come first, in the order of the published table; the others follow in the order of `summary`.

    Args:
        summary: rows of `summary.csv`, of which those of the table's dataset, split policy and augmentation, and of `selection`, are used.
        published: rows of the published table.
        number: number of the table.
        selection: `last` or `best_epoch`.
        study: the resolved study.

    Raises:
        HistoBenchError: two models have the same name in print.
    """
    wanted = {**study.main, "augmentation": study.numbered[number], "selection": selection}
    chosen = [row for row in summary if all(row[column] == value for column, value in wanted.items())]
    rows = [
        {"model": study.label(row["model"]), "mode": row["mode"], "magnification": row["magnification"]}
        | {column: fixed(row[column]) for column in RESULTS_COLUMNS[len(ARM_KEYS) :]}
        for row in chosen
    ]
    arms = [(row.get("model"), row.get("mode")) for row in (*published, *rows)]
    rows.sort(key=lambda row: (arms.index((row["model"], row["mode"])), int(row["magnification"])))
    if len({tuple(row[key] for key in ARM_KEYS) for row in rows}) < len(rows):
        raise HistoBenchError(
            f"Table {number}: two models of study {study.name} have the same name in print; "
            "give each its own `label` in the configuration"
        )
    folds = count((int(row["folds"]) for row in chosen), "fold") if chosen else "no fold"
    setting = (
        f"dataset {study.dataset}, split policy {study.split}, augmentation {study.numbered[number]}, {printed('selection', selection)}, "
        f"mean ± sample standard deviation over {folds}."
    )
    best = best_means(rows)
    warning = [OPTIMISTIC] if selection == "best_epoch" else []
    if not rows:
        warning.append(EMPTY)
    table = Table(
        title=f"Table {number}" + (", best epoch" if selection == "best_epoch" else ""),
        caption=study.caption(
            f"Classification results: {setting}", *warning, "Bold: best per metric and magnification."
        ),
        columns=RESULTS_COLUMNS,
        rows=rows,
        header=tuple(HEADS[column] for column in (*ARM_KEYS, *SCORES)),
        cells=[
            (
                *(printed(key, row[key]) for key in ARM_KEYS),
                *((Bold if (index, f"{score}_mean") in best else str)(spread(row, score)) for score in SCORES),
            )
            for index, row in enumerate(rows)
        ],
    )
    caption = study.caption(
        f"Classification results beside the published ones: {setting}",
        *warning,
        f"{COMPARED} Means are shown; the CSV has the standard deviations too.",
    )
    means = {f"{score}_mean": score for score in SCORES}
    return table, beside(table.title, rows, published, ARM_KEYS, RESULTS_COLUMNS[len(ARM_KEYS) :], caption, means)


def scores_table(
    summary: Sequence[Texts],
    equal_pixels: Mapping[tuple[str, str], Sequence[int]],
    study: Study,
) -> Table:
    """Return the scores of every arm of a study, under every split policy and both selections.

    Split policies and selections of one arm follow each other, in the order of `summary`.

    Args:
        summary: rows of `summary.csv`.
        equal_pixels: for each (dataset, split) the pairs of images with equal pixels on both sides of each fold.
        study: the resolved study.
    """
    places: dict[str, dict[str, int]] = {key: {} for key in SCORES_KEYS}
    for row in summary:
        for key, seen in places.items():
            seen.setdefault(row[key], int(row[key]) if key == "magnification" else len(seen))
    ordered = sorted(summary, key=lambda row: [places[key][row[key]] for key in SCORES_KEYS])
    rows = [
        {key: row[key] for key in SCORES_COLUMNS}
        | {"model": study.label(row["model"])}
        | {column: fixed(row[column]) for column in SCORES_COLUMNS[len(SCORES_KEYS) + 1 :]}
        for row in ordered
    ]
    shown = (*(SCORES_KEYS if len(places["dataset"]) > 1 else SCORES_KEYS[1:]), "folds")
    return Table(
        title="Scores of every arm",
        caption=study.caption(
            f"Dataset {' and '.join(places['dataset'])}: mean ± sample standard deviation over folds.",
            "Patient rate: mean over patients of the share of a patient's images that are classified correctly.",
            *(
                f"Split policy {split} lets images of one patient into both sides: a deliberately leaky control."
                for split in places["split"]
                if study.splits[split]["by"] == "image"
            ),
            *(
                f"Dataset {dataset}, split policy {split}: images with equal pixels stand on both sides of a fold, "
                f"{', '.join(map(str, pairs))} pairs in folds 1 to {len(pairs)}."
                for (dataset, split), pairs in equal_pixels.items()
                if any(pairs)
            ),
            OPTIMISTIC,
        ),
        columns=SCORES_COLUMNS,
        rows=rows,
        header=tuple(HEADS[key] for key in (*shown, *METRICS)),
        cells=[
            (*(printed(key, row[key]) for key in shown), *(spread(row, metric) for metric in METRICS)) for row in rows
        ],
    )


def best_means(rows: Sequence[Texts]) -> set[tuple[int, str]]:
    """Return (row, column) of the best mean of each score at each magnification, where there are several."""
    best = set()
    for column in RESULTS_COLUMNS[len(ARM_KEYS) :: 2]:
        for magnification in {row["magnification"] for row in rows}:
            means = {
                index: float(row[column]) for index, row in enumerate(rows) if row["magnification"] == magnification
            }
            if len(means) > 1:
                best |= {(index, column) for index, mean in means.items() if mean == max(means.values())}
    return best
