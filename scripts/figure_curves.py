"""Draw ROC curves (roc), precision-recall curves (precision-recall) and confusion matrices (confusion) of every arm.

Predictions that cannot be used are named on stderr, and the others are drawn.
"""

from histobench.evaluation import predictions
from histobench.io.errors import run_script
from histobench.report.figures import curves, style
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "output_prefix", several=["predictions"])
    study = resolved.load(given.study)
    found, unusable = predictions.read_runs(given.predictions)
    predictions.warn(unusable)
    drawn = {"roc": curves.roc, "precision-recall": curves.precision_recall, "confusion": curves.confusion}
    for name, draw in drawn.items():
        style.save(draw(found, study), given.output_prefix.with_name(name))


if __name__ == "__main__":
    run_script(main)
