"""From the predictions of all runs to rows of tables: intervals of every arm, and comparisons of every pair of arms.

The predictions of an arm's folds are pooled. A partition covers every image once; overlapping hold-outs (`official`) keep
an image as often as it was predicted. What cannot be used becomes a gap, one sentence, and everything else is reported.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, product
from typing import Any

import numpy as np

from histobench.evaluation import calibration, statistics
from histobench.evaluation.bootstrap import (
    LEVEL,
    POOLED,
    Clustered,
    bootstrap_p,
    flips,
    fold_means,
    interval,
    resample,
    sign_flip_p,
    spread,
)
from histobench.evaluation.groups import Groups
from histobench.evaluation.pooling import Arm, Scored, mean_scores, pool, require_equal_images
from histobench.evaluation.predictions import SELECTIONS, Gap, Predictions
from histobench.evaluation.summary import ARM, GROUPS, few_groups, one_class
from histobench.evaluation.variance import with_training_variance
from histobench.metrics import METRICS, decide
from histobench.study.runs import Run

INTERVALS_COLUMNS = (
    *(*ARM, "selection", "metric", "estimate", "low", "high", "level", "unit", *GROUPS, "freedom", "images"),
    *("folds", "seeds", "fold_mean", "fold_mean_low", "fold_mean_high"),
    *(
        "accession_mean",
        "accession_low",
        "accession_high",
        "accession_benign",
        "accession_malignant",
        "one_class",
        "few_groups",
    ),
)
CELL = ("dataset", "split", "magnification", "augmentation", "selection")
"""What two arms have in common when they are compared."""
COMPARISONS_COLUMNS = (
    *(*CELL, "first", "second", "metric", "folds", "first_seeds", "second_seeds", "unit", *GROUPS, "freedom"),
    *("first_value", "second_value", "difference", "effect_size", "pooled_difference", "low", "high"),
    *("sign_flip_p", "holm_p", "bootstrap_p", "nadeau_bengio_t", "nadeau_bengio_p"),
    *("wilcoxon_p", "wilcoxon_floor", "mcnemar_p", "delong_p", "difference_low", "difference_high"),
)
CALIBRATION_COLUMNS = (*ARM, "selection", "bin", "low", "high", "images", "mean_probability", "malignant_share")
EXTERNAL_INTERVALS_COLUMNS = (
    *("on", "scale", *ARM, "metric", "estimate", "low", "high", "level", "folds", "seeds", *GROUPS, "freedom"),
    *("images", "known_patients", "known_images", "one_class"),
)
DRAWS = {"draws": (*ARM, "selection", "metric"), "external_draws": ("on", "scale", *ARM, "metric")}
"""The files of bootstrap draws, without `.npz`, and the columns whose values, joined by slashes, name an array."""

Row = dict[str, Any]
Pair = tuple[str, str]
Place = tuple[object, ...]
"""The values of :data:`CELL` without `selection`."""


@dataclass
class Findings:
    """Rows of the four tables, and the draws."""

    intervals: list[Row] = field(default_factory=list)
    comparisons: list[Row] = field(default_factory=list)
    calibration: list[Row] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    draws: dict[str, np.ndarray] = field(default_factory=dict)
    """`DATASET/MODEL/MODE/SPLIT/MAGNIFICATION/AUGMENTATION/SELECTION/METRIC` for METRICS -> (draws,) float32, the mean over
    folds and seeds in each draw. Those of a dataset and split are of the same groups, so that sums of them are paired."""


def analyse(
    declared: Sequence[Run],
    runs: Mapping[Run, Predictions],
    splits: Mapping[str, Mapping[str, Any]],
    pairs: Sequence[Pair] = (),
    draws: int = 10_000,
    seed: int = 0,
) -> Findings:
    """Return intervals and calibration of every arm, comparisons of pairs of arms, and the gaps.

    Args:
        declared: every run of the study; their arms make up the family of pairs where `pairs` is empty.
        runs: the usable ones.
        splits: each split policy's `by`, `folds` and `unit`, what its groups are.
        pairs: pairs of arms, each `MODEL/MODE`: one family for Holm's correction in each cell and metric.
        draws: number of bootstrap draws and of sign flips.
        seed: of the draws.

    Raises:
        HistoBenchError: arms predict different images.
    """
    families = _families(declared, pairs)
    arms, gaps = pool(declared, runs, splits)
    require_equal_images(arms)
    found = Findings(gaps=gaps)
    places: dict[Place, dict[str, Arm]] = {}
    for arm in arms:
        places.setdefault(_place(arm.first), {})[arm.name] = arm
    for (place, here), selection in product(places.items(), SELECTIONS):
        chosen = {name: arm for name, arm in here.items() if selection in arm.logit}
        if not chosen:
            continue
        groups = next(arm.groups() for arm in chosen.values())  # of every arm in this place
        few = few_groups((row[0], row[2], row[3]) for row in next(iter(chosen.values())).images)
        counts = {"unit": splits[str(place[1])]["unit"], **groups.counts}
        scored = {
            name: Scored(arm, selection, groups, resample(groups, draws, seed), seed) for name, arm in chosen.items()
        }
        for name, arm in chosen.items():
            own = scored[name]
            key = {column: getattr(arm.first, column) for column in ARM} | {"selection": selection}
            ends = _by_accession(arm, own, selection, groups, draws, seed)
            called = one_class([fold.calls for folds in own.folds for fold in folds])
            for metric in POOLED:
                row = {"metric": metric, "level": LEVEL, **counts, "images": len(arm.images), "one_class": called}
                row |= {"few_groups": few}
                row |= {"folds": len(own.folds[0]), "seeds": len(own.seeds)}
                row |= _ends(("estimate", "low", "high"), own.pooled, own.pooled_drawn, groups, metric)
                columns = ("fold_mean", "fold_mean_low", "fold_mean_high")
                row |= _ends(columns, own.means, own.means_drawn, groups, metric) | ends.get(metric, {})
                found.intervals.append(key | row)
            where = f"{arm.first.arm}/{selection}"
            found.draws |= {f"{where}/{metric}": own.means_drawn[metric].astype(np.float32) for metric in METRICS}
            logits = arm.logit[selection]
            found.calibration += [
                key | row for row in calibration.reliability(np.tile(arm.label, len(logits)), logits.ravel())
            ]
        rows = []
        for pair in families[place]:
            if set(pair) <= chosen.keys():
                first, second = (scored[name] for name in pair)
                key = dict(zip(CELL, (*place, selection), strict=True)) | {"first": pair[0], "second": pair[1]}
                paired = zip if len(first.seeds) == len(second.seeds) else product
                tests = sign_flip_p(list(paired(first.seeds, second.seeds)), flips(groups, draws, seed))
                fold_scores = [one.fold_scores for one in (first, second)]
                for metric in METRICS:
                    row = key | {"metric": metric, **counts, "sign_flip_p": tests[metric]}
                    row |= {"first_seeds": len(first.seeds), "second_seeds": len(second.seeds)}
                    row |= _difference(first, second, groups, metric)
                    row |= _of_folds([scores[metric] for scores in fold_scores], chosen[pair[0]].test_to_train)
                    rows.append(row | _of_images(metric, selection, *(chosen[name] for name in pair)))
        for metric in METRICS:
            tested = [row for row in rows if row["metric"] == metric]
            adjusted = statistics.holm([row["sign_flip_p"] for row in tested], len(families[place]))
            for row, p in zip(tested, adjusted, strict=True):
                row["holm_p"] = p
        found.comparisons += rows
    for where in dict.fromkeys(f"{arm.first.dataset}/{arm.first.split}" for arm in arms if not arm.partition):
        found.gaps.append(
            Gap(
                where,
                f"{where}: its hold-outs overlap and images occur several times, so Nadeau-Bengio, McNemar and DeLong are "
                "left out; the tests that resample groups are given",
            )
        )
    return found


def external_intervals(
    runs: Mapping[tuple[str, str, Run], Predictions], draws: int = 10_000, seed: int = 0
) -> tuple[list[Row], dict[str, np.ndarray]]:
    """Return the intervals of an external test: of the mean over the models of an arm's folds, as Table 6 shows it.

    The patients of the other dataset are resampled within class, the same ones for every model; where a patient is
    not known, the image is. The intervals leave out the choice of training images, which the deviation over folds shows. They
    include the variance of training where an arm has several seeds and no run of them is missing; else `seeds` is 1.

    Args:
        runs: for each other dataset, scale of its images and run, what the run predicts there.
        draws: number of bootstrap draws.
        seed: of the draws.

    Returns:
        Rows of external_intervals.csv, and the draws as in :attr:`Findings.draws`, with keys
        `ON/SCALE/DATASET/MODEL/MODE/SPLIT/MAGNIFICATION/AUGMENTATION/METRIC`.
    """
    arms: dict[tuple[str, str, str], list[tuple[Run, Predictions]]] = {}
    for (on, scale, run), part in runs.items():
        arms.setdefault((on, scale, run.arm), []).append((run, part))
    rows: list[Row] = []
    kept: dict[str, np.ndarray] = {}
    for (on, scale, name), members in arms.items():
        first, part = members[0]
        # An image whose patient is not known is a group by its own name.
        known = part.group[part.group != part.image_id]
        groups = Groups.of(part.group, part.label, np.zeros(len(part.label), dtype=int))
        models = [Clustered(part.label, part.logit["last"], part.group) for _, part in members]
        weights = resample(groups, draws, seed)
        values, resampled = (
            {run: model.values(w) for (run, _), model in zip(members, models, strict=True)} for w in (None, weights)
        )
        folds, seeds = (sorted({getattr(run, place) for run in values}) for place in ("fold", "seed"))
        means, drawn = (
            mean_scores([mean_scores([scores for run, scores in found.items() if run.fold == fold]) for fold in folds])
            for found in (values, resampled)
        )
        drawn, complete = spread(means, drawn, groups), len(values) == len(folds) * len(seeds)
        if complete:
            for metric in POOLED:
                scores = [[values[replace(first, fold=fold, seed=one)][metric][0] for one in seeds] for fold in folds]
                named = f"{on}/{scale}/{name}/{metric}"
                drawn[metric] = with_training_variance(drawn[metric], np.array(scores), named, seed)
        key = {"on": on, "scale": scale} | {column: getattr(first, column) for column in ARM}
        key |= {"level": LEVEL, "folds": len(folds), "seeds": len(seeds) if complete else 1, **groups.counts}
        key |= {"known_patients": len(np.unique(known)), "known_images": len(known)}
        key |= {"images": len(part.label), "one_class": one_class([model.calls for model in models])}
        for metric in POOLED:
            ends = _ends(("estimate", "low", "high"), means, drawn, groups, metric)
            rows.append(key | {"metric": metric} | ends)
        kept |= {f"{on}/{scale}/{name}/{metric}": drawn[metric].astype(np.float32) for metric in METRICS}
    return rows, kept


def name_of_draws(row: Mapping[str, str], file: str) -> str:
    """Return the name of the draws that a row of intervals has in one of the files of :data:`DRAWS`."""
    return "/".join(row[column] for column in DRAWS[file])


def _families(declared: Sequence[Run], pairs: Sequence[Pair]) -> dict[Place, list[Pair]]:
    arms: dict[Place, dict[str, None]] = {}
    for run in declared:
        arms.setdefault(_place(run), {})[f"{run.model}/{run.mode}"] = None
    return {
        place: [pair for pair in pairs if set(pair) <= names.keys()] if pairs else list(combinations(names, 2))
        for place, names in arms.items()
    }


def _place(run: Run) -> Place:
    return tuple(getattr(run, name) for name in CELL[:-1])


def _ends(
    columns: Sequence[str],
    estimates: Mapping[str, np.ndarray],
    drawn: Mapping[str, np.ndarray],
    groups: Groups,
    metric: str,
) -> Row:
    """Return three columns: a score, and the ends of its interval, None where there is none."""
    estimate = float(estimates[metric][0])
    low, high = map(_known, interval(estimate, drawn[metric], groups.freedom, metric))
    return dict(zip(columns, (estimate, low, high), strict=True))


def _difference(first: Scored, second: Scored, groups: Groups, metric: str) -> Row:
    """Return the difference of two arms' pooled scores, the intervals of that and of the difference of means, and p."""
    pooled, means = (
        [one[metric] - other[metric] for one, other in pair]
        for pair in (
            ((first.pooled, second.pooled), (first.pooled_drawn, second.pooled_drawn)),
            ((first.means, second.means), (first.means_drawn, second.means_drawn)),
        )
    )
    ends = (map(_known, interval(float(found[0][0]), found[1], groups.freedom)) for found in (pooled, means))
    (low, high), (difference_low, difference_high) = ends
    row = {"pooled_difference": float(pooled[0][0]), "low": low, "high": high}
    row |= {"bootstrap_p": bootstrap_p(means[1], groups.freedom)}
    return row | {"difference_low": difference_low, "difference_high": difference_high}


def _by_accession(arm: Arm, own: Scored, selection: str, groups: Groups, draws: int, seed: int) -> dict[str, Row]:
    """Return for each score the mean over folds, with its interval if accession numbers are resampled instead.

    They usually occur in several folds, which are no strata then. Nothing if they divide the images as the groups do.
    """
    accessions = arm.groups(accession=True)
    if len({(row[2], row[4]) for row in arm.images}) == len(accessions.names) == len(groups.names):
        return {}
    by_seed = arm.folds(selection, accession=True)
    means = mean_scores([fold_means(folds, accessions) for folds in by_seed])
    weights = resample(accessions, draws, seed)
    drawn = spread(means, mean_scores([fold_means(folds, accessions, weights) for folds in by_seed]), accessions)
    drawn = own.with_training(drawn)
    columns = ("accession_mean", "accession_low", "accession_high")
    counts = {f"accession_{name}": accessions.counts[f"{name}_groups"] for name in ("benign", "malignant")}
    return {metric: counts | _ends(columns, means, drawn, accessions, metric) for metric in POOLED}


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _of_folds(scores: Sequence[np.ndarray], test_to_train: float | None) -> Row:
    """Return the mean scores of two arms over folds, their difference and effect size, and the tests on fold scores."""
    first, second = scores
    differences = first - second
    corrected = statistics.Test(None, None)
    if test_to_train is not None:
        corrected = statistics.nadeau_bengio(differences, test_to_train)
    ranked = statistics.wilcoxon(differences)
    return {
        "folds": len(differences),
        "first_value": float(first.mean()),
        "second_value": float(second.mean()),
        "difference": float(differences.mean()),
        "effect_size": statistics.effect_size(differences),
        "nadeau_bengio_t": corrected.statistic,
        "nadeau_bengio_p": corrected.p,
        "wilcoxon_p": ranked.p,
        "wilcoxon_floor": ranked.floor,
    }


def _of_images(metric: str, selection: str, first: Arm, second: Arm) -> Row:
    """Return the secondary tests, which assume that images are independent; None where an image occurs several times."""
    mcnemar = delong = None
    logits = [arm.logit[selection][0] for arm in (first, second) if arm.partition and len(arm.logit[selection]) == 1]
    if len(logits) == 2 and metric == "accuracy":
        mcnemar = statistics.mcnemar(*(decide(logit) == (first.label == 1) for logit in logits))
    if len(logits) == 2 and metric == "auc":
        delong = statistics.delong(first.label, *logits).p
    return {"mcnemar_p": mcnemar, "delong_p": delong}
