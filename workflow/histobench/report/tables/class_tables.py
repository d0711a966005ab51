"""Scores of arms with several classes: of all classes, and recall and precision of each."""

from collections.abc import Sequence

from histobench.evaluation.class_scores import ALL
from histobench.report.render import Table
from histobench.report.terms import (
    ABSENT,
    BACH_PATIENTS,
    EMPTY,
    NO_INTERVAL,
    Texts,
    count,
    fixed,
    span,
    training_variance,
)
from histobench.study.class_files import SCORES
from histobench.study.resolved import Study
from histobench.study.runs import ARM

MEAN = ("fold_mean", "fold_mean_low", "fold_mean_high")
POOLED = ("estimate", "low", "high")
PARTS = ("estimate", "low", "high")
WITHOUT = (
    f"{NO_INTERVAL[1:-1].capitalize()}: every draw gives the same value, or a single group has images of the class."
)
FEW = (
    "A class of n groups has n - 1 degrees of freedom; with few of them 95 % intervals cover the true value less often."
)
PRESENT = (
    "Balanced accuracy is the mean recall of the classes; macro F1 and macro AUC (a class against all others, by its probability) are "
    "means of the classes too. All are over the classes that have images"
)


def class_tables(rows: Sequence[Texts], study: Study) -> dict[str, Table]:
    """Return the tables `results` (means over folds), `results-pooled` and `recall`, of rows of class_scores.csv."""
    last = [row for row in rows if row["selection"] == "last"]
    whole = [row for row in last if row["class"] == ALL]
    each = [row for row in last if row["class"] != ALL]
    counted = resampled_groups(each, study)
    seeds = [training_variance({int(row["seeds"]) for row in whole})] if whole else []
    about = {
        "results": f"Means over folds with 95 % intervals. {PRESENT} in a fold.",
        "results-pooled": "Scores of the predictions of all folds together, each image once, with 95 % intervals. "
        f"{PRESENT}. The AUC ranks images of all folds together, which different models have scored.",
        "recall": "Recall and precision of each class in the predictions of all folds together, with 95 % intervals. Folds: in how many of "
        "them the class has images that evaluate. If folds are a partition, a class of a single fold has no image to train on there, so that "
        f"it cannot be recognised. {FEW}",
    }
    titles = {
        "results": "Scores of several classes",
        "results-pooled": "Scores of several classes, pooled",
        "recall": "Recall and precision of each class",
    }
    tables = {}
    for name, columns in (("results", MEAN), ("results-pooled", POOLED), ("recall", POOLED)):
        metrics, own = (("recall", "precision"), each) if name == "recall" else (SCORES, whole)
        keys = (*ARM, "class", "groups", "images", "folds") if name == "recall" else ARM
        found: dict[tuple[str, ...], dict[str, str]] = {}
        for row in own:
            if row["metric"] not in metrics:
                continue
            place = tuple(row[key] for key in (*ARM, "class"))
            line = found.setdefault(place, {key: row[key] for key in keys} | {"model": study.label(row["model"])})
            values = dict(zip(PARTS, (row[column] for column in columns), strict=True))
            line |= {f"{row['metric']}_{part}": fixed(value) for part, value in values.items()}
        lines = list(found.values())
        equal = [key for key in ("dataset", "split", "augmentation") if len({line[key] for line in lines}) == 1]
        where = f"{', '.join(f'{key} {lines[0][key]}' for key in equal)}; last epoch" if lines else EMPTY
        none = any(line[f"{metric}_low"] == line[f"{metric}_high"] for line in lines for metric in metrics)
        tables[name] = Table.of(
            titles[name],
            study.caption(
                about[name], f"{where[:1].upper()}{where[1:]}.", *counted, *seeds, *([WITHOUT] if none else [])
            ),
            (*keys, *(f"{metric}_{part}" for metric in metrics for part in PARTS)),
            lines,
            (*(key for key in keys if key not in equal), *metrics),
        )
    return tables


def resampled_groups(rows: Sequence[Texts], study: Study) -> list[str]:
    """Return what is resampled and how many groups each class has, of rows of single classes of class_scores.csv, as sentences."""
    said = []
    for dataset, split in dict.fromkeys((row["dataset"], row["split"]) for row in rows):
        own = [row for row in rows if (row["dataset"], row["split"]) == (dataset, split)]
        of_class = ", ".join(
            f"{name} {span(numbers) if (numbers := [int(row['groups']) for row in own if row['class'] == name]) else ABSENT}"
            for name in study.classes
        )
        folds = count([study.splits[split]["folds"]], "fold")
        said.append(
            f"Resampled within class: {study.unit(split)}s of dataset {dataset}, split policy {split} ({of_class}; {folds})."
        )
        said += [BACH_PATIENTS] if study.datasets[dataset]["format"] == "bach" else []
    return said
