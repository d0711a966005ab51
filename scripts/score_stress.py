"""Score what runs predict for altered images, with 95 % intervals of the drop from unaltered ones.

The folders of a path say which run it is: results/DATASET/stress/MODEL/MODE/SPLIT/40x/AUGMENTATION/seed0/fold1.csv.
"""

from histobench.evaluation import stress
from histobench.io.errors import run_script
from histobench.io.files import write_csv
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "stress", several=["predictions"])
    study = resolved.load(given.study)
    runs = stress.read_runs(given.predictions)
    shifts = {run.arm: study.shifts(run) for run in runs}
    rows = stress.drops(runs, shifts, study.splits, study.comparisons["draws"], study.comparisons["seed"])
    write_csv(given.stress, stress.STRESS_COLUMNS, rows)


if __name__ == "__main__":
    run_script(main)
