"""Write Table 4 or 5, the scores per arm and magnification, and its companion beside the published one.

The name of the files says which: table4 is of the last epoch, table4-best-epoch of the best one.
"""

from histobench.evaluation.summary import SUMMARY_COLUMNS
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import published_tables, render
from histobench.report.tables.results_tables import results_tables
from histobench.study import arguments, resolved
from histobench.study.outputs import numbered


def main() -> None:
    given = arguments.parse(__doc__, "study", "summary", "output_prefix", optional=["published"])
    study = resolved.load(given.study)
    number, selection = numbered(given.output_prefix.name)
    published = published_tables.read(given.published, number, study)
    table, beside = results_tables(read_csv(given.summary, SUMMARY_COLUMNS), published, number, selection, study)
    render.write(table, given.output_prefix, beside if study.paper else None)


if __name__ == "__main__":
    run_script(main)
