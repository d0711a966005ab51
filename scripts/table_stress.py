"""Write the table of the stress test."""

from histobench.evaluation.stress import STRESS_COLUMNS
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import render
from histobench.report.tables.stress_table import stress_table
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "stress", "output_prefix")
    table = stress_table(read_csv(given.stress, STRESS_COLUMNS), resolved.load(given.study))
    render.write(table, given.output_prefix)


if __name__ == "__main__":
    run_script(main)
