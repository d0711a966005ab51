"""Score what runs predict on another dataset, which none of them was trained on.

The folders of a path say which: results/ON/predictions/DATASET/MODEL/MODE/SPLIT/40x/AUGMENTATION/fold1.csv. A file that
cannot be used is named on stderr, and the others are scored. All numbers have full precision.
"""

import argparse
import sys
from pathlib import Path

from histobench.study.errors import HistoBenchError, run_script
from histobench.study.files import write_csv
from histobench.study.paths import of_external


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--predictions", nargs="+", required=True, metavar="CSV", help="one file per run and dataset")
    parser.add_argument("--metrics", type=Path, required=True, help="CSV to write: a row per run")
    parser.add_argument("--summary", type=Path, required=True, help="CSV to write: a row per arm")
    parser.add_argument("--groups", type=Path, required=True, help="CSV to write: malignant calls in each class")
    arguments = parser.parse_args()

    from histobench.evaluation import external

    images: dict[str, tuple[tuple[str, ...], Path]] = {}
    metrics, groups = [], []
    for path in map(Path, arguments.predictions):
        try:
            on, run = of_external(str(path))
        except (ValueError, IndexError) as error:
            raise HistoBenchError(
                f"{path}: names no run; expected .../ON/predictions/DATASET/MODEL/MODE/SPLIT/40x/AUGMENTATION/fold1.csv"
            ) from error
        try:
            predictions = external.read(path)
            first, other = images.setdefault(on, (predictions.image_id, path))
            if first != predictions.image_id:
                raise HistoBenchError(
                    f"{path}: holds other images than {other} ({len(predictions.image_id)} and {len(first)}); "
                    "delete both to have them made again"
                )
        except HistoBenchError as error:
            print(f"warning: left out: {error}", file=sys.stderr)
            continue
        metrics.append(external.score_run(on, run, predictions))
        groups.extend(external.group_rates(on, run, predictions))
    if not metrics:
        raise HistoBenchError(
            f"none of the {len(arguments.predictions)} files of external predictions can be used, for the reasons above; "
            "delete them to have them made again"
        )
    write_csv(arguments.metrics, external.METRICS_COLUMNS, metrics)
    write_csv(arguments.summary, external.SUMMARY_COLUMNS, external.summarise(metrics))
    write_csv(arguments.groups, external.GROUPS_COLUMNS, external.with_means(groups))


if __name__ == "__main__":
    run_script(main)
