"""Write Table 3, how the models are trained, and its companion beside the published one."""

from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import render
from histobench.report.tables.hyperparameters_table import hyperparameter_tables
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "published", "output_prefix")
    table, beside = hyperparameter_tables(read_csv(given.published, ()), resolved.load(given.study))
    render.write(table, given.output_prefix, beside)


if __name__ == "__main__":
    run_script(main)
