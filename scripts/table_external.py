"""Write Table 6 and its companion beside the published one, and beside them `external`, the whole external test."""

from histobench.evaluation.external import GROUPS_COLUMNS, SUMMARY_COLUMNS
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import published_tables, render
from histobench.report.tables.results_tables import results_tables
from histobench.report.tables.scores_tables import external_table
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "summary", "groups", "output_prefix", optional=["published"])
    study = resolved.load(given.study)
    summary, groups = read_csv(given.summary, SUMMARY_COLUMNS), read_csv(given.groups, GROUPS_COLUMNS)
    table, beside = results_tables(summary, published_tables.read(given.published, 6, study), 6, "last", study)
    render.write(table, given.output_prefix, beside if study.paper else None)
    render.write(external_table(summary, groups, study), given.output_prefix.with_name("external"))


if __name__ == "__main__":
    run_script(main)
