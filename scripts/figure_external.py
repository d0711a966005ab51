"""Draw the share of images called malignant in each class of an external dataset."""

from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report.figures import scores, style
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "groups", "output_prefix")
    study = resolved.load(given.study)
    setting = {key: value for key, value in study.table6.items() if key not in ("scale", "magnification")}
    rows = scores.chosen(read_csv(given.groups, scores.GROUPS), setting)
    style.save(scores.external(rows, study), given.output_prefix)


if __name__ == "__main__":
    run_script(main)
