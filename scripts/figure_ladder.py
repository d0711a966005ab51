"""Draw what each step of optimism adds to the accuracy of an arm."""

from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report import published_tables
from histobench.report.figures import scores, style
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "metrics", "output_prefix", optional=["published"])
    study = resolved.load(given.study)
    setting = {"dataset": study.dataset, "augmentation": study.augmentation}
    metrics = scores.chosen(read_csv(given.metrics, scores.METRICS), setting)
    published = scores.published_accuracy(published_tables.read(given.published, 4, study), study.arms)
    style.save(scores.ladder(metrics, published, study), given.output_prefix)


if __name__ == "__main__":
    run_script(main)
