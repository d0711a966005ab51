"""The statistics of a SIMULATED full study, timed; how often intervals cover the truth and each test rejects, by simulation."""

import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks import ROOT, cores, say
from tests.evaluation import grouped_studies
from tests.evaluation.null_studies import FOLDS, Design, study

STUDIES = 1000
FEWER = {"image": 200}
"""Studies where images are resampled, which takes ten times as long."""
TESTED = 500
"""Studies of the table of tests."""
DRAWS = 2000
LEVEL = 0.05
TESTS = {
    "sign flip of groups": "flip",
    "bootstrap of groups": "bootstrap",
    "Nadeau-Bengio t": "corrected",
    "paired t on folds (not used)": "plain",
    "Wilcoxon on folds": "wilcoxon",
    "Wilcoxon on folds, at 0.10": "wilcoxon10",
    "secondary: McNemar / DeLong": "images",
}


SETTINGS = {
    "null, images alone": Design(patient_effect=0, trained=False),
    "null, fixed models": Design(trained=False),
    "null, trained": Design(),
    "advantage 0.1": Design(advantage=0.1),
    "advantage 0.2": Design(advantage=0.2),
}
"""Columns of the table."""
COVERED = {
    "folds of accession numbers": (grouped_studies.Design(), ("accession", "slide", "image")),
    "the same, 1, 2, 3, 4 and 6 benign": (grouped_studies.Design(benign=(1, 2, 3, 4, 6)), ("accession",)),
    "folds of slides": (grouped_studies.Design("slide"), ("accession", "slide", "image")),
    "the same, no effect of accession": (grouped_studies.Design("slide", 0.0, 0.5), ("slide",)),
}
"""Title -> design, and what is resampled."""
COVERAGE_DRAWS = 1000


def run(folder: Path, _originals: Path | None, _cold: bool) -> None:
    """Time score.py and compare.py on a simulated study, then print the table of rejection rates."""
    from benchmarks.simulated import configured, simulate
    from histobench.study import paths, resolved

    config = configured()
    began = time.perf_counter()
    simulate(folder, config)
    say(f"{len(config.runs)} SIMULATED runs on the images of BreakHis, written in {time.perf_counter() - began:.0f} s")
    predictions = [config.path(paths.PREDICTIONS, **vars(run)) for run in config.runs]
    resolved.write(resolved.resolve(config), folder / "study.json")
    outputs = [part for name in ("intervals", "comparisons", "calibration", "gaps") for part in (f"--{name}", name)]
    for name, arguments in (
        ("score", ["--metrics", "metrics.csv", "--summary", "summary.csv"]),
        ("compare", ["--study", "study.json", *outputs, "--draws", "draws.npz"]),
    ):
        seconds, peak = measured(
            [sys.executable, ROOT / "scripts" / f"{name}.py", "--predictions", *predictions, *arguments], folder
        )
        say(f"  {name:<8}{seconds:6.1f} s   {peak:5.0f} MiB at most")

    coverage_table()
    rejection_table()


def coverage_table() -> None:
    """Print how often 95 % intervals of the mean over folds cover the truth."""
    say(
        f"\nShare of {STUDIES} SIMULATED studies on the groups of BreakHis whose 95 % interval of the mean over folds covers the "
        f"truth,\nand its mean width; {COVERAGE_DRAWS} draws. Monte Carlo error of 0.950: "
        f"+-{1.96 * (0.05 * 0.95 / STUDIES) ** 0.5:.3f}. See docs/statistics.md.\n"
    )
    heads = [f"{metric}, {what}" for metric in ("accuracy", "auc") for what in ("one arm", "difference")]
    say(f"  {'':<48}" + "".join(f"{title:>22}" for title in heads))
    for title, (design, kinds) in COVERED.items():
        for kind in kinds:
            found = coverage(design, kind, FEWER.get(kind, STUDIES))
            cells = [f"{share:.3f} ({width:.3f})" for share, width in found]
            say(f"  {f'{title}, {kind} resampled':<48}" + "".join(f"{cell:>22}" for cell in cells))


def coverage(design: grouped_studies.Design, kind: str, studies: int) -> np.ndarray:
    """Return for each metric, for one arm and the difference of two, how often intervals cover and how wide they are."""
    with ProcessPoolExecutor(cores()) as pool:
        return np.mean(
            list(pool.map(covers, [design] * studies, [kind] * studies, range(studies), chunksize=25)), axis=0
        )


def covers(design: grouped_studies.Design, kind: str, seed: int) -> list[tuple[float, float]]:
    """Draw one study and resample its groups: 1 where an interval covers the truth, and its width."""
    from histobench.evaluation import bootstrap
    from histobench.evaluation.groups import Groups

    class Clustered(bootstrap.Clustered):
        """Without one score, which is not looked at and takes half of the time."""

        def _sensitivity(self, malignant: np.ndarray, *_: np.ndarray) -> np.ndarray:
            return np.zeros(len(malignant))

    drawn = grouped_studies.study(np.random.default_rng([seed, 1]), design)
    group = drawn.groups[kind]
    groups = Groups.of(group, drawn.label, drawn.fold)
    weights = bootstrap.resample(groups, COVERAGE_DRAWS, seed)
    scored = [
        [
            Clustered(drawn.label[here], logit[here], group[here])
            for here in (drawn.fold == fold for fold in range(grouped_studies.FOLDS))
        ]
        for logit in drawn.logits
    ]
    means = [bootstrap.fold_means(folds, groups) for folds in scored]
    of_draws = [
        bootstrap.spread(mean, bootstrap.fold_means(folds, groups, weights), groups)
        for mean, folds in zip(means, scored, strict=True)
    ]
    found = []
    for metric in ("accuracy", "auc"):
        for second in (0, 1):
            estimate, draws, truth = (
                one[0][metric] - second * one[1][metric] for one in (means, of_draws, drawn.truth)
            )
            low, high = bootstrap.interval(float(estimate[0]), draws, groups.freedom)
            found.append((float(low <= truth <= high), high - low))
    return found


def rejection_table() -> None:
    """Print how often each test rejects."""
    say(
        f"\nShare of {TESTED} SIMULATED studies in which p <= {LEVEL}, as accuracy / AUC; 82 patients, {FOLDS} folds, "
        f"{DRAWS} draws.\nMonte Carlo error of 0.050: +-{1.96 * (0.05 * 0.95 / TESTED) ** 0.5:.3f}. "
        "See docs/statistics.md for what was simulated.\n"
    )
    say(f"  {'':<30}" + "".join(f"{title:>21}" for title in SETTINGS))
    rates = [rejection_rates(design, TESTED) for design in SETTINGS.values()]
    for title, test in {**TESTS, "(mean difference)": "difference"}.items():
        columns = [f"{share[test, 'accuracy']:.3f} / {share[test, 'auc']:.3f}" for share in rates]
        say(f"  {title:<30}" + "".join(f"{column:>21}" for column in columns))


def measured(command: list[str | Path], folder: Path) -> tuple[float, float]:
    """Return the seconds that a command took and its peak memory in MiB."""
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT / "workflow")})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[1]} failed")
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def rejection_rates(design: Design, studies: int) -> dict[tuple[str, str], float]:
    """Return for each test and metric the share of studies in which it rejects, and the mean difference."""
    with ProcessPoolExecutor(cores()) as pool:
        found = list(pool.map(one, [design] * studies, range(studies), chunksize=25))
    return {key: float(np.mean([item[key] for item in found])) for key in found[0]}


def one(design: Design, seed: int) -> dict[tuple[str, str], float]:
    """Draw one study and test it: 1 where a test rejects."""
    from scipy.stats import ttest_rel

    from histobench.evaluation import bootstrap, statistics
    from histobench.evaluation.groups import Groups
    from histobench.metrics import auc, decide

    drawn = study(np.random.default_rng(seed), design)
    arms = [bootstrap.Clustered(drawn.label, logit, drawn.patient) for logit in drawn.logits]
    groups = Groups.of(drawn.patient, drawn.label, drawn.fold)
    weights = bootstrap.resample(groups, DRAWS, seed)
    of_folds = [
        [
            bootstrap.Clustered(drawn.label[here], logit[here], drawn.patient[here])
            for here in (drawn.fold == fold for fold in range(FOLDS))
        ]
        for logit in drawn.logits
    ]
    means = [bootstrap.fold_means(folds, groups, weights) for folds in of_folds]
    flipped = bootstrap.sign_flip_p([(arms[0], arms[1])], bootstrap.flips(groups, DRAWS, seed))
    right = [decide(logit) == (drawn.label == 1) for logit in drawn.logits]
    found: dict[tuple[str, str], float] = {}
    for metric in ("accuracy", "auc"):
        by_fold = np.empty((2, FOLDS))
        for fold in range(FOLDS):
            here = drawn.fold == fold
            for arm in range(2):
                score = (
                    np.mean(right[arm][here])
                    if metric == "accuracy"
                    else auc(drawn.label[here], drawn.logits[arm][here])
                )
                by_fold[arm, fold] = score
        differences = by_fold[0] - by_fold[1]
        ranked = statistics.wilcoxon(differences).p
        images = statistics.mcnemar(*right) if metric == "accuracy" else statistics.delong(drawn.label, *drawn.logits).p
        corrected = statistics.nadeau_bengio(differences, 1 / (FOLDS - 1)).p
        p = {
            "flip": flipped[metric],
            "bootstrap": bootstrap.bootstrap_p(means[0][metric] - means[1][metric], groups.freedom),
            "corrected": 1.0 if corrected is None else corrected,
            "plain": float(ttest_rel(*by_fold).pvalue),
            "wilcoxon": ranked,
            "wilcoxon10": LEVEL if ranked <= 0.1 else 1.0,
            "images": 1.0 if images is None else images,
        }
        found |= {(test, metric): float(value <= LEVEL) for test, value in p.items()}
        found["difference", metric] = float(differences.mean())
    return found
