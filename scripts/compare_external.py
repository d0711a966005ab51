"""Give the external test of every arm 95 % intervals: the other dataset's patients are resampled within class.

A file that cannot be used is named on stderr and left out; score_external.py lists it in external_gaps.csv.
"""

from histobench.evaluation import comparisons, external, predictions
from histobench.io.errors import run_script
from histobench.io.files import write_csv
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "intervals", several=["predictions"])
    settings = resolved.load(given.study).comparisons
    runs, gaps = external.read_runs(given.predictions)
    predictions.warn(gaps)
    rows = comparisons.external_intervals(runs, settings["draws"], settings["seed"])
    write_csv(given.intervals, comparisons.EXTERNAL_INTERVALS_COLUMNS, rows)


if __name__ == "__main__":
    run_script(main)
