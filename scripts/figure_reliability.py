"""Draw how often images of a given predicted probability are malignant."""

from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report.figures import reliability, scores, style
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "calibration", "output_prefix")
    study = resolved.load(given.study)
    rows = scores.chosen(read_csv(given.calibration, reliability.COLUMNS), {**study.main, "selection": "last"})
    style.save(reliability.reliability(rows, study), given.output_prefix)


if __name__ == "__main__":
    run_script(main)
