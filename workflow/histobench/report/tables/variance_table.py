"""The shares of seed, fold and groups in the variance of a score."""

from collections.abc import Sequence

from histobench.evaluation.summary import ARM
from histobench.evaluation.variance import SOURCES
from histobench.report.render import Table
from histobench.report.terms import EMPTY, Texts, count, fixed, head
from histobench.study.resolved import Study

SHOWN = ("accuracy", "auc")
"""Scores in table and figure; variance.csv has all."""


def chosen(variance: Sequence[Texts]) -> list[Texts]:
    """Return the rows of variance.csv that are shown: of the last epoch and of :data:`SHOWN`."""
    return [row for row in variance if row["selection"] == "last" and row["metric"] in SHOWN]


def variance_table(variance: Sequence[Texts], study: Study) -> Table:
    """Return the table of the rows of `variance.csv` that are shown, each with its shares and standard deviations."""
    rows = chosen(variance)
    keys = [key for key in ARM if key in ("model", "mode", "magnification") or len({row[key] for row in rows}) > 1]
    numbers = [f"{source}_share" for source in SOURCES] + [f"{source}_std" for source in (*SOURCES, "total")]
    columns = (*ARM, "metric", "seeds", "folds", "unit", *numbers)
    cells = [
        {column: fixed(row[column]) if column in numbers else row[column] for column in columns}
        | {"model": study.label(row["model"]), "metric": head(row["metric"])}
        for row in rows
    ]
    shown = (*keys, "metric", "seeds", *numbers)
    names = [f"{source.capitalize()}, share" for source in SOURCES]
    names += [f"{source.capitalize()}, SD" for source in (*SOURCES, "total")]
    return Table.of(
        "Shares of variance",
        study.caption(*about(rows)),
        columns,
        cells,
        shown,
        (*map(head, shown[: -len(numbers)]), *names),
    )


def about(rows: Sequence[Texts]) -> list[str]:
    """Return what the shares are, as sentences."""
    if not rows:
        return [EMPTY]
    units = " or ".join(dict.fromkeys(f"{row['unit']}s" for row in rows))
    seeds, folds = (count((int(row[f"{name}s"]) for row in rows), name) for name in ("seed", "fold"))
    return [
        f"Variance of the score of a model that is trained once and evaluated on one fold, estimated from {seeds} for each of "
        f"{folds}, last epoch.",
        f"Seed: chance in training. Group: which {units} evaluate (jackknife). Fold: the rest of the variance between folds, above all "
        "the choice of training images.",
        "SD is the standard deviation. Estimates of few folds are rough, and a negative one counts as 0.",
    ]
