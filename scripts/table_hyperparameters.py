"""Write Table 3, how the models are trained, and its companion beside the published one."""

from histobench.io.errors import run_script
from histobench.report import published_tables, render
from histobench.report.tables.hyperparameters_table import hyperparameter_tables
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "output_prefix", optional=["published"])
    study = resolved.load(given.study)
    table, beside = hyperparameter_tables(published_tables.read(given.published, 3, study), study)
    render.write(table, given.output_prefix, beside if study.paper else None)


if __name__ == "__main__":
    run_script(main)
