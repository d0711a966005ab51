"""Write Table 6, its companions, and beside them `external`, the whole external test.

--manifests are those of the dataset of Table 6 and of the one that its models were trained on.
"""

import numpy as np

from histobench.datasets import manifest
from histobench.evaluation.comparisons import EXTERNAL_INTERVALS_COLUMNS
from histobench.evaluation.external import GROUPS_COLUMNS, SUMMARY_COLUMNS
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import published_tables, render
from histobench.report.tables.results_tables import results_tables
from histobench.report.tables.scales_table import scales_table
from histobench.report.tables.scores_tables import external_table, external_units
from histobench.study import arguments, outputs, resolved


def main() -> None:
    files = ("study", "summary", "groups", "intervals", "draws", "output_prefix")
    given = arguments.parse(__doc__, *files, several=["manifests"], optional=["published"])
    study = resolved.load(given.study)
    summary, groups = read_csv(given.summary, SUMMARY_COLUMNS), read_csv(given.groups, GROUPS_COLUMNS)
    intervals = read_csv(given.intervals, EXTERNAL_INTERVALS_COLUMNS)
    units = external_units([row for row in intervals if row["on"] == study.table6["on"]])
    published = published_tables.read(given.published, 6, study)
    table, beside = results_tables(summary, published, 6, "last", study, units)
    render.write(table, given.output_prefix, beside if study.paper else None)
    for name in outputs.named(study, outputs.scales(study)):
        images, trained_on = map(manifest.load, given.manifests)
        render.write(
            scales_table(intervals, np.load(given.draws), images, trained_on, study),
            given.output_prefix.with_name(name),
        )
    render.write(external_table(summary, groups, study), given.output_prefix.with_name("external"))


if __name__ == "__main__":
    run_script(main)
