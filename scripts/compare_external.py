"""Give the external test of every arm 95 % intervals: the other dataset's patients are resampled within class.

A file that cannot be used is named on stderr and left out; score_external.py lists it in external_gaps.csv.
"""

import argparse
import sys
from pathlib import Path

from histobench.io.errors import run_script
from histobench.io.files import write_csv


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", nargs="+", required=True, metavar="CSV", help="one file per run and dataset")
    parser.add_argument("--draws", type=int, default=10_000, help="bootstrap draws")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws")
    parser.add_argument("--intervals", type=Path, required=True, help="CSV to write")
    given = parser.parse_args()

    from histobench.evaluation import comparisons, external

    runs, gaps = external.read_runs(map(Path, given.predictions))
    for gap in gaps:
        print(f"warning: {gap.what}", file=sys.stderr)
    rows = comparisons.external_intervals(runs, given.draws, given.seed)
    write_csv(given.intervals, comparisons.EXTERNAL_INTERVALS_COLUMNS, rows)


if __name__ == "__main__":
    run_script(main)
