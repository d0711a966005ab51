"""Draw accuracy against the number of patients of each class that train."""

from histobench.evaluation.comparisons import INTERVALS_COLUMNS
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report.figures import style
from histobench.report.figures.few_shot_curves import few_shot_curves
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "intervals", "output_prefix")
    rows = read_csv(given.intervals, INTERVALS_COLUMNS)
    style.save(few_shot_curves(rows, resolved.load(given.study)), given.output_prefix)


if __name__ == "__main__":
    run_script(main)
