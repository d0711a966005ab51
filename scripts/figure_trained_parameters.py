"""Draw accuracy against the number of trained parameters."""

from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report.figures import cost, scores, style
from histobench.report.figures.trained_parameters import trained_parameters
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "intervals", "parameters", "output_prefix")
    study = resolved.load(given.study)
    setting = {**study.main, "selection": "last", "metric": "accuracy"}
    intervals = scores.chosen(read_csv(given.intervals, scores.INTERVALS), setting)
    parameters = read_csv(given.parameters, cost.PARAMETERS)
    style.save(trained_parameters(intervals, parameters, study), given.output_prefix)


if __name__ == "__main__":
    run_script(main)
