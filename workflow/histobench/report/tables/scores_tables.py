"""The scores of every arm: of a study under every split policy, and of its external test."""

from collections.abc import Mapping, Sequence

from histobench.datasets.tiles import MOST
from histobench.evaluation.external import KEYS, MEAN, RATE
from histobench.metrics import METRICS, SCORES
from histobench.report.render import Table
from histobench.report.terms import EMPTY_EXTERNAL, SELECTIONS, WARNINGS, Texts, count, fixed, head, remarks, resampled
from histobench.study.resolved import Study

OWN = "Every fold's model predicts all images; no fine-tuning, nothing is chosen on them."
SCALES = (
    "Squashed: the whole image fills the model's square. Matched: tiles as large as the field of view of training fill it, at most "
    f"{MOST} x {MOST} in an image, and their logits are averaged."
)


def scores_table(summary: Sequence[Texts], equal_pixels: Mapping[tuple[str, str], int], study: Study) -> Table:
    """Return the scores of every arm of a study, under every split policy and selection.

    Split policies and selections of one arm follow each other, in the order of the rows of `summary.csv`. `equal_pixels`
    holds for each (dataset, split) the number of pairs of images with equal pixels on both sides of a fold, in all folds.
    """
    keys = ("dataset", "model", "mode", "magnification", "augmentation", "split", "selection")
    rows = [with_scores(row, (*keys, "folds"), METRICS, study) for row in _arranged(summary, keys)]
    datasets, splits, selections = (
        list(dict.fromkeys(row[key] for row in summary)) for key in ("dataset", "split", "selection")
    )
    return Table.of(
        "Scores of every arm",
        study.caption(
            f"Dataset {' and '.join(datasets)}: mean ± sample standard deviation over folds; "
            f"{', '.join(resampled([row for row in summary if row['dataset'] == one], study) for one in datasets)}.",
            "Patient rate: mean over groups (patients or accession numbers) of the share of a group's images that are classified "
            "correctly.",
            *(
                f"Split policy {split} lets images of one patient into both sides: a deliberately leaky control."
                for split in splits
                if study.splits[split]["by"] == "image"
            ),
            *(
                f"Dataset {dataset}, split policy {split}: images with equal pixels stand on both sides of a fold "
                f"({count([pairs], 'pair')} in all folds)."
                for (dataset, split), pairs in equal_pixels.items()
                if pairs
            ),
            *(line for selection in SELECTIONS for line in WARNINGS[selection] if selection in selections),
            *remarks(summary, study.labels),
        ),
        (*keys, "folds", *spreads(METRICS)),
        rows,
        (*(keys if len(datasets) > 1 else keys[1:]), "folds", *METRICS),
    )


def external_table(summary: Sequence[Texts], groups: Sequence[Texts], study: Study) -> Table:
    """Return every arm's scores on every dataset it is evaluated on, and the malignant-call rate of each class there.

    They come from the rows of `external_summary.csv` and `external_groups.csv`.
    """
    means = [row for row in groups if row["fold"] == MEAN]
    label = {row["class"]: row["label"] for row in means}
    names = sorted(label, key=lambda name: label[name])  # stable: benign classes first
    rates = {(*(row[key] for key in KEYS), row["class"]): row for row in means}
    columns = [f"rate_{name}" for name in names]
    rows = []
    for line in _arranged(
        summary, (*(key for key in KEYS if key not in ("scale", "magnification")), "magnification", "scale")
    ):
        found = [rates.get((*(line[key] for key in KEYS), name), {}) for name in names]
        shares = {f"{column}_mean": rate.get(RATE, "") for column, rate in zip(columns, found, strict=True)}
        shares |= {f"{column}_std": rate.get(f"{RATE}_std", "") for column, rate in zip(columns, found, strict=True)}
        rows.append(with_scores({**line, **shares}, (*KEYS, "folds"), (*METRICS, *columns), study))
    shown = [key for key in KEYS if key in ("model", "mode", "magnification") or len({row[key] for row in rows}) > 1]
    constant = ", ".join(f"{head(key).lower()} {rows[0][key]}" for key in KEYS if rows and key not in shown)
    caption = study.caption(
        f"External test of every arm{f' ({constant})' if constant else ''}: mean ± sample standard deviation over "
        f"{folds(rows)}; magnification is that of the training images.",
        OWN,
        *([SCALES] if "scale" in shown else []),
        f"{', '.join(name.capitalize() for name in names)}: share of the images of this class that are called "
        f"malignant, which is right for {' and '.join(name for name in names if label[name] == '1')}."
        if rows
        else EMPTY_EXTERNAL,
        *remarks(summary, study.labels),
    )
    return Table.of(
        "External test",
        " ".join([caption, *new_classes(study)]),
        (*KEYS, "folds", *spreads((*METRICS, *columns))),
        rows,
        (*shown, *SCORES, *columns),
        (*map(head, (*shown, *SCORES)), *map(str.capitalize, names)),
    )


def with_scores(row: Texts, keys: Sequence[str], metrics: Sequence[str], study: Study) -> dict[str, str]:
    """Return `keys` and the scores of a row of `summary.csv` as printed: models by their labels, four decimals."""
    printed = {key: row[key] for key in keys} | {"model": study.label(row["model"])}
    return printed | {column: fixed(row[column]) for column in spreads(metrics)}


def spreads(metrics: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of mean and standard deviation of each metric."""
    return tuple(f"{metric}_{statistic}" for metric in metrics for statistic in ("mean", "std"))


def folds(rows: Sequence[Texts]) -> str:
    """Return over how many folds the scores of rows are, for example `5 folds`, or `5 folds, each the mean over 3 seeds`."""
    if not rows:
        return "no fold"
    seeds = [int(row.get("seeds") or 1) for row in rows]
    averaged = f", each the mean over {count(seeds, 'seed')}" if max(seeds) > 1 else ""
    return count((int(row["folds"]) for row in rows), "fold") + averaged


def new_classes(study: Study) -> list[str]:
    """Return which classes are new to models trained on BreakHis and evaluated on BACH, as sentences."""
    formats = {
        (study.datasets[block["dataset"]]["format"], study.datasets[block["on"]]["format"]) for block in study.external
    }
    new = "BreakHis has neither normal tissue nor carcinoma in situ: two of BACH's four classes are new to the models."
    return [new] if ("breakhis", "bach") in formats else []


def external_units(intervals: Sequence[Texts]) -> list[str]:
    """Return what rows of `external_intervals.csv`, of one dataset, resample, as a sentence; nothing without rows."""
    if not intervals:
        return []
    known, of, images = (int(intervals[0][column]) for column in ("known_patients", "known_images", "images"))
    alone = images - of
    if not known:
        return [f"Intervals resample {count([images], 'image')}, whose patients are not known, within class."]
    rest = f", and the other {count([alone], 'image')}, each on its own" if alone else ""
    return [f"Intervals resample {count([known], 'known patient')} with {count([of], 'image')}{rest}, within class."]


def _arranged(summary: Sequence[Texts], keys: Sequence[str]) -> list[Texts]:
    """Return the rows sorted by `keys`, each in the order in which its values first occur; magnifications ascend."""
    places = {key: list(dict.fromkeys(row[key] for row in summary)) for key in keys}
    places["magnification"].sort(key=int)
    return sorted(summary, key=lambda row: [places[key].index(row[key]) for key in keys])
