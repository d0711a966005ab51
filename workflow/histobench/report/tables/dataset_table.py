"""Table 1: the images of a dataset per magnification and class."""

from collections.abc import Mapping, Sequence

from histobench.report.published_tables import COMPARED, beside
from histobench.report.render import Table
from histobench.report.terms import Texts, count
from histobench.study.outputs import title
from histobench.study.resolved import Study


def dataset_tables(
    images: Mapping[int, Mapping[str, int]],
    sizes: Mapping[int, Sequence[tuple[int, int]]],
    published: Sequence[Texts],
    study: Study,
) -> tuple[Table, Table]:
    """Return Table 1, images per magnification and class with mean sizes of the folds' two sides, and its companion.

    `images` holds for each magnification the number of images of each class, in order, `sizes` the (train, test) images of
    each fold.
    """
    columns = ("magnification", *next(iter(images.values())), "total", "train", "test")
    numbers = []
    for magnification in sorted(images):
        own = images[magnification].values()
        means = [sum(side) / len(side) for side in zip(*sizes[magnification], strict=True)]
        numbers.append((str(magnification), *own, sum(own), *means))
    numbers.append(("total", *(sum(column) for column in list(zip(*numbers, strict=True))[1:])))
    texts = ([f"{value:.1f}" if isinstance(value, float) else str(value) for value in row] for row in numbers)
    rows: list[dict[str, str]] = [dict(zip(columns, row, strict=True)) for row in texts]
    folds = count((len(side) for side in sizes.values()), "fold")
    table = Table.of(
        title(study, "table1"),
        study.caption(
            f"Images of dataset {study.dataset} per magnification and class.",
            f"Train and test: mean number of images over {folds} of the split policy {study.split}.",
        ),
        columns,
        rows,
        columns,
    )
    caption = study.caption(
        f"Images of dataset {study.dataset} per magnification and class, train and test as mean over {folds} of the "
        f"split policy {study.split}; the published train and test sizes are those of one 70/30 split.",
        COMPARED,
    )
    return table, beside(table.title, rows, published, columns[:1], columns[1:], caption)
