"""The variance of seed, fold and group in SIMULATED studies beside their true shares, and how often intervals miss the truth."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks import cores, say
from tests.evaluation.seeded_studies import Design, Images, predictions, study

STUDIES, TRUTH, INTERVALS, DRAWS = 400, 20_000, 2000, 1000
METRICS = ("accuracy", "auc")
SETTINGS = {
    "all three": Images(),
    "no effect of the seed": Images(seed=0, chance=0),
    "seed alone, by images": Images(seed=0, fold=0, group=0),
    "no effect of the fold": Images(fold=0),
    "three seeds, two folds": Images(folds=2),
}


def run(_folder: Path, _originals: Path | None, _cold: bool) -> None:
    """Print both tables."""
    say(
        f"Standard deviations of seed, fold and group, accuracy and AUC: true ({TRUTH:,} folds), estimated (root of the mean of"
    )
    say(f"{STUDIES} studies' variances), and their Monte Carlo error (two standard errors)\n")
    with ProcessPoolExecutor(cores()) as pool:
        for (title, design), metric in product(SETTINGS.items(), METRICS):
            parts = list(pool.map(true, [design] * 20, range(20), [metric] * 20))
            truth = np.mean(parts, axis=0)
            found = np.array(
                list(pool.map(estimated, [design] * STUDIES, range(STUDIES), [metric] * STUDIES, chunksize=10))
            )
            mean, error = found.mean(axis=0), 2 * found.std(axis=0, ddof=1) / STUDIES**0.5
            for source, *numbers in zip(("seed", "fold", "group"), truth, mean, error, strict=True):
                say(f"  {title:<24}{metric:<10}{source:<8}" + "".join(f"{1e4 * number:10.2f}" for number in numbers))
    say(f"\nShare of {INTERVALS} studies whose 95 % interval misses the truth: without training variance, with it\n")
    for seeds, seed, common in product((2, 3), (0.0, 0.02, 0.04), (0.0, 0.5)):
        design = Design(seed=seed, chance=0, fold=0, common=common, seeds=seeds, groups=(5, 12))
        if seed or not common:
            rates = [f"{rate:.3f}" for rate in missed(design)]
            share = seed**2 / (seed**2 + design.truth[2])
            say(f"  {seeds} seeds, share of the seed {share:.2f}, {common:.1f} of it in all folds: {' '.join(rates)}")


def _scores(parts: list, metric: str) -> list[float]:
    from histobench.metrics import all_scores

    return [all_scores(part.label, part.logit["last"], part.group)[metric] for part in parts]


def true(design: Images, number: int, metric: str) -> np.ndarray:
    """Return the variances of seed, fold and group, by folds that share the one or the other."""
    rng = np.random.default_rng([1, number])
    count = TRUTH // 20
    # A fold's quality decides its separation: pairs of folds with other groups and seeds have it alone in common.
    quality = design.separation + design.fold * rng.standard_normal(count)
    pairs = np.array(
        [
            [_scores(fold, metric) for fold in predictions(rng, replace(design, separation=one, fold=0, seeds=2), 2)]
            for one in quality
        ]
    )  # (folds, two with other groups, two seeds)
    centred = pairs - pairs.mean()
    fold = np.mean(centred[:, 0].mean(axis=1) * centred[:, 1].mean(axis=1))
    both = np.mean(centred[:, :, 0] * centred[:, :, 1])
    seed = np.mean((pairs[:, :, 0] - pairs[:, :, 1]) ** 2) / 2
    return np.array([seed, fold, both - fold])


def estimated(design: Images, number: int, metric: str) -> list[float]:
    """Return the estimates of one study."""
    from histobench.evaluation.variance import SOURCES, variances
    from histobench.study.runs import Run

    runs = {
        Run("simulated", "arm", "ft", "patient", 40, "none", seed, fold): part
        for fold, seeds in enumerate(predictions(np.random.default_rng([2, number]), design), start=1)
        for seed, part in enumerate(seeds)
    }
    rows = variances(list(runs), runs, {"patient": {"unit": "patient"}})
    (row,) = (row for row in rows if row["metric"] == metric)
    return [float(str(row[f"{source}_variance"])) for source in SOURCES]


def missed(design: Design) -> list[float]:
    """Return how often the interval of a mean over folds misses the truth: without training variance, and with it."""
    from histobench.evaluation.bootstrap import Groups, interval, resample
    from histobench.evaluation.variance import with_training_variance

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
