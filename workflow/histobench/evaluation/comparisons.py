"""Every arm with intervals, every pair of arms compared: from the predictions of all runs to rows of tables.

The predictions of an arm's folds are pooled, so that a partition covers every image once; overlapping hold-outs
(`official`) keep an image as often as it was predicted, with its patient. What cannot be used becomes a gap, one
sentence, and everything else is reported.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from histobench.evaluation import calibration, statistics
from histobench.evaluation.bootstrap import (
    LEVEL,
    POOLED,
    Clustered,
    bootstrap_p,
    flips,
    interval,
    resample,
    sign_flip_p,
)
from histobench.evaluation.external import External
from histobench.evaluation.predictions import GAPS_COLUMNS as GAPS_COLUMNS
from histobench.evaluation.predictions import SELECTIONS, Gap, Predictions
from histobench.evaluation.summary import ARM
from histobench.io.errors import HistoBenchError
from histobench.metrics import METRICS, decide
from histobench.study.runs import Run

INTERVALS_COLUMNS = (*ARM, "selection", "metric", "estimate", "low", "high", "level", "patients", "images")
CELL = ("dataset", "split", "magnification", "augmentation", "selection")
"""What two arms have in common when they are compared."""
COMPARISONS_COLUMNS = (
    *CELL,
    "first",
    "second",
    "metric",
    "folds",
    "patients",
    "first_value",
    "second_value",
    "difference",
    "effect_size",
    "pooled_difference",
    "low",
    "high",
    "sign_flip_p",
    "holm_p",
    "bootstrap_p",
    "nadeau_bengio_t",
    "nadeau_bengio_p",
    "wilcoxon_p",
    "wilcoxon_floor",
    "mcnemar_p",
    "delong_p",
)
CALIBRATION_COLUMNS = (*ARM, "selection", "bin", "low", "high", "images", "mean_probability", "malignant_share")
EXTERNAL_INTERVALS_COLUMNS = ("on", *ARM, "metric", "estimate", "low", "high", "level", "folds", "patients", "images")

Row = dict[str, Any]
Pair = tuple[str, str]


@dataclass(frozen=True)
class Arm:
    """The pooled predictions of an arm's folds, in the order of fold and image."""

    first: Run
    """The arm's first fold."""
    images: tuple[tuple[int, str, str, int], ...]
    """Fold, image, patient and label of each row."""
    logit: Mapping[str, np.ndarray]
    """For each selection the logits."""
    partition: bool
    """Whether the folds are a partition of the images."""

    @property
    def name(self) -> str:
        """`MODEL/MODE`."""
        return f"{self.first.model}/{self.first.mode}"

    @property
    def folds(self) -> list[int]:
        """The folds that were pooled."""
        return sorted({row[0] for row in self.images})

    @property
    def key(self) -> Row:
        """The arm's cells in a table."""
        return {name: getattr(self.first, name) for name in ARM}

    @property
    def label(self) -> np.ndarray:
        """(N,) 0 benign, 1 malignant."""
        return np.array([row[3] for row in self.images], dtype=np.int8)

    @property
    def patient(self) -> np.ndarray:
        """(N,) text."""
        return np.array([row[2] for row in self.images])

    @property
    def test_to_train(self) -> float | None:
        """Mean over folds of images that evaluate per image that trains; None for overlapping hold-outs."""
        if not self.partition:
            return None
        tested = Counter(row[0] for row in self.images)
        return float(np.mean([count / (len(self.images) - count) for count in tested.values()]))

    def clustered(self, selection: str) -> Clustered:
        """Return the counts per patient of one selection."""
        return Clustered(self.label, self.logit[selection], self.patient)


@dataclass
class Draws:
    """Bootstrap weights and sign flips of sets of patients, each made once."""

    count: int
    seed: int
    _made: dict[tuple[str, ...], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def of(self, arm: Clustered) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights and the signs of an arm's patients, each (draws, patients)."""
        key = (*arm.names, *map(str, arm.classes))
        if key not in self._made:
            weights = resample(arm.names, arm.classes, self.count, self.seed)
            self._made[key] = weights, flips(arm.names, self.count, self.seed)
        return self._made[key]


@dataclass
class Findings:
    """Rows of the four tables."""

    intervals: list[Row] = field(default_factory=list)
    comparisons: list[Row] = field(default_factory=list)
    calibration: list[Row] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)


def analyse(
    declared: Sequence[Run],
    runs: Mapping[Run, Predictions],
    scores: Sequence[Mapping[str, str]],
    splits: Mapping[str, Mapping[str, Any]],
    pairs: Sequence[Pair] = (),
    draws: int = 10_000,
    seed: int = 0,
) -> Findings:
    """Return intervals and calibration of every arm, comparisons of pairs of arms, and the gaps.

    Args:
        declared: every run of the study; their arms make up the family of pairs where `pairs` is empty.
        runs: the usable ones.
        scores: rows of `metrics.csv`, the scores of each run.
        splits: each split policy's `by` and `folds`.
        pairs: pairs of arms, each `MODEL/MODE`: one family for Holm's correction in each cell and metric.
        draws: number of bootstrap draws and of sign flips.
        seed: of the draws.

    Raises:
        HistoBenchError: a pair names an arm that the study does not have, or two arms that have no cell in common.
    """
    known = list(dict.fromkeys(f"{run.model}/{run.mode}" for run in declared))
    for name in dict.fromkeys(name for pair in pairs for name in pair):
        if name not in known:
            raise HistoBenchError(
                f"comparisons.pairs: {name!r} is no arm of the study; write MODEL/MODE, one of {', '.join(known)}"
            )
    found = Findings()
    arms, found.gaps = pool(declared, runs, splits)
    comparable, odd = alike(arms)
    found.gaps += odd
    by_fold = fold_scores(scores)
    families: dict[tuple[object, ...], dict[str, None]] = {}
    for run in declared:
        families.setdefault(_cell(run), {})[f"{run.model}/{run.mode}"] = None
    for pair in pairs:
        if not any(set(pair) <= names.keys() for names in families.values()):
            raise HistoBenchError(
                f"comparisons.pairs: {pair[0]!r} and {pair[1]!r} are never trained on the same {', '.join(CELL[:-1])}; "
                "extend `grid`, or choose arms that are"
            )
    cells: dict[tuple[object, ...], list[Arm]] = {}
    for arm in arms:
        cells.setdefault(_cell(arm.first), []).append(arm)
    drawn = Draws(draws, seed)
    for cell, members in cells.items():
        names = families[cell]
        family = [pair for pair in pairs if set(pair) <= names.keys()] if pairs else list(combinations(names, 2))
        for selection in SELECTIONS:
            counted = {arm.name: arm.clustered(selection) for arm in members}
            values = {name: arm.values(drawn.of(arm)[0]) for name, arm in counted.items()}
            for arm in members:
                key = arm.key | {"selection": selection}
                found.intervals += [key | row for row in _intervals(counted[arm.name], values[arm.name])]
                curve = calibration.reliability(arm.label, arm.logit[selection])
                found.calibration += [key | row for row in curve]
            here = {arm.name: arm for arm in members if arm in comparable}
            rows = []
            for first, second in family:
                if first in here and second in here:
                    signs = drawn.of(counted[first])[1]
                    tests = sign_flip_p(counted[first], counted[second], signs)
                    estimates = [counted[name].values() for name in (first, second)]
                    for metric in METRICS:
                        rows.append(
                            dict(zip(CELL, (*cell, selection), strict=True))
                            | {"first": first, "second": second, "metric": metric}
                            | {"patients": len(counted[first].names), "sign_flip_p": tests[metric]}
                            | _pooled(metric, estimates, values[first], values[second], counted[first].smaller)
                            | _of_folds(metric, selection, here[first], here[second], by_fold)
                            | _of_images(metric, selection, here[first], here[second])
                        )
            for metric in METRICS:
                chosen = [row for row in rows if row["metric"] == metric]
                adjusted = statistics.holm([row["sign_flip_p"] for row in chosen], len(family))
                for row, p in zip(chosen, adjusted, strict=True):
                    row["holm_p"] = p
            found.comparisons += rows
    for dataset, split in dict.fromkeys((arm.first.dataset, arm.first.split) for arm in arms if not arm.partition):
        found.gaps.append(
            Gap(
                f"{dataset}/{split}",
                f"{dataset}/{split}: its hold-outs overlap and images occur several times, so Nadeau-Bengio, McNemar "
                "and DeLong are left out; the tests that resample patients stand",
            )
        )
    return found


def external_intervals(runs: Mapping[tuple[str, Run], External], draws: int = 10_000, seed: int = 0) -> list[Row]:
    """Return the intervals of an external test: of the mean over the models of an arm's folds, as Table 6 shows it.

    The patients of the other dataset are resampled within class, the same ones for every model; where it names no
    patients, its images are. What another training set would have changed is in the deviation over folds, not here.

    Args:
        runs: for each other dataset and run what the run says about that dataset.
        draws: number of bootstrap draws.
        seed: of the draws.
    """
    arms: dict[tuple[str, str], list[tuple[Run, External]]] = {}
    for (on, run), part in runs.items():
        arms.setdefault((on, run.arm), []).append((run, part))
    drawn, rows = Draws(draws, seed), []
    for (on, _), members in arms.items():
        first, part = members[0]
        folds = [Clustered(part.label, part.logit, part.patient) for _, part in members]
        estimates = [arm.values() for arm in folds]
        values = [arm.values(drawn.of(arm)[0]) for arm in folds]
        for metric in POOLED:
            estimate = float(np.mean([value[metric][0] for value in estimates]))
            low, high = interval(
                estimate, np.mean([value[metric] for value in values], axis=0), folds[0].smaller, metric
            )
            rows.append(
                {"on": on}
                | {name: getattr(first, name) for name in ARM}
                | {"metric": metric, "estimate": estimate, "low": low, "high": high, "level": LEVEL}
                | {"folds": len(folds), "patients": len(folds[0].names), "images": len(part.label)}
            )
    return rows


def pool(
    declared: Sequence[Run], runs: Mapping[Run, Predictions], splits: Mapping[str, Mapping[str, Any]]
) -> tuple[list[Arm], list[Gap]]:
    """Return the arms whose folds are all there, and a gap for each of the others.

    An arm is left out where a fold is missing, and where a partition has an image in two folds.
    """
    members: dict[str, list[Run]] = {}
    for run in declared:
        members.setdefault(run.arm, []).append(run)
    arms, gaps = [], []
    for name, expected in members.items():
        policy = splits[expected[0].split]
        present = {run.fold: run for run in expected if run in runs}
        missing = [fold for fold in range(1, policy["folds"] + 1) if fold not in present]
        if missing:
            numbers = f"fold{'s' if len(missing) > 1 else ''} {', '.join(map(str, missing))}"
            are = "are" if len(missing) > 1 else "is"
            gaps.append(
                Gap(name, f"{name}: {numbers} {are} missing or unusable, so it has no intervals and is not compared")
            )
            continue
        read = [(fold, runs[present[fold]]) for fold in sorted(present)]
        rows = [
            (fold, image, str(patient), int(label))
            for fold, part in read
            for image, patient, label in zip(part.image_id, part.patient, part.label, strict=True)
        ]
        partition = policy["by"] != "official"
        image, times = Counter(row[1] for row in rows).most_common(1)[0]
        if partition and times > 1:
            folds = " and ".join(str(row[0]) for row in rows if row[1] == image)
            gaps.append(
                Gap(
                    name,
                    f"{name}: image {image} is evaluated in folds {folds} of a partition, so the arm has no intervals "
                    "and is not compared; delete its predictions to have its runs repeated",
                )
            )
            continue
        order = sorted(range(len(rows)), key=rows.__getitem__)
        logit = {
            selection: np.concatenate([part.logit[selection] for _, part in read])[order] for selection in SELECTIONS
        }
        arms.append(Arm(present[min(present)], tuple(rows[index] for index in order), logit, partition))
    return arms, gaps


def alike(arms: Sequence[Arm]) -> tuple[list[Arm], list[Gap]]:
    """Return the arms that have the images of most arms of their dataset, split and magnification, and the other's gaps.

    Fold, patient and label belong to what must be equal. Where two versions are as frequent, the first one counts.
    """
    versions: dict[tuple[object, ...], Counter[tuple[object, ...]]] = {}
    for arm in arms:
        place = (arm.first.dataset, arm.first.split, arm.first.magnification)
        versions.setdefault(place, Counter())[arm.images] += 1
    same, gaps = [], []
    for arm in arms:
        place = (arm.first.dataset, arm.first.split, arm.first.magnification)
        usual = versions[place].most_common(1)[0][0]
        if arm.images == usual:
            same.append(arm)
            continue
        other = next(candidate for candidate in arms if candidate.images == usual)
        odd = sorted(set(arm.images) ^ set(other.images))
        name = arm.first.arm
        gaps.append(
            Gap(
                name,
                f"{name}: images, folds, patients or labels are not those of {other.first.arm} "
                f"({len({row[1] for row in odd})} images differ, the first is {odd[0][1]}), so it is not compared; "
                "delete the predictions of the arm that is wrong to have its runs repeated",
            )
        )
    return same, gaps


def fold_scores(rows: Sequence[Mapping[str, str]]) -> dict[tuple[Run, str], dict[str, float]]:
    """Return the scores of `metrics.csv` by run and selection."""
    return {
        (
            Run(
                **{name: row[name] for name in ("dataset", "model", "mode", "split", "augmentation")},
                magnification=int(row["magnification"]),
                fold=int(row["fold"]),
            ),
            row["selection"],
        ): {metric: float(row[metric]) for metric in METRICS}
        for row in rows
    }


def _cell(run: Run) -> tuple[object, ...]:
    return tuple(getattr(run, name) for name in CELL[:-1])


def _intervals(arm: Clustered, drawn: Mapping[str, np.ndarray]) -> Iterator[Row]:
    images = int(arm.confusion.sum())
    for metric, (estimate,) in arm.values().items():
        low, high = interval(float(estimate), drawn[metric], arm.smaller, metric)
        yield {
            "metric": metric,
            "estimate": float(estimate),
            "low": low,
            "high": high,
            "level": LEVEL,
            "patients": len(arm.names),
            "images": images,
        }


def _pooled(
    metric: str,
    estimates: Sequence[Mapping[str, np.ndarray]],
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    patients: int,
) -> Row:
    """Return the difference of the pooled predictions, its interval, and the bootstrap's p."""
    drawn = first[metric] - second[metric]
    difference = float(estimates[0][metric][0] - estimates[1][metric][0])
    low, high = interval(difference, drawn, patients)
    return {"pooled_difference": difference, "low": low, "high": high, "bootstrap_p": bootstrap_p(drawn, patients)}


def _of_folds(
    metric: str, selection: str, first: Arm, second: Arm, scores: Mapping[tuple[Run, str], Mapping[str, float]]
) -> Row:
    """Return the mean scores over folds, their difference and effect size, and the tests on fold scores."""
    pairs = []
    for fold in first.folds:
        values = [scores[replace(arm.first, fold=fold), selection][metric] for arm in (first, second)]
        pairs.append(values)
    values = np.array(pairs)
    differences = values[:, 0] - values[:, 1]
    ratio = first.test_to_train
    corrected = statistics.Test(None, None) if ratio is None else statistics.nadeau_bengio(differences, ratio)
    ranked = statistics.wilcoxon(differences)
    return {
        "folds": len(pairs),
        "first_value": float(values[:, 0].mean()),
        "second_value": float(values[:, 1].mean()),
        "difference": float(differences.mean()),
        "effect_size": statistics.effect_size(differences),
        "nadeau_bengio_t": corrected.statistic,
        "nadeau_bengio_p": corrected.p,
        "wilcoxon_p": ranked.p,
        "wilcoxon_floor": ranked.floor,
    }


def _of_images(metric: str, selection: str, first: Arm, second: Arm) -> Row:
    """Return the secondary tests, which take images for independent."""
    mcnemar = delong = None
    if first.partition and metric == "accuracy":
        truth = first.label == 1
        mcnemar = statistics.mcnemar(*(decide(arm.logit[selection]) == truth for arm in (first, second)))
    if first.partition and metric == "auc":
        delong = statistics.delong(first.label, first.logit[selection], second.logit[selection]).p
    return {"mcnemar_p": mcnemar, "delong_p": delong}
