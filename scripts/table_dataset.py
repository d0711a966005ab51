"""Write Table 1, the dataset, and its companion beside the published one."""

from histobench.datasets import folds, manifest
from histobench.io.errors import run_script
from histobench.report import published_tables, render
from histobench.report.tables.dataset_table import dataset_tables
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(__doc__, "study", "manifest", "folds", "output_prefix", optional=["published"])
    study = resolved.load(given.study)
    images = manifest.load(given.manifest)
    split = folds.load(given.folds, images, study.splits[study.split]["by"], [])
    classes = study.classes or manifest.LABELS
    class_of = [image.subtype if study.classes else image.label for image in images]
    counts: dict[int, dict[str, int]] = {}
    for image, name in zip(images, class_of, strict=True):
        if name in classes:
            counts.setdefault(image.magnification, dict.fromkeys(classes, 0))[name] += 1
    sizes = {
        magnification: [
            (sum(class_of[row] in classes for row in train), sum(class_of[row] in classes for row in test))
            for train, test in (split.rows(images, fold, magnification) for fold in range(1, split.count + 1))
        ]
        for magnification in counts
    }
    table, beside = dataset_tables(counts, sizes, published_tables.read(given.published, 1, study), study)
    render.write(table, given.output_prefix, beside if study.paper else None)


if __name__ == "__main__":
    run_script(main)
