"""Write the table of decisions on patients: of arms that classify bags, and of votes of the images of other arms."""

from histobench.evaluation import predictions
from histobench.evaluation.patient_level import patient_level
from histobench.io.errors import run_script
from histobench.report import render
from histobench.report.tables.patient_level_table import patient_level_table
from histobench.study import arguments, resolved
from histobench.study.runs import Run


def main() -> None:
    given = arguments.parse(__doc__, "study", "output_prefix", several=["predictions"])
    study = resolved.load(given.study)
    runs, unusable = predictions.read_runs(given.predictions)
    predictions.warn(unusable)
    rows = patient_level(
        [Run.of(str(path)) for path in given.predictions],
        runs,
        study.splits,
        {arm.key for arm in study.arms if study.classifies_bags(*arm.key)},
        study.comparisons["draws"],
        study.comparisons["seed"],
    )
    render.write(patient_level_table(rows, study), given.output_prefix)


if __name__ == "__main__":
    run_script(main)
