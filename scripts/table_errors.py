"""Write the most confident errors of every arm at the study's main magnification.

Predictions that cannot be used are named on stderr and left out.
"""

from histobench.evaluation import confident_errors, predictions
from histobench.io.errors import run_script
from histobench.report import render
from histobench.report.tables.confident_errors_table import errors_table
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "output_prefix", several=["predictions"])
    found, unusable = predictions.read_runs(given.predictions)
    predictions.warn(unusable)
    render.write(errors_table(confident_errors.by_arm(found), resolved.load(given.study)), given.output_prefix)


if __name__ == "__main__":
    run_script(main)
