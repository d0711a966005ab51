"""Write Table 7, pairs of arms: PREFIX in the paper's form, its companion beside the published one, and PREFIX-honest.

A study that is not about the paper has the full form alone, as PREFIX.
"""

from pathlib import Path

from histobench.evaluation.comparisons import COMPARISONS_COLUMNS
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import published_tables, render
from histobench.report.tables.comparison_tables import comparison_tables
from histobench.study import arguments, resolved
from histobench.study.outputs import FULL


def main() -> None:
    given = arguments.parse(__doc__, "study", "comparisons", "output_prefix", optional=["published"])
    study = resolved.load(given.study)
    published = published_tables.read(given.published, 7, study)
    table, beside, full = comparison_tables(read_csv(given.comparisons, COMPARISONS_COLUMNS), published, study)
    if study.paper:
        render.write(table, given.output_prefix, beside)
    render.write(full, Path(f"{given.output_prefix}{FULL if study.paper else ''}"))


if __name__ == "__main__":
    run_script(main)
