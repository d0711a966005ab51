"""The dataset formats: how images are found in a source, and how their labels and patients are known.

This is the place where a format is added:

1. Write a module like :mod:`histobench.datasets.bach` (a fixed tree) or :mod:`histobench.datasets.table` (user's own
   images). It says for the path of a file what is known of the image, or None for a file to skip;
   :func:`histobench.datasets.scan.scan` does the rest.
2. Add a case to :func:`read`.
3. Add the name and its settings to ``Dataset`` in ``histobench/study/dataset_settings.py``; pass settings on in
   ``workflow/rules/inputs.smk`` and ``scripts/manifest.py``.

Kinds of image files (PNG, TIFF, JPEG, BMP, WebP) are added in :mod:`histobench.datasets.decode`, kinds of archives in
:mod:`histobench.datasets.archives`.
"""

from collections.abc import Mapping
from pathlib import Path

from histobench.datasets import bach, breakhis, table
from histobench.datasets.manifest import Image


def read(
    format: str,
    source: Path,
    workers: int,
    complete: bool = False,
    listing: Path | None = None,
    classes: Mapping[str, str] | None = None,
    patient: str | None = None,
) -> list[Image]:
    """Read every image of a dataset once.

    Args:
        format: `breakhis`, `bach`, `csv` or `folders`.
        source: tar.gz, tar or zip archive, or folder.
        workers: number of decoding threads, at least 1.
        complete: for `breakhis` and `bach`: require exactly the official images.
        listing: for `csv`: the table that lists the images.
        classes: for `csv` and `folders`: from each label or class folder to benign or malignant.
        patient: for `folders`: regular expression with one group, the patient, in the path of an image.

    Returns:
        The images in manifest order.

    Raises:
        HistoBenchError: the source is not as the format says; see the function of each format.
    """
    match format:
        case "breakhis":
            return breakhis.read(source, complete, workers)
        case "bach":
            return bach.read(source, complete, workers)
        case "csv" if listing and classes:
            return table.read_table(source, listing, classes, workers)
        case "folders" if classes and patient:
            return table.read_folders(source, classes, patient, workers)
    raise ValueError(f"format {format!r} is unknown or lacks its settings")
