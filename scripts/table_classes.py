"""Write the tables of a study with several classes: results, results-pooled and recall."""

from histobench.evaluation.class_scores import COLUMNS
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import render
from histobench.report.tables.class_tables import class_tables
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "scores", "output_prefix")
    tables = class_tables(read_csv(given.scores, COLUMNS), resolved.load(given.study))
    for name, table in tables.items():
        render.write(table, given.output_prefix.with_name(name))


if __name__ == "__main__":
    run_script(main)
