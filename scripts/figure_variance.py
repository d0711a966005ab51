"""Draw the shares of variance of seed, fold and groups."""

from histobench.evaluation.variance import COLUMNS
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report.figures import style
from histobench.report.figures.variance_shares import shares
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "variance", "output_prefix")
    style.save(shares(read_csv(given.variance, COLUMNS), resolved.load(given.study)), given.output_prefix)


if __name__ == "__main__":
    run_script(main)
