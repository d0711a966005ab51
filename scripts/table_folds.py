"""Write what evaluates in each fold of a study, and which of it also trains."""

from histobench.datasets.folds import CENSUS_COLUMNS
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import render
from histobench.report.tables.folds_table import folds_table
from histobench.study import arguments, paths, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "output_prefix", several=["folds"])
    # DATASET-KEY/folds/census/SPLIT-KEY.csv
    names = {(paths.name_of(path.parts[-4]), paths.name_of(path.stem)): path for path in given.folds}
    censuses = {name: read_csv(path, CENSUS_COLUMNS) for name, path in names.items()}
    render.write(folds_table(censuses, resolved.load(given.study)), given.output_prefix)


if __name__ == "__main__":
    run_script(main)
