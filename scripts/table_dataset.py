"""Write Table 1, the dataset, and its companion beside the published one.

PREFIX.csv, PREFIX.md, PREFIX.tex and PREFIX-beside-published.csv, .md, .tex are written.
"""

import argparse
from pathlib import Path

from histobench.datasets import folds, manifest
from histobench.io.errors import run_script
from histobench.report import published_tables, render
from histobench.report.tables import paper_tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--folds", type=Path, required=True, help="folds file of the split policy")
    parser.add_argument(
        "--split-by", required=True, help="policy of these folds: patient, accession, image or official"
    )
    parser.add_argument("--dataset", required=True, help="name of the dataset")
    parser.add_argument("--split", required=True, help="name of the split policy")
    parser.add_argument("--study", required=True, help="name of the study")
    parser.add_argument("--note", action="append", default=[], help="sentence for the caption; may be repeated")
    parser.add_argument("--published", type=Path, required=True, help="the published Table 1")
    parser.add_argument("--output-prefix", type=Path, required=True, metavar="PREFIX")
    arguments = parser.parse_args()

    images = manifest.load(arguments.manifest)
    split = folds.load(arguments.folds, images, arguments.split_by)
    counts: dict[int, dict[str, int]] = {}
    for image in images:
        counts.setdefault(image.magnification, dict.fromkeys(manifest.LABELS, 0))[image.label] += 1
    sizes = {
        magnification: [
            (len(train), len(test))
            for train, test in (split.rows(images, fold, magnification) for fold in range(1, split.count + 1))
        ]
        for magnification in counts
    }
    table, beside = paper_tables.dataset_tables(
        counts,
        sizes,
        published_tables.load(arguments.published),
        arguments.dataset,
        arguments.split,
        paper_tables.Context(arguments.study, {}, arguments.note),
    )
    render.write(table, arguments.output_prefix)
    render.write(beside, Path(f"{arguments.output_prefix}-beside-published"))


if __name__ == "__main__":
    run_script(main)
