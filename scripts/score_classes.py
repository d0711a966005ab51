"""Score the predictions of every run of a study with several classes.

The folders of a path say which run it is. class_scores.csv has a row per arm, epoch selection, class (`all` for scores of all
classes) and score, with 95 % intervals.
"""

from histobench.evaluation import class_predictions, class_scores
from histobench.io.errors import run_script
from histobench.io.files import write_csv
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "scores", several=["predictions"])
    study = resolved.load(given.study)
    runs = class_predictions.read_runs(given.predictions, study.classes)
    units = {split: study.unit(split) for split in study.splits}
    draws, seed = study.comparisons["draws"], study.comparisons["seed"]
    write_csv(given.scores, class_scores.COLUMNS, class_scores.score(runs, study.classes, units, draws, seed))


if __name__ == "__main__":
    run_script(main)
