"""Score the predictions of every run of a study.

The folders of a path say which run it is: results/DATASET/runs/MODEL/MODE/SPLIT/40x/AUGMENTATION/seed0/fold1/predictions.csv.
metrics.csv has a row per run and selection, summary.csv a row per arm and selection: mean and sample standard deviation
over `folds` folds. Both have full precision. Predictions that cannot be used are named on stderr and left out.
"""

from histobench.evaluation import predictions, summary
from histobench.io.errors import run_script
from histobench.io.files import write_csv
from histobench.study import arguments


def main() -> None:
    given = arguments.parse(__doc__, "metrics", "summary", several=["predictions"])
    runs, unusable = predictions.read_runs(given.predictions)
    predictions.warn(unusable)
    rows = [row for run, read in runs.items() for row in summary.score_run(run, read)]
    write_csv(given.metrics, summary.METRICS_COLUMNS, rows)
    write_csv(given.summary, summary.SUMMARY_COLUMNS, summary.with_groups(summary.summarise(rows), runs))


if __name__ == "__main__":
    run_script(main)
