"""Published scores of encoders on the images of a benchmark, and a study's own beside them."""

from collections.abc import Mapping, Sequence

from histobench.evaluation.class_scores import ALL
from histobench.report.render import Table
from histobench.report.tables.class_tables import resampled_groups
from histobench.report.terms import Texts, fixed, magnified, training_variance
from histobench.study.published_rows import OURS
from histobench.study.resolved import Study

COLUMNS = ("encoder", "source", "metric", "selection", "value", "value_low", "value_high", "images", "groups")
SHOWN = ("encoder", "source", "metric", "selection", "value", "images", "groups")


def benchmark_table(published: Sequence[Mapping[str, str]], scores: Sequence[Texts], study: Study) -> Table:
    """Return a row for each published score, and for each of the study's own at its headline magnification.

    Rows of one metric are together, the highest score first. Published ones have no interval, images or groups.

    Args:
        published: encoder -> score of each entry of `study.benchmark`, in their order.
        scores: rows of class_scores.csv.
        study: the resolved study.
    """
    place = {**study.main, "magnification": str(study.magnification), "class": ALL}
    own = [row for row in scores if place.items() <= row.items() and row["fold_mean"]]
    rows: list[dict[str, str]] = []
    for metric in dict.fromkeys(one["metric"] for one in study.benchmark):
        sources = [
            (one, found) for one, found in zip(study.benchmark, published, strict=True) if one["metric"] == metric
        ]
        selections = {"last", *(one["selection"] for one, _ in sources)}
        found = [
            {"encoder": encoder, "source": one["source"], "selection": one["selection"], "value": value}
            for one, values in sources
            for encoder, value in values.items()
        ]
        found += [_own(row, study) for row in own if row["metric"] == metric and row["selection"] in selections]
        found.sort(key=lambda row: -float(row["value"]))
        rows += [dict.fromkeys(COLUMNS, "") | row | {"metric": metric} for row in found]
    each = [
        row
        for row in scores
        if (row["dataset"], row["split"], row["selection"]) == (study.dataset, study.split, "last")
    ]
    return Table.of(
        "Published scores beside this study's",
        study.caption(
            f"Scores that others have published for the images of this benchmark, and scores of {OURS}. Those of {OURS} are means over folds "
            f"with 95 % intervals: dataset {study.dataset}, split policy {study.split}, {magnified(study.magnification)}. Published scores have no "
            "interval here. For each metric the highest score is first. The best epoch is chosen on the images that are scored.",
            *(f"{one['source']}: {one['note']}" for one in study.benchmark if one["note"]),
            *resampled_groups([row for row in each if row["class"] != ALL], study),
            *([training_variance({int(row["seeds"]) for row in own})] if own else []),
        ),
        COLUMNS,
        rows,
        SHOWN,
        bold={(index, "encoder") for index, row in enumerate(rows) if row["source"] == OURS},
    )


def _own(row: Texts, study: Study) -> dict[str, str]:
    """Return a row of class_scores.csv as one of the table; an interval that is a single value is left out."""
    (arm,) = (arm for arm in study.arms if arm.key == (row["model"], row["mode"]))
    low, high = row["fold_mean_low"], row["fold_mean_high"]
    return {
        "encoder": arm.name,
        "source": OURS,
        "selection": row["selection"],
        "value": fixed(row["fold_mean"]),
        "value_low": fixed(low) if low != high else "",
        "value_high": fixed(high) if low != high else "",
        "images": row["images"],
        "groups": row["groups"],
    }
