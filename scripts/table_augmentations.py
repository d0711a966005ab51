"""Write the table of what each augmentation adds to the scores of the same arm."""

import numpy as np

from histobench.evaluation.comparisons import INTERVALS_COLUMNS
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import render
from histobench.report.tables.augmentation_table import augmentation_table
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "intervals", "draws", "output_prefix")
    intervals = read_csv(given.intervals, INTERVALS_COLUMNS)
    table = augmentation_table(intervals, np.load(given.draws), resolved.load(given.study))
    render.write(table, given.output_prefix)


if __name__ == "__main__":
    run_script(main)
