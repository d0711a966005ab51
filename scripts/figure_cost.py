"""Draw accuracy against seconds of training and trainable parameters."""

from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report.figures import cost, scores, style
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "costs", "parameters", "summary", "output_prefix")
    study = resolved.load(given.study)
    costs = scores.chosen(read_csv(given.costs, cost.COSTS), study.main)
    parameters = read_csv(given.parameters, cost.PARAMETERS)
    summary = scores.chosen(read_csv(given.summary, scores.SUMMARY), {**study.main, "selection": "last"})
    style.save(cost.cost(costs, parameters, summary, study), given.output_prefix)


if __name__ == "__main__":
    run_script(main)
