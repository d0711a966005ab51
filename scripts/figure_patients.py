"""Draw which patients or accession numbers are misclassified, by which arm, at which magnification.

Predictions that cannot be used are named on stderr, and the others are drawn.
"""

from histobench.evaluation import predictions
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report.figures import patients, style
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "manifest", "output_prefix", several=["predictions"])
    study = resolved.load(given.study)
    found, unusable = predictions.read_runs(given.predictions)
    predictions.warn(unusable)
    subtypes = {row["image_id"]: row["subtype"] for row in read_csv(given.manifest, ("image_id", "subtype"))}
    style.save(patients.error_map(found, subtypes, study), given.output_prefix)


if __name__ == "__main__":
    run_script(main)
