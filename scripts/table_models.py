"""Write Table 2, the models and their sizes, and its companion beside the published one."""

from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import published_tables, render
from histobench.report.tables.models_table import COLUMNS, model_tables
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "parameters", "output_prefix", optional=["published"])
    study = resolved.load(given.study)
    published = published_tables.read(given.published, 2, study)
    table, beside = model_tables(read_csv(given.parameters, COLUMNS), published, study)
    render.write(table, given.output_prefix, beside if study.paper else None)


if __name__ == "__main__":
    run_script(main)
