"""Score what runs predict on another dataset, which none of them was trained on, with a 95 % interval for every arm.

The folders of a path say which: results/ON/predictions/DATASET/MODEL/MODE/SPLIT/40x/AUGMENTATION/seed0/fold1.csv. A file that
cannot be used is a gap, also named on stderr, and the others are scored. All numbers have full precision.
"""

from histobench.evaluation import comparisons, external, predictions
from histobench.evaluation.summary import summarise
from histobench.io.errors import run_script
from histobench.io.files import write_arrays, write_csv
from histobench.study import arguments, resolved


def main() -> None:
    tables = ("metrics", "summary", "groups", "intervals", "gaps")
    given = arguments.parse(__doc__, "study", *tables, "draws", several=["predictions"])
    settings = resolved.load(given.study).comparisons
    runs, gaps = external.read_runs(given.predictions)
    predictions.warn(gaps)
    metrics = [external.score_run(*key, read) for key, read in runs.items()]
    groups = [row for key, read in runs.items() for row in external.group_rates(*key, read)]
    intervals, draws = comparisons.external_intervals(runs, settings["draws"], settings["seed"])
    write_csv(given.metrics, external.METRICS_COLUMNS, metrics)
    write_csv(given.summary, external.SUMMARY_COLUMNS, summarise(metrics, external.KEYS))
    write_csv(given.groups, external.GROUPS_COLUMNS, external.with_means(groups))
    write_csv(given.intervals, comparisons.EXTERNAL_INTERVALS_COLUMNS, intervals)
    write_arrays(given.draws, draws)
    write_csv(given.gaps, predictions.GAPS_COLUMNS, (vars(gap) for gap in gaps))


if __name__ == "__main__":
    run_script(main)
