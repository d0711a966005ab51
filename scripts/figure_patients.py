"""Draw which patients are misclassified, by which arm, at which magnification: PREFIX.pdf, .svg and .png.

Predictions that cannot be used are named on stderr, and the others are drawn.
"""

import argparse
import sys
from pathlib import Path

from histobench.evaluation import predictions
from histobench.io.errors import HistoBenchError, run_script
from histobench.io.files import read_csv
from histobench.report.figures import patients, style
from histobench.study.runs import Run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", nargs="+", required=True, metavar="CSV", help="one file per run")
    parser.add_argument("--manifest", type=Path, required=True, help="manifest of the dataset")
    parser.add_argument("--arms", type=style.arms_of, required=True, help="JSON: the arms of the study, in its order")
    parser.add_argument("--note", action="append", default=[], help="sentence for the foot; may be repeated")
    parser.add_argument("--output-prefix", type=Path, required=True, metavar="PREFIX")
    arguments = parser.parse_args()

    found = {}
    for path in arguments.predictions:
        try:
            found[Run.of(path)] = predictions.read(Path(path))
        except HistoBenchError as error:
            print(f"warning: left out: {error}", file=sys.stderr)
    subtypes = {row["image_id"]: row["subtype"] for row in read_csv(arguments.manifest, ("image_id", "subtype"))}
    style.save(patients.error_map(found, subtypes, arguments.arms, arguments.note), arguments.output_prefix)


if __name__ == "__main__":
    run_script(main)
