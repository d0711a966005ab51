"""Tables 4, 5 and 6, the scores per arm, each with its companion beside the published one and its intervals.

The CSV of a table holds the numbers as printed, so that the companion's differences can be checked by hand;
`summary.csv` and `external_summary.csv` have full precision.
"""

from collections.abc import Sequence
from itertools import product

from histobench.evaluation.bootstrap import POOLED
from histobench.io.errors import HistoBenchError
from histobench.metrics import SCORES
from histobench.report.published_tables import COMPARED, beside
from histobench.report.render import Table
from histobench.report.tables.scores_tables import OWN, external_units, folds, new_classes, spreads, with_scores
from histobench.report.terms import (
    EMPTY,
    EMPTY_EXTERNAL,
    WARNINGS,
    WITHOUT,
    Texts,
    fixed,
    magnified,
    printed,
    remarks,
    resampled,
    span,
)
from histobench.study.outputs import title
from histobench.study.resolved import Study

KEYS = ("model", "mode", "magnification")
ACCESSION = "mean over folds, by accession number"
BY_ACCESSION = (
    "By accession number: accession numbers ({}) are resampled instead, within class, because slides of one number may be of "
    "one patient."
)
ESTIMATORS = {
    "mean over folds": ("fold_mean", "fold_mean_low", "fold_mean_high"),
    ACCESSION: ("accession_mean", "accession_low", "accession_high"),
    "pooled": ("estimate", "low", "high"),
}
"""Estimator -> columns of the score and the ends of its interval in `intervals.csv`; the first is the headline of all tables.
The second is left out where accession numbers are the groups, or as good as these."""


def results_tables(
    summary: Sequence[Texts],
    published: Sequence[Texts],
    number: int,
    selection: str,
    study: Study,
    more: Sequence[str] = (),
) -> tuple[Table, Table]:
    """Return Table 4, 5 or 6, the scores per arm and magnification, and its companion.

    Published arms come first, in the order of the published table; the others follow in the order of `summary`. Table 6 is
    of the external test, and of one training magnification.

    `summary` are the rows of `summary.csv`, for Table 6 of `external_summary.csv`, and `published` those of the published
    table. The selection is one of a run's; Table 6 has only the last epoch. `more` are sentences for its captions.

    Raises:
        HistoBenchError: two models have the same name in print.
    """
    setting = _setting(number, selection, study)
    chosen = [row for row in summary if setting.items() <= row.items()]
    keys = KEYS[:2] if number == 6 else KEYS
    rows = _ordered([with_scores(row, keys, SCORES, study) for row in chosen], published)
    if len({tuple(row[key] for key in keys) for row in rows}) < len(rows):
        raise HistoBenchError(
            f"{_title(number, selection, study)}: two models of study {study.name} have the same name in print; "
            "give each its own `label` in the configuration"
        )
    over = f"mean ± sample standard deviation over {folds(chosen)}."
    empty = [] if rows else [EMPTY_EXTERNAL if number == 6 else EMPTY]
    if number == 6:
        trained = f" at {magnified(setting['magnification'])}"
        about = companion = (
            f"External test on dataset {setting['on']}, images {setting['scale']}, of models trained on {setting['dataset']}"
            f"{trained}, split policy {setting['split']}, augmentation {setting['augmentation']}: {over}"
        )
        own = [OWN, *more, "All training magnifications and scales, and the rates of each class: external.csv."]
        last = new_classes(study)
    else:
        about, companion = (
            f"Classification results{which}: dataset {study.dataset}, split policy {study.split}, "
            f"augmentation {setting['augmentation']}, {printed('selection', selection)}, {resampled(chosen, study)}, {over}"
            for which in ("", " beside the published ones")
        )
        empty = [*WARNINGS[selection], *empty]
        own = ["Bold: best per metric and magnification."]
        last = []
    own += remarks(chosen, study.labels)
    table = Table.of(
        _title(number, selection, study),
        " ".join([study.caption(about, *empty, *own), *last]),
        (*keys, *spreads(SCORES)),
        rows,
        (*keys, *SCORES),
        bold=() if number == 6 else {(row, column.removesuffix("_mean")) for row, column in best_means(rows)},
    )
    compared = f"{COMPARED} Means are shown; the CSV has the standard deviations too."
    caption = " ".join([study.caption(companion, *empty, compared, *more), *last])
    return table, beside(table.title, rows, published, keys, spreads(SCORES), caption)


def best_means(rows: Sequence[Texts]) -> set[tuple[int, str]]:
    """Return (row, column) of the best mean of each score at each magnification, where there are several."""
    best = set()
    for column in (f"{score}_mean" for score in SCORES):
        for magnification in {row["magnification"] for row in rows}:
            means = {
                index: float(row[column]) for index, row in enumerate(rows) if row["magnification"] == magnification
            }
            if len(means) > 1:
                best |= {(index, column) for index, mean in means.items() if mean == max(means.values())}
    return best


def intervals_table(
    intervals: Sequence[Texts], published: Sequence[Texts], number: int, selection: str, study: Study
) -> Table:
    """Return the intervals of Table 4, 5 or 6: a cell for every arm, magnification, estimator and score, and more scores.

    The rows are those of `intervals.csv`, for Table 6 of `external_intervals.csv`, which has means over folds alone;
    otherwise as :func:`results_tables`.
    """
    setting = _setting(number, selection, study)
    chosen = [row for row in intervals if setting.items() <= row.items() and row["metric"] in POOLED]
    arms: dict[tuple[str, ...], dict[str, str]] = {}
    parts = ("estimate", "low", "high")
    several = {
        estimator: columns for estimator, columns in ESTIMATORS.items() if any(row.get(columns[1]) for row in chosen)
    }
    wanted = {"mean over folds": parts} if number == 6 else several
    for row, (estimator, columns) in product(chosen, wanted.items()):
        key = {**{name: row[name] for name in KEYS}, "model": study.label(row["model"]), "estimator": estimator}
        arm = arms.setdefault((*(row[name] for name in KEYS), estimator), key)
        arm |= {f"{row['metric']}_{part}": fixed(row[column]) for part, column in zip(parts, columns, strict=True)}
    where = ", ".join(f"{column} {value}" for column, value in setting.items())
    if number == 6:
        about = [
            f"Mean over the models of all folds of their scores on another dataset, with 95 % intervals: {where}.",
            *external_units(chosen),
        ]
    else:
        about = [
            f"Scores with 95 % intervals: {where.replace('_', ' ')}; {resampled(chosen, study)}, resampled within class and fold.",
            *([BY_ACCESSION.format(_accessions(chosen))] if ACCESSION in wanted else []),
            *WARNINGS[selection],
            f"The mean over folds is that of {_title(number, selection, study)}. The pooled score, of the out-of-fold "
            "predictions of all folds together, is another number: folds differ in size, and the AUC ranks images of all "
            "folds together. The mean ECE is too high where folds are small.",
            f"Two intervals that overlap do not show that arms are alike: see {title(study, 'table7')} for differences.",
        ]
    about += remarks([row for row in chosen if row["metric"] == "accuracy"], study.labels)
    if any(
        arm[f"{name}_low"] == arm[f"{name}_high"] for arm in arms.values() for name in POOLED if f"{name}_low" in arm
    ):
        about.append(WITHOUT)
    if not arms:
        about.append(EMPTY_EXTERNAL if number == 6 else EMPTY)
    return Table.of(
        f"{_title(number, selection, study)}, intervals",
        study.caption(*about),
        (*KEYS, "estimator", *(f"{metric}_{part}" for metric in POOLED for part in parts)),
        _ordered(list(arms.values()), published),
        (*KEYS, "estimator", *POOLED),
    )


def _accessions(rows: Sequence[Texts]) -> str:
    """Return how many accession numbers of each class images are of."""
    known = [row for row in rows if row["accession_low"]]
    return " and ".join(
        f"{span(int(row[f'accession_{name}']) for row in known)} {name}" for name in ("benign", "malignant")
    )


def _setting(number: int, selection: str, study: Study) -> dict[str, str]:
    """Return the columns that select the rows of a table."""
    if number == 6:
        return study.table6
    return {**study.main, "augmentation": study.numbered[number], "selection": selection}


def _title(number: int, selection: str, study: Study) -> str:
    return title(study, f"table{number}") + {"validation": ", validation groups", "best_epoch": ", best epoch"}.get(
        selection, ""
    )


def _ordered(rows: Sequence[dict[str, str]], published: Sequence[Texts]) -> list[dict[str, str]]:
    """Return the rows with the published arms first, in their order; the magnifications of an arm ascend."""
    arms = [(row.get("model"), row.get("mode")) for row in (*published, *rows)]
    return sorted(rows, key=lambda row: (arms.index((row["model"], row["mode"])), int(row.get("magnification", 0))))
