"""Write Table 4 or 5, the scores per arm and magnification, and its companion beside the published one.

The name of the files says which: table4 is of the last epoch, table4-best-epoch of the best one.
"""

from histobench.evaluation.summary import SUMMARY_COLUMNS
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import render
from histobench.report.tables.results_tables import results_tables
from histobench.study import arguments, resolved
from histobench.study.outputs import numbered


def main() -> None:
    given = arguments.parse(__doc__, "study", "summary", "published", "output_prefix")
    summary, published = read_csv(given.summary, SUMMARY_COLUMNS), read_csv(given.published, ())
    number, selection = numbered(given.output_prefix.name)
    table, beside = results_tables(summary, published, number, selection, resolved.load(given.study))
    render.write(table, given.output_prefix, beside)


if __name__ == "__main__":
    run_script(main)
