"""Score the predictions of every run of a study.

The folders of a path say which run it is: results/DATASET/runs/MODEL/MODE/SPLIT/40x/AUGMENTATION/fold1/predictions.csv.
metrics.csv has a row per run and selection, summary.csv a row per arm and selection: mean and sample standard deviation
over folds. Both have full precision.
"""

import argparse
import sys
from pathlib import Path

from histobench.study.errors import HistoBenchError, run_script
from histobench.study.files import write_csv
from histobench.study.paths import Run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", nargs="+", required=True, metavar="CSV", help="one file per run")
    parser.add_argument("--metrics", type=Path, required=True, help="CSV to write")
    parser.add_argument("--summary", type=Path, required=True, help="CSV to write")
    arguments = parser.parse_args()

    from histobench.evaluation import predictions, summary

    runs: dict[Run, Path] = {}
    for path in map(Path, arguments.predictions):
        run = identity(path)
        if run in runs:
            raise HistoBenchError(f"{path}: is the same run as {runs[run]}; give each run once")
        runs[run] = path
    rows = []
    for run, path in runs.items():
        read = predictions.read(path)
        if read.fold != run.fold:
            raise HistoBenchError(
                f"{path}: holds the predictions of fold {read.fold}, not of fold {run.fold}; "
                "delete the file to have its run repeated"
            )
        rows.extend(summary.score_run(run, read))
    for gap in summary.gaps(list(runs)):
        print(f"warning: {gap}", file=sys.stderr)
    write_csv(arguments.metrics, summary.METRICS_COLUMNS, rows)
    write_csv(arguments.summary, summary.SUMMARY_COLUMNS, summary.summarise(rows))


def identity(path: Path) -> Run:
    """Return the run that a path names."""
    try:
        return Run.of(str(path))
    except ValueError as error:
        raise HistoBenchError(
            f"{path}: names no run; expected .../DATASET/runs/MODEL/MODE/SPLIT/40x/AUGMENTATION/fold1/predictions.csv"
        ) from error


if __name__ == "__main__":
    run_script(main)
