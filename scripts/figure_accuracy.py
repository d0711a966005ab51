"""Draw the accuracy of every arm by magnification, beside the published values (Figure 5)."""

from pathlib import Path

from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import published_tables
from histobench.report.figures import scores, style
from histobench.study import arguments, resolved
from histobench.study.outputs import numbered


def main() -> None:
    given = arguments.parse(__doc__, "study", "intervals", "output_prefix", published=[])
    study = resolved.load(given.study)
    paths = {numbered(Path(path).stem)[0]: Path(path) for path in given.published}
    published = {number: published_tables.read(paths.get(number), number, study) for number in study.panels}
    intervals = read_csv(given.intervals, scores.INTERVALS)
    style.save(scores.accuracy(intervals, published, study), given.output_prefix)


if __name__ == "__main__":
    run_script(main)
