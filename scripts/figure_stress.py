"""Draw accuracy by strength of each shift of the stress test."""

from histobench.evaluation.stress import STRESS_COLUMNS
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report.figures import style
from histobench.report.figures.stress_curves import stress_curves
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "stress", "output_prefix")
    figure = stress_curves(read_csv(given.stress, STRESS_COLUMNS), resolved.load(given.study))
    style.save(figure, given.output_prefix)


if __name__ == "__main__":
    run_script(main)
