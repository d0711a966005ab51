"""The variance of seed, fold and group in SIMULATED studies beside their true shares, and how often intervals miss the truth."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks import cores, say
from histobench.evaluation.bootstrap import interval, resample
from histobench.evaluation.groups import Groups
from histobench.evaluation.predictions import Predictions
from histobench.evaluation.variance import SOURCES, variances, with_training_variance
from histobench.metrics import all_scores
from histobench.study.runs import Run
from tests.evaluation.seeded_studies import Design, Images, predictions, study

STUDIES, TRUTH, INTERVALS, DRAWS = 300, 8000, 2000, 1000
METRICS = ("accuracy", "auc")
SETTINGS = {
    "all three": Images(),
    "no effect of the seed": Images(seed=0, chance=0),
    "seed alone, by images": Images(seed=0, fold=0, group=0),
    "no effect of the fold": Images(fold=0),
}


def run(_folder: Path, _originals: Path | None, _cold: bool) -> None:
    """Print both tables."""
    say(
        f"Variances of seed, fold and group, times 10,000: true ({TRUTH:,} pairs of folds), estimated (mean of {STUDIES}"
    )
    say("studies), two standard errors of the estimated one\n")
    with ProcessPoolExecutor(cores()) as pool:
        for title, design in SETTINGS.items():
            truth = np.mean(list(pool.map(true, [design] * 20, range(20))), axis=0)
            found = np.array(list(pool.map(estimated, [design] * STUDIES, range(STUDIES), chunksize=10)))
            mean, error = found.mean(axis=0), 2 * found.std(axis=0, ddof=1) / STUDIES**0.5
            for place, (metric, source) in enumerate(product(METRICS, SOURCES)):
                numbers = [part.ravel()[place] for part in (truth, mean, error)]
                say(f"  {title:<24}{metric:<10}{source:<8}" + "".join(f"{1e4 * number:10.2f}" for number in numbers))
    say(f"\nShare of {INTERVALS} studies whose 95 % interval misses the truth: without training variance, with it\n")
    for seeds, seed, common in product((2, 3), (0.0, 0.02, 0.04), (0.0, 0.5)):
        design = Design(seed=seed, chance=0, fold=0, common=common, seeds=seeds, groups=(5, 12))
        if seed or not common:
            rates = [f"{rate:.3f}" for rate in missed(design)]
            share = seed**2 / (seed**2 + design.truth[2])
            say(f"  {seeds} seeds, share of the seed {share:.2f}, {common:.1f} of it in all folds: {' '.join(rates)}")


def _scores(part: Predictions) -> list[float]:
    found = all_scores(part.label, part.logit["last"], part.group)
    return [found[metric] for metric in METRICS]


def true(design: Images, number: int) -> np.ndarray:
    """Return (metrics, 3): the variances of seed, fold and group, by folds that share the one or the other."""
    rng = np.random.default_rng([1, number])
    # A fold's quality decides its separation: the two of a pair, with other groups and seeds, have it alone in common.
    quality = design.separation + design.fold * rng.standard_normal(TRUTH // 20)
    drawn = [predictions(rng, replace(design, separation=one, fold=0, seeds=2), 2) for one in quality]
    pairs = np.array(
        [[[_scores(part) for part in fold] for fold in pair] for pair in drawn]
    )  # pair, group, seed, metric
    centred = pairs - pairs.mean(axis=(0, 1, 2))
    fold = np.mean(centred[:, 0].mean(axis=1) * centred[:, 1].mean(axis=1), axis=0)
    both = np.mean(centred[:, :, 0] * centred[:, :, 1], axis=(0, 1))
    seed = np.mean((pairs[:, :, 0] - pairs[:, :, 1]) ** 2, axis=(0, 1)) / 2
    return np.stack([seed, fold, both - fold], axis=1)


def estimated(design: Images, number: int) -> list[list[float]]:
    """Return the estimates of one study, for each metric."""
    runs = {
        Run("simulated", "arm", "ft", "patient", 40, "none", seed, fold): part
        for fold, seeds in enumerate(predictions(np.random.default_rng([2, number]), design), start=1)
        for seed, part in enumerate(seeds)
    }
    rows = {row["metric"]: row for row in variances(list(runs), runs, {"patient": {"unit": "patient"}})}
    return [[float(str(rows[metric][f"{source}_variance"])) for source in SOURCES] for metric in METRICS]


def missed(design: Design) -> list[float]:
    """Return how often the interval of a mean over folds misses the truth: without training variance, and with it."""
    rng = np.random.default_rng(3)
    where, label = np.repeat(range(design.folds), sum(design.groups)), np.tile(design.classes == 1, design.folds)
    groups = Groups.of(np.array([f"{number:03}" for number in range(len(where))]), label, where)
    count = np.zeros(2)
    for number in range(INTERVALS):
        values = study(rng, design)
        scores = values @ design.weights
        weights = resample(groups, DRAWS, number % 50)
        drawn = weights @ (values.mean(axis=1) * design.weights).ravel() / design.folds
        for place, one in enumerate((drawn, with_training_variance(drawn, scores, str(number)))):
            low, high = interval(float(scores.mean()), one, groups.freedom)
            count[place] += not low <= design.mean <= high
    return list(count / INTERVALS)
