"""Score the predictions of every run of a study.

The folders of a path say which run it is: results/DATASET/runs/MODEL/MODE/SPLIT/40x/AUGMENTATION/fold1/predictions.csv.
metrics.csv has a row per run and selection, summary.csv a row per arm and selection: mean and sample standard deviation
over folds. Both have full precision. Predictions that cannot be used are named on stderr and left out.
"""

import argparse
import sys
from pathlib import Path

from histobench.io.errors import run_script
from histobench.io.files import write_csv


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", nargs="+", required=True, metavar="CSV", help="one file per run")
    parser.add_argument("--metrics", type=Path, required=True, help="CSV to write")
    parser.add_argument("--summary", type=Path, required=True, help="CSV to write")
    arguments = parser.parse_args()

    from histobench.evaluation import predictions, summary

    runs, unusable = predictions.read_runs(map(Path, arguments.predictions))
    for gap in unusable:
        print(f"warning: {gap.what}", file=sys.stderr)
    rows = [row for run, read in runs.items() for row in summary.score_run(run, read)]
    for gap in summary.gaps(list(runs)):
        print(f"warning: {gap}", file=sys.stderr)
    write_csv(arguments.metrics, summary.METRICS_COLUMNS, rows)
    write_csv(arguments.summary, summary.SUMMARY_COLUMNS, summary.summarise(rows))


if __name__ == "__main__":
    run_script(main)
