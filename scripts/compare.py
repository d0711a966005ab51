"""Give every arm of a study intervals, and compare its arms in pairs.

Four tables are made from the predictions of every run: intervals.csv (an arm's scores on its pooled out-of-fold
predictions and over folds, with 95 % intervals from resampled groups), comparisons.csv (a row per pair of arms and score),
calibration.csv (reliability curves) and gaps.csv (what could not be used, also on stderr). draws.npz has the mean over folds of
every score in every draw.
"""

from histobench.evaluation import comparisons, predictions
from histobench.io.errors import run_script
from histobench.io.files import write_arrays, write_csv
from histobench.study import arguments, resolved
from histobench.study.runs import Run


def main() -> None:
    tables = ("intervals", "comparisons", "calibration", "gaps")
    given = arguments.parse(__doc__, "study", *tables, "draws", several=["predictions"])
    study = resolved.load(given.study)
    runs, unusable = predictions.read_runs(given.predictions)
    found = comparisons.analyse(
        [Run.of(str(path)) for path in given.predictions],
        runs,
        study.splits,
        [(first, second) for first, second in study.comparisons["pairs"]],
        study.comparisons["draws"],
        study.comparisons["seed"],
    )
    gaps = [*unusable, *found.gaps]
    predictions.warn(gaps)
    write_csv(given.intervals, comparisons.INTERVALS_COLUMNS, found.intervals)
    write_csv(given.comparisons, comparisons.COMPARISONS_COLUMNS, found.comparisons)
    write_csv(given.calibration, comparisons.CALIBRATION_COLUMNS, found.calibration)
    write_arrays(given.draws, found.draws)
    write_csv(given.gaps, predictions.GAPS_COLUMNS, (vars(gap) for gap in gaps))


if __name__ == "__main__":
    run_script(main)
