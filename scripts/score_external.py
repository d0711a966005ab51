"""Score what runs predict on another dataset, which none of them was trained on.

The folders of a path say which: results/ON/predictions/DATASET/MODEL/MODE/SPLIT/40x/AUGMENTATION/fold1.csv. A file that
cannot be used is a gap, also named on stderr, and the others are scored. All numbers have full precision.
"""

import argparse
import sys
from pathlib import Path

from histobench.io.errors import run_script
from histobench.io.files import write_csv


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", nargs="+", required=True, metavar="CSV", help="one file per run and dataset")
    parser.add_argument("--metrics", type=Path, required=True, help="CSV to write: a row per run")
    parser.add_argument("--summary", type=Path, required=True, help="CSV to write: a row per arm")
    parser.add_argument("--groups", type=Path, required=True, help="CSV to write: malignant calls in each class")
    parser.add_argument("--gaps", type=Path, required=True, help="CSV to write: what could not be used")
    arguments = parser.parse_args()

    from histobench.evaluation import external, predictions

    runs, gaps = external.read_runs(map(Path, arguments.predictions))
    for gap in gaps:
        print(f"warning: {gap.what}", file=sys.stderr)
    metrics = [external.score_run(*key, read) for key, read in runs.items()]
    groups = [row for key, read in runs.items() for row in external.group_rates(*key, read)]
    write_csv(arguments.metrics, external.METRICS_COLUMNS, metrics)
    write_csv(arguments.summary, external.SUMMARY_COLUMNS, external.summarise(metrics))
    write_csv(arguments.groups, external.GROUPS_COLUMNS, external.with_means(groups))
    write_csv(arguments.gaps, predictions.GAPS_COLUMNS, (vars(gap) for gap in gaps))


if __name__ == "__main__":
    run_script(main)
