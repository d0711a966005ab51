"""The variance of a score of one trained model: the shares of seed, fold and group; and training variance in bootstrap draws.

Each of F folds is trained with S seeds. The score of fold f and seed s is taken as mean + fold + group + seed, independent
effects: `fold` is the choice of training images and whatever else differs between folds, `group` which groups evaluate, and
`seed` all chance in training, whether it moves all images or only some. The components are estimated by moments:

    seed   mean over folds of the variance between seeds
    group  (S m - a) / (S - 1), where m is the jackknife variance of a fold's mean over seeds, and a that of a single seed's
           score, each averaged over folds: m holds 1 / S of the variance of groups that differs between seeds, and a all of it
    fold   variance between folds of the means over seeds, less group, less seed / S

These are the expected mean squares of a one-way layout (Searle, Casella and McCulloch, Variance Components, 1992, chapter 3;
where none is negative, REML gives the same), with `fold` divided by the sampling variance of the groups. The latter is that
of the stratified delete-one jackknife (Rust and Rao, Statistical Methods in Medical Research 5, 1996, 283-310), which has
no bias for means, however few the groups of a class are, as a bootstrap has without the factor n / (n - 1).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from histobench.evaluation.bootstrap import Clustered, generator
from histobench.evaluation.predictions import Predictions
from histobench.evaluation.summary import ARM
from histobench.metrics import METRICS
from histobench.study.runs import Run

SOURCES = ("seed", "fold", "group")
COLUMNS = (
    *(*ARM, "selection", "metric", "seeds", "folds", "unit"),
    *(f"{source}_variance" for source in SOURCES),
    *(f"{source}_std" for source in (*SOURCES, "total")),
    *(f"{source}_share" for source in SOURCES),
)

Row = dict[str, object]


def left_out(classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the replicates of the delete-one jackknife within classes, of which each leaves out one group.

    The weights of the other groups of its class are raised to n / (n - 1). A group that is the only one of its class stays:
    nothing is known of the variance of its class, as in the bootstrap.

    Args:
        classes: (groups,) the class of each group.

    Returns:
        (replicates, groups) weights, and (replicates,) the factor (n - 1) / n of each one's squared deviation from the estimate.
    """
    size = (classes[:, None] == classes).sum(axis=1)
    left = np.flatnonzero(size > 1)
    raised = np.where(classes[left, None] == classes, size / np.maximum(size - 1, 1), 1.0)
    raised[np.arange(len(left)), left] = 0
    return raised, (1 - 1 / size[left])


def components(
    scores: np.ndarray, replicates: Sequence[np.ndarray], factors: Sequence[np.ndarray]
) -> tuple[float, float, float]:
    """Return the variances of seed, fold and group, estimated without bias, so that one may be negative.

    Args:
        scores: (folds, seeds), at least two of each.
        replicates: for each fold (seeds, replicates): the scores with the weights of :func:`left_out`.
        factors: for each fold (replicates,), of :func:`left_out`.
    """
    seeds = scores.shape[1]
    deviations = [part - own[:, None] for part, own in zip(replicates, scores, strict=True)]
    single = np.mean([(part**2 @ factor).mean() for part, factor in zip(deviations, factors, strict=True)])
    averaged = np.mean([part.mean(axis=0) ** 2 @ factor for part, factor in zip(deviations, factors, strict=True)])
    seed = scores.var(axis=1, ddof=1).mean()
    group = (seeds * averaged - single) / (seeds - 1)
    fold = scores.mean(axis=1).var(ddof=1) - group - seed / seeds
    return float(seed), float(fold), float(group)


def variances(declared: Sequence[Run], runs: Mapping[Run, Predictions], splits: Mapping[str, Mapping]) -> list[Row]:
    """Return the rows of variance.csv: for each arm with several seeds and folds, selection and score.

    `*_variance` are the estimates; for `*_std` and `*_share` a negative one counts as 0. Shares are of the sum of the three, the
    variance of the score of one fold and one seed, and None where scores do not vary. An arm without all its runs is left
    out, which gaps.csv says.

    Args:
        declared: every run of the study.
        runs: the usable ones.
        splits: each split policy's `unit`.
    """
    arms: dict[str, list[Run]] = {}
    for run in declared:
        arms.setdefault(run.arm, []).append(run)
    rows: list[Row] = []
    for members in arms.values():
        folds, seeds = (sorted({getattr(run, name) for run in members}) for name in ("fold", "seed"))
        if len(seeds) < 2 or len(folds) < 2 or not all(run in runs for run in members):
            continue
        of = {(run.fold, run.seed): runs[run] for run in members}
        for selection in of[folds[0], seeds[0]].logit:
            counted = {place: Clustered(part.label, part.logit[selection], part.group) for place, part in of.items()}
            left = {fold: left_out(counted[fold, seeds[0]].classes) for fold in folds}
            estimates = {place: one.values() for place, one in counted.items()}
            without = {place: one.values(left[place[0]][0]) for place, one in counted.items()}
            for metric in METRICS:
                found = components(
                    np.array([[estimates[fold, seed][metric][0] for seed in seeds] for fold in folds]),
                    [np.array([without[fold, seed][metric] for seed in seeds]) for fold in folds],
                    [left[fold][1] for fold in folds],
                )
                own = np.maximum(found, 0)
                key: Row = {**{name: getattr(members[0], name) for name in ARM}, "selection": selection}
                values = [metric, len(seeds), len(folds), splits[members[0].split]["unit"], *found]
                values += [float(value) for value in np.sqrt([*own, own.sum()])]
                values += [float(value / own.sum()) if own.sum() > 1e-15 else None for value in own]
                rows.append(key | dict(zip(COLUMNS[len(key) :], values, strict=True)))
    return rows


def with_training_variance(drawn: np.ndarray, scores: np.ndarray, name: str, seed: int = 0) -> np.ndarray:
    """Return the draws of a mean over folds and seeds with the variance of training in them; unchanged for a single seed.

    Resampled groups leave the trained models as they are. Each draw is moved by a Student t with F (S - 1) degrees of freedom,
    times the standard error of the mean that comes from training: the larger of that by the variance between the seeds of a
    fold, v / (S F), which holds if folds are trained independently, and that by the variance between the seeds' means over
    folds, u / S, which is larger where a seed does better in all folds alike. The part of `group` that differs between seeds
    is in the draws too, so that the interval is rather too wide than too narrow. Draws stay within 0 and 1. Movements are
    quantiles of t in random order, none beyond the levels 0.005 and 0.995. Intervals are corrected by the skewness of the
    draws, which a few larger movements would decide.

    Args:
        drawn: (draws,) the mean over folds and seeds in each draw of groups.
        scores: (folds, seeds) the score of each run.
        name: what is drawn, such as the arm and the score; names have independent movements.
        seed: of the draws.
    """
    from scipy.special import stdtrit

    folds, seeds = scores.shape
    if seeds < 2:
        return drawn
    variance = max(scores.var(axis=1, ddof=1).mean() / folds, scores.mean(axis=0).var(ddof=1)) / seeds
    level = (generator("training", seed, [name]).permutation(len(drawn)) + 0.5) / len(drawn)
    moved = stdtrit(folds * (seeds - 1), np.clip(level, 0.005, 0.995))
    return np.clip(drawn + variance**0.5 * moved, 0, 1)
