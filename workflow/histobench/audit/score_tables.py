"""Scores of a method with intervals from resampled slides, accession numbers and images, in all and in parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from histobench.audit.findings import Cell, Table
from histobench.audit.scored_methods import SCORED, SPLIT, Method
from histobench.datasets.breakhis import SUBTYPES
from histobench.evaluation.bootstrap import Clustered, fold_means, interval, resample, spread
from histobench.evaluation.comparisons import Findings, analyse
from histobench.evaluation.groups import Groups
from histobench.metrics import METRICS

SHOWN = ("accuracy", "balanced_accuracy", "auc", "precision", "recall", "f1", "patient_rate")
"""Scores of every method, where it has scores."""
IMAGE_DRAWS = 1000
"""Most draws of the interval that takes images for independent, which is shown as what not to use."""
MAX_GROUPS = 20_000
"""Most groups that are resampled: time and memory of the AUC grow with their square."""
CLASSES = ("benign", "malignant")
Ends = tuple[float | None, float | None]


@dataclass(frozen=True)
class Units:
    """What is resampled, in words."""

    slide: str
    accession: str
    """Empty where there is no other reading than `slide`."""

    @classmethod
    def of(cls, dataset: str) -> "Units":
        """Return the units of a dataset."""
        return cls("slide", "accession number") if dataset == "breakhis" else cls("patient", "")


@dataclass(frozen=True)
class Score:
    """A score, the mean over folds, and its 95 % intervals."""

    estimate: float
    pooled: float
    """Of the predictions of all folds together."""
    slide: Ends
    accession: Ends
    image: Ends
    """Resampling images, which takes them for independent."""


@dataclass(frozen=True)
class Scores:
    """The scores of a method, and what they rest on."""

    of: Mapping[str, Score]
    freedom: float
    """Degrees of freedom of the intervals by slide."""
    accession_freedom: float | None
    calibration: Sequence[Mapping[str, Any]]
    few_groups: str
    one_class: str


def splits_of(methods: Sequence[Method], unit: str) -> dict[str, dict[str, Any]]:
    """Return the split policy of the folds, as :func:`histobench.evaluation.comparisons.analyse` takes it."""
    by = "file" if all(method.partition for method in methods) else "official"
    return {SPLIT: {"by": by, "folds": len(methods[0].folds), "unit": unit}}


def analysed(method: Method, magnifications: Sequence[int], unit: str, draws: int, seed: int) -> Findings:
    """Return intervals and calibration of a method at some magnifications, 0 for all images."""
    runs = {run: part for one in magnifications for run, part in method.runs(magnification=one).items()}
    return analyse(list(runs), runs, splits_of([method], unit), (("", ""),), draws, seed)


def scores(method: Method, unit: str, draws: int, seed: int) -> Scores:
    """Return the scores of a method on all its images."""
    found = analysed(method, [0], unit, draws, seed)
    metrics = [*SHOWN, *(["ece"] if method.kind in ("probabilities", "shares of votes") else [])]
    images = {}
    if len(set(method.image.tolist())) <= MAX_GROUPS:
        images = _by_image(method, min(draws, IMAGE_DRAWS), seed)
    made = {}
    for row in found.intervals:
        metric = row["metric"]
        if metric not in metrics or row["mode"] != method.mode(metric):
            continue
        ends: Ends = (row.get("accession_low"), row.get("accession_high"))
        if metric == "patient_rate":  # by accession number it is another score
            ends = (None, None)
        made[metric] = Score(
            row["fold_mean"],
            row["estimate"],
            (row["fold_mean_low"], row["fold_mean_high"]),
            ends,
            images.get(metric, (None, None)),
        )
    first = found.intervals[0]
    accessions = Groups.of(method.accession, method.label, method.fold)
    other = any("accession_low" in row for row in found.intervals)
    return Scores(
        {metric: made[metric] for metric in metrics if metric in made},
        first["freedom"],
        accessions.freedom if other else None,
        [row for row in found.calibration if row["mode"] == SCORED] if "ece" in made else [],
        first["few_groups"],
        next(row["one_class"] for row in found.intervals if row["mode"] == method.mode("accuracy")),
    )


def _by_image(method: Method, draws: int, seed: int) -> dict[str, Ends]:
    """Return the interval of the mean over folds of each score where images are resampled."""
    groups = Groups.of(method.image, method.label, method.fold)
    weights = resample.__wrapped__(groups, draws, seed)  # large, and used once
    parts = [method.fold == number for number in np.unique(method.fold)]
    ends = {}
    for mode, logit in method.logits.items():
        folds = [Clustered(method.label[own], logit[own], method.image[own]) for own in parts]
        means = fold_means(folds, groups)
        drawn = spread(means, fold_means(folds, groups, weights), groups)
        ends |= {
            metric: _ends(float(means[metric][0]), drawn[metric], groups.freedom, metric)
            for metric in (*METRICS, "balanced_accuracy", "ece")
            if method.mode(metric) == mode and metric != "patient_rate"
        }
    return ends


def share_correct(
    method: Method, own: np.ndarray, group: np.ndarray, draws: int, seed: int
) -> tuple[float, float | None, float | None, float]:
    """Return the share of some predictions that are correct, its interval if groups are resampled, and the degrees of freedom.

    Args:
        method: whose predictions.
        own: (N,) bool, which of them; one class may be missing.
        group: (N,) what is resampled, within class.
        draws: number of draws.
        seed: of the draws.
    """
    groups, estimate, drawn = drawn_share(method, own, group, np.zeros(len(own), dtype=int), draws, seed)
    return (estimate, *_ends(estimate, drawn, groups.freedom), groups.freedom)


def drawn_share(
    method: Method, own: np.ndarray, group: np.ndarray, stratum: np.ndarray, draws: int, seed: int
) -> tuple[Groups, float, np.ndarray]:
    """Return groups, share correct and the share in each draw; groups are drawn within class and `stratum`, (N,) int."""
    label, logit = method.label[own], np.where(method.called[own], 1.0, -1.0)
    groups = Groups.of(group[own], label, stratum[own])
    counts = Clustered(label, logit, group[own]).confusion
    right, images = counts[:, [0, 3]].sum(axis=1), counts.sum(axis=1)
    weights = resample(groups, draws, seed)
    estimate = {"share": np.array([right.sum() / images.sum()])}
    drawn = spread(estimate, {"share": weights @ right / (weights @ images)}, groups)
    return groups, float(estimate["share"][0]), drawn["share"]


def _ends(estimate: float, drawn: np.ndarray, freedom: float, metric: str = "") -> Ends:
    low, high = (float(end) if np.isfinite(end) else None for end in interval(estimate, drawn, freedom, metric))
    return low, high


def score_table(found: Scores, units: Units, several: bool) -> Table:
    """Return the table of scores with their intervals."""
    strict = found.accession_freedom is not None
    columns = ["score", "mean over folds" if several else "value"]
    columns += ["pooled"] * several + [f"{units.slide} low", f"{units.slide} high"]
    columns += [f"{units.accession} low", f"{units.accession} high"] * strict + ["image low", "image high"]
    rows: list[list[Cell]] = []
    for metric, score in found.of.items():
        values: list[Cell] = [score.pooled] * several
        rows.append([metric, score.estimate, *values, *score.slide, *(score.accession if strict else ()), *score.image])
    caption = (
        f"A row per score; malignant is the positive class. Intervals are 95 %: from resampled {units.slide}s "
        f"({found.freedom:g} degrees of freedom)"
    )
    if strict:
        caption += f", from resampled {units.accession}s ({found.accession_freedom:g}), which may be patients,"
    caption += (
        " and from resampled images, which takes images of one slide for independent and is too narrow. The trained model is fixed. "
        f"patient_rate is the mean over {units.slide}s of the share of images called correctly."
    )
    if "ece" in found.of:
        caption += " ece is the expected calibration error in ten equal bins."
    return Table("scores", caption, columns, rows, dict.fromkeys(columns[1:], ".4f"))


def fold_table(method: Method) -> Table:
    """Return a table with the counts and scores of each fold."""
    from histobench.metrics import all_scores, auc

    columns = ["fold", "images", "benign slides", "malignant slides", "accession numbers"]
    columns += ["true positives", "false negatives", "false positives", "true negatives", *SHOWN]
    rows: list[list[Cell]] = []
    for number, name in enumerate(method.folds, 1):
        own = method.fold == number
        label, logit, slide = method.label[own], method.logits[method.mode("accuracy")][own], method.slide[own]
        tp, fn, fp, tn = Clustered(label, logit, slide).confusion.sum(axis=0).astype(int).tolist()
        values: dict[str, float | None] = dict(all_scores(label, logit, slide))
        values["auc"] = auc(label, method.logits[SCORED][own]) if SCORED in method.logits else None
        values["balanced_accuracy"] = (tp / (tp + fn) + tn / (tn + fp)) / 2
        slides = [len(set(slide[label == value].tolist())) for value in (0, 1)]
        counts = [len(label), *slides, len(set(method.accession[own].tolist()))]
        rows.append([name, *counts, tp, fn, fp, tn, *(values[metric] for metric in SHOWN)])
    caption = "A row per fold. Slides are patients where slides are not named. Malignant is the positive class."
    return Table("folds", caption, columns, rows, dict.fromkeys(SHOWN, ".4f"))


def part_table(method: Method, units: Units, draws: int, seed: int) -> Table:
    """Return the share of predictions that are correct in each class and subtype, with its intervals."""
    parts: list[tuple[str, str, np.ndarray]] = [
        ("class", name, method.label == value) for value, name in enumerate(CLASSES)
    ]
    for code in sorted(set(method.subtype.tolist()) - {""}, key=lambda code: (SUBTYPES.get(code, (code,))[0], code)):
        name = SUBTYPES[code][1].replace("_", " ") if code in SUBTYPES else code
        parts.append(("subtype", f"{code} ({name})" if name != code else code, method.subtype == code))
    rows = [[kind, name, *counted_share(method, own, units, draws, seed)] for kind, name, own in parts]
    columns = ["part", "name", *share_columns(units)]
    caption = (
        "Share of predictions that are correct in each class and subtype, all folds together, with 95 % intervals from resampled "
        f"{units.slide}s{f' and {units.accession}s' * bool(units.accession)}. {FREEDOM}"
    )
    return Table("parts", caption, columns, rows, share_formats(units))


FREEDOM = "Intervals with fewer than 6 degrees of freedom do not reach their level; without an interval there is a single group."


def share_columns(units: Units) -> list[str]:
    """Return the columns that :func:`counted_share` fills."""
    made = ["predictions", f"{units.slide}s"] + [f"{units.accession}s"] * bool(units.accession) + ["share correct"]
    for unit in filter(None, (units.slide, units.accession)):
        made += [f"{unit} low", f"{unit} high", f"{unit} freedom"]
    return made


def share_formats(units: Units) -> dict[str, str]:
    """Return the formats of :func:`share_columns`."""
    names = [name for name in share_columns(units) if name.endswith((" low", " high"))]
    freedoms = [name for name in share_columns(units) if name.endswith("freedom")]
    return {"share correct": ".4f"} | dict.fromkeys(names, ".4f") | dict.fromkeys(freedoms, "g")


def counted_share(method: Method, own: np.ndarray, units: Units, draws: int, seed: int) -> list[Cell]:
    """Return how many predictions and groups there are, the share that is correct, and its intervals."""
    groups = [method.slide] + [method.accession] * bool(units.accession)
    counts: list[Cell] = [int(own.sum()), *(len(set(group[own].tolist())) for group in groups)]
    found = [share_correct(method, own, group, draws, seed) for group in groups]
    return [*counts, found[0][0], *(cell for _, *rest in found for cell in rest)]


def magnification_table(method: Method, units: Units, draws: int, seed: int) -> Table | None:
    """Return accuracy, balanced accuracy and AUC at each magnification, or None where there are not several."""
    known = sorted(set(method.magnification.tolist()) - {0})
    usable = [one for one in known if method.has_both_classes(one)]
    if len(known) < 2 or not usable:
        return None
    found = analysed(method, usable, units.slide, draws, seed)
    strict = any("accession_low" in row for row in found.intervals)
    order = {metric: at for at, metric in enumerate(SHOWN[:3])}
    columns = ["magnification", "score", "predictions", "value", f"{units.slide} low", f"{units.slide} high"]
    columns += [f"{units.accession} low", f"{units.accession} high"] * strict
    rows: list[list[Cell]] = [
        [
            row["magnification"],
            row["metric"],
            row["images"],
            row["fold_mean"],
            row["fold_mean_low"],
            row["fold_mean_high"],
        ]
        + [row.get("accession_low"), row.get("accession_high")] * strict
        for row in sorted(found.intervals, key=lambda row: (row["magnification"], order.get(row["metric"], 0)))
        if row["metric"] in order and row["mode"] == method.mode(row["metric"])
    ]
    caption = "Scores at each magnification, the mean over folds, with 95 % intervals from resampled groups."
    if left := [one for one in known if one not in usable]:
        caption += f" Left out, because a fold lacks a class: {', '.join(map(str, left))}."
    return Table("magnifications", caption, columns, rows, dict.fromkeys(columns[3:], ".4f"))


def group_table(method: Method, units: Units) -> Table:
    """Return the errors of each slide, those with the most errors first."""
    known: dict[tuple[str, str, str, int], list[bool]] = {}
    rows_of = zip(method.slide, method.accession, method.subtype, method.label, method.correct, strict=True)
    for slide, accession, subtype, label, correct in rows_of:
        known.setdefault((str(slide), str(accession), str(subtype), int(label)), []).append(bool(correct))
    ordered = sorted(known.items(), key=lambda one: (one[1].count(True) - len(one[1]), one[0]))
    rows = [
        [slide, accession, CLASSES[label], subtype, len(found), found.count(False), found.count(True) / len(found)]
        for (slide, accession, subtype, label), found in ordered
    ]
    columns = [units.slide, units.accession or "group", "class", "subtype", "predictions", "errors", "share correct"]
    keep = [at for at, _ in enumerate(columns) if at != 1 or units.accession]
    caption = (
        f"Errors of each {units.slide} in all folds, the most first; a {units.slide} with two subtypes has two rows."
    )
    return Table(
        "groups",
        caption,
        [columns[at] for at in keep],
        [[row[at] for at in keep] for row in rows],
        {"share correct": ".1%"},
    )


def calibration_table(found: Scores, kind: str) -> Table:
    """Return the reliability curve as a table."""
    columns = ["low", "high", "images", "mean_probability", "malignant_share"]
    rows = [[row[name] for name in columns] for row in found.calibration]
    caption = (
        f"Calibration, a row per bin of the predicted probability of malignant ({kind}): how many predictions are in it, their mean, "
        "and the share that is malignant."
    )
    formats = {"low": ".1f", "high": ".1f", "mean probability": ".3f", "malignant share": ".3f"}
    return Table("calibration", caption, [name.replace("_", " ") for name in columns], rows, formats)
