"""Write the table of published scores on a benchmark's images beside those of a study."""

from histobench.evaluation.class_scores import COLUMNS
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import render
from histobench.report.tables.benchmark_table import benchmark_table
from histobench.study import arguments, published_rows, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "scores", "output_prefix", several=["published"])
    study = resolved.load(given.study)
    columns = [one["column"] for one in study.benchmark]
    published = [published_rows.read(file, column) for file, column in zip(given.published, columns, strict=True)]
    render.write(benchmark_table(published, read_csv(given.scores, COLUMNS), study), given.output_prefix)


if __name__ == "__main__":
    run_script(main)
