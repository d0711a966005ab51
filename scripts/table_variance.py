"""Write the table of the shares of variance of seed, fold and groups."""

from histobench.evaluation.variance import COLUMNS
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import render
from histobench.report.tables.variance_table import variance_table
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "variance", "output_prefix")
    table = variance_table(read_csv(given.variance, COLUMNS), resolved.load(given.study))
    render.write(table, given.output_prefix)


if __name__ == "__main__":
    run_script(main)
