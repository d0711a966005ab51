"""What evaluates in each fold, and which of it also trains."""

from collections.abc import Mapping, Sequence

from histobench.datasets.folds import SHARED
from histobench.datasets.manifest import LABELS
from histobench.report.render import Table
from histobench.report.terms import BACH_PATIENTS, Texts
from histobench.study.resolved import Study

ALL = "all"
"""What stands for all folds together."""
BOTH = "both"
"""What stands for both classes together."""
COUNTS = ("images", "groups", "equal_pixels", "shared_patients")
COLUMNS = ("dataset", "split", "fold", "label", *COUNTS[:2], *SHARED.values(), *COUNTS[2:])


def folds_table(censuses: Mapping[tuple[str, str], Sequence[Texts]], study: Study) -> Table:
    """Return a row for each class, and for both, in each fold of each (dataset, split), and in all folds together.

    `censuses` holds rows of :func:`histobench.datasets.folds.census` as texts.
    """
    rows = []
    for (dataset, split), census in censuses.items():
        whole = [_sum([row for row in census if row["label"] == label], ALL, label) for label in LABELS]
        of_fold: dict[str, list[Texts]] = {}
        for row in (*census, *whole):
            of_fold.setdefault(row["fold"], []).append(row)
        for fold, own in of_fold.items():
            both = _sum(own, fold, BOTH)
            rows += [_printed({**row, "dataset": dataset, "split": split}) for row in (*own, both)]
    return Table.of(
        "Folds",
        study.caption(
            "The images that evaluate in each fold, all magnifications together, the groups that they are of (what the "
            "split policy never divides), and the shares of these images whose slide, whose accession number, and whose "
            "decoded pixels also train in this fold.",
            "Equal pixels: pairs of images of different groups of which one trains and one evaluates. Shared patients: "
            f"patients, as the dataset's authors number them, with images on both sides. Fold {ALL}: the sum over folds, and the share in "
            f"this sum. Label {BOTH}: the sum over classes, in which a group with images of both classes counts twice.",
            *([BACH_PATIENTS] if any(study.datasets[dataset]["format"] == "bach" for dataset, _ in censuses) else []),
            *(
                ["All images of the split count, those of classes that the study leaves out too."]
                if study.classes
                else []
            ),
        ),
        COLUMNS,
        rows,
        COLUMNS,
    )


def _sum(census: Sequence[Texts], fold: str, label: str) -> dict[str, str]:
    """Return rows of several folds or classes as a single one."""
    sizes = [int(row["test_images"]) for row in census]
    shares = {
        column: sum(float(row[column]) * size for row, size in zip(census, sizes, strict=True)) / sum(sizes)
        for column in SHARED.values()
    }
    counts = ("test_images", "test_groups", *COUNTS[2:])
    sums = {column: sum(int(row[column]) for row in census) for column in counts}
    return {"fold": fold, "label": label} | {column: str(value) for column, value in (shares | sums).items()}


def _printed(row: Texts) -> dict[str, str]:
    shares = {column: f"{float(row[column]):.4f}" for column in SHARED.values()}
    found = {**row, **shares, "images": row["test_images"], "groups": row["test_groups"]}
    return {column: found[column] for column in COLUMNS}
