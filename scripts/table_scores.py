"""Write the scores of every arm of a study, under every split policy and of both epochs."""

from histobench.evaluation.summary import SUMMARY_COLUMNS
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import render
from histobench.report.tables.scores_tables import scores_table
from histobench.study import arguments, paths, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "summary", "output_prefix", several=["folds"])
    equal_pixels = {}
    for path in given.folds:  # DATASET-KEY/folds/census/SPLIT-KEY.csv
        names = paths.name_of(path.parts[-4]), paths.name_of(path.stem)
        equal_pixels[names] = sum(int(row["equal_pixels"]) for row in read_csv(path, ("equal_pixels",)))
    table = scores_table(read_csv(given.summary, SUMMARY_COLUMNS), equal_pixels, resolved.load(given.study))
    render.write(table, given.output_prefix)


if __name__ == "__main__":
    run_script(main)
