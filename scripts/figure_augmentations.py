"""Draw what each augmentation adds to the accuracy of the same arm."""

from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report.figures import augmentation_effects, style
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "effects", "output_prefix")
    rows = read_csv(given.effects, augmentation_effects.COLUMNS)
    style.save(augmentation_effects.augmentation_effects(rows, resolved.load(given.study)), given.output_prefix)


if __name__ == "__main__":
    run_script(main)
