"""Draw ROC curves (roc), precision-recall curves (precision-recall) and confusion matrices (confusion) of every arm.

Of a study with several classes there are confusion matrices alone. Predictions that cannot be used are named on stderr, and the others are drawn.
"""

from histobench.evaluation import class_predictions, predictions
from histobench.io.errors import run_script
from histobench.report.figures import class_confusion, curves, style
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "output_prefix", several=["predictions"])
    study = resolved.load(given.study)
    if study.classes:
        drawn = class_confusion.class_confusion(class_predictions.read_runs(given.predictions, study.classes), study)
        style.save(drawn, given.output_prefix)
        return
    found, unusable = predictions.read_runs(given.predictions)
    predictions.warn(unusable)
    drawn = {"roc": curves.roc, "precision-recall": curves.precision_recall, "confusion": curves.confusion}
    for name, draw in drawn.items():
        style.save(draw(found, study), given.output_prefix.with_name(name))


if __name__ == "__main__":
    run_script(main)
