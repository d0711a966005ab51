"""Write Table 7, pairs of arms: PREFIX in the paper's form, its companion beside the published one, and PREFIX-honest."""

from pathlib import Path

from histobench.evaluation.comparisons import COMPARISONS_COLUMNS
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import render
from histobench.report.tables.comparison_tables import comparison_tables
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "comparisons", "published", "output_prefix")
    comparisons, published = read_csv(given.comparisons, COMPARISONS_COLUMNS), read_csv(given.published, ())
    table, beside, honest = comparison_tables(comparisons, published, resolved.load(given.study))
    render.write(table, given.output_prefix, beside)
    render.write(honest, Path(f"{given.output_prefix}-honest"))


if __name__ == "__main__":
    run_script(main)
