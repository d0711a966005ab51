"""Give every arm of a study intervals, and compare its arms in pairs.

From the predictions of every run and their scores (metrics.csv) four tables are made: intervals.csv (an arm's scores on
its pooled out-of-fold predictions, with 95 % intervals from resampled patients), comparisons.csv (a row per pair of arms
and score), calibration.csv (reliability curves) and gaps.csv (what could not be used, also on stderr).
"""

import argparse
import json
import sys
from pathlib import Path

from histobench.io.errors import run_script
from histobench.io.files import read_csv, write_csv
from histobench.study.runs import Run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", nargs="+", required=True, metavar="CSV", help="one file per run")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.csv of the study")
    parser.add_argument("--splits", required=True, help="JSON: the study's split policies by name")
    parser.add_argument("--pairs", default="[]", help="JSON: pairs of arms, each MODEL/MODE; all where empty")
    parser.add_argument("--draws", type=int, default=10_000, help="bootstrap draws and sign flips")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws")
    for table in ("intervals", "comparisons", "calibration", "gaps"):
        parser.add_argument(f"--{table}", type=Path, required=True, help="CSV to write")
    given = parser.parse_args()

    from histobench.evaluation import comparisons, predictions, summary

    runs, unusable = predictions.read_runs(map(Path, given.predictions))
    found = comparisons.analyse(
        [Run.of(path) for path in given.predictions],
        runs,
        read_csv(given.metrics, summary.METRICS_COLUMNS),
        json.loads(given.splits),
        [(first, second) for first, second in json.loads(given.pairs)],
        given.draws,
        given.seed,
    )
    gaps = [*unusable, *found.gaps]
    for gap in gaps:
        print(f"warning: {gap.what}", file=sys.stderr)
    write_csv(given.intervals, comparisons.INTERVALS_COLUMNS, found.intervals)
    write_csv(given.comparisons, comparisons.COMPARISONS_COLUMNS, found.comparisons)
    write_csv(given.calibration, comparisons.CALIBRATION_COLUMNS, found.calibration)
    write_csv(given.gaps, comparisons.GAPS_COLUMNS, (vars(gap) for gap in gaps))


if __name__ == "__main__":
    run_script(main)
