"""Draw the accuracy of every arm by magnification, beside the published values (Figure 5)."""

from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report.figures import scores, style
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "intervals", "output_prefix", several=["published"])
    published = {int(path.stem.removeprefix("table")): read_csv(path, ()) for path in given.published}
    intervals = read_csv(given.intervals, scores.INTERVALS)
    style.save(scores.accuracy(intervals, published, resolved.load(given.study)), given.output_prefix)


if __name__ == "__main__":
    run_script(main)
