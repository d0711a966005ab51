"""Write the companion of Table 4 that shows its arms under a stricter split, where they are trained under one."""

from histobench.evaluation.summary import SUMMARY_COLUMNS
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import render
from histobench.report.tables.strict_table import strict_table
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "summary", "output_prefix")
    table = strict_table(read_csv(given.summary, SUMMARY_COLUMNS), resolved.load(given.study))
    render.write(table, given.output_prefix)


if __name__ == "__main__":
    run_script(main)
