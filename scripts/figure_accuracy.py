"""Draw the accuracy of every arm by magnification, beside the published values (Figure 5)."""

from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report.figures import scores, style
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "intervals", "output_prefix", several=["published"])
    study = resolved.load(given.study)
    rows = read_csv(given.intervals, scores.INTERVALS)
    published = {path.stem: read_csv(path, ()) for path in given.published}
    panels = [
        scores.Panel(
            f"augmentation: {augmentation}",
            scores.pooled(rows, "accuracy", **{**study.main, "augmentation": augmentation}, selection="last"),
            scores.published_means(published[f"table{number}"], "accuracy", study.arms),
        )
        for number, augmentation in study.panels.items()
    ]
    style.save(scores.accuracy(panels, study), given.output_prefix)


if __name__ == "__main__":
    run_script(main)
