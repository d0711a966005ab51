"""Write the intervals of Table 4, 5 or 6: a cell for every arm, magnification and score.

The name of the files says which: table4-intervals is of the last epoch, table4-best-epoch-intervals of the best one.
"""

from histobench.evaluation.comparisons import EXTERNAL_INTERVALS_COLUMNS, INTERVALS_COLUMNS
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import published_tables, render
from histobench.report.tables.results_tables import intervals_table
from histobench.study import arguments, resolved
from histobench.study.outputs import numbered


def main() -> None:
    given = arguments.parse(__doc__, "study", "intervals", "output_prefix", optional=["published"])
    study = resolved.load(given.study)
    number, selection = numbered(given.output_prefix.name)
    intervals = read_csv(given.intervals, EXTERNAL_INTERVALS_COLUMNS if number == 6 else INTERVALS_COLUMNS)
    published = published_tables.read(given.published, number, study)
    table = intervals_table(intervals, published, number, selection, study)
    render.write(table, given.output_prefix)


if __name__ == "__main__":
    run_script(main)
