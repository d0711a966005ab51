"""Write Table 2, the models and their sizes, and its companion beside the published one."""

from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import render
from histobench.report.tables.models_table import COLUMNS, model_tables
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "parameters", "published", "output_prefix")
    parameters, published = read_csv(given.parameters, COLUMNS), read_csv(given.published, ())
    table, beside = model_tables(parameters, published, resolved.load(given.study))
    render.write(table, given.output_prefix, beside)


if __name__ == "__main__":
    run_script(main)
