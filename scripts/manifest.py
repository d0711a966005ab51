"""Read an archive or folder of images once; write its manifest and its census."""

import argparse
import json
from collections import Counter
from pathlib import Path

from histobench.datasets import formats, manifest
from histobench.datasets.scan import shown
from histobench.fetch.http import verify
from histobench.io.errors import run_script
from histobench.io.files import atomic_path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="tar.gz, tar or zip archive, or folder")
    parser.add_argument("--format", choices=formats.FORMATS, default="breakhis")
    parser.add_argument("--complete", action="store_true", help="require exactly the official images")
    parser.add_argument("--table", type=Path, help="csv: the table that lists the images")
    parser.add_argument(
        "--classes", type=json.loads, help="csv, folders: JSON from label or folder to benign, malignant"
    )
    parser.add_argument("--patient", help="folders: regular expression with one group, the patient, in an image's path")
    parser.add_argument("--workers", type=int, default=1, help="decoding threads")
    parser.add_argument("--output", type=Path, required=True, help="manifest.csv to write")
    parser.add_argument("--census", type=Path, required=True, help="census.csv to write")
    parser.add_argument(
        "--sha256", default="", help="expected SHA-256 of the archive; empty: what ARCHIVE.sha256 says, if it exists"
    )
    parser.add_argument(
        "--digest", type=Path, required=True, help="file to write the archive's SHA-256 to; empty for a folder"
    )
    arguments = parser.parse_args()

    source = arguments.source
    digest = verify(source, arguments.sha256) if source.is_file() else ""
    images, skipped = formats.read(
        arguments.format,
        source,
        arguments.workers,
        complete=arguments.complete,
        listing=arguments.table,
        classes=arguments.classes,
        patient=arguments.patient,
    )
    manifest.save_census(arguments.census, images)
    manifest.save(arguments.output, images)
    with atomic_path(arguments.digest) as temporary:
        temporary.write_text(f"{digest}  {source}\n" if digest else "", encoding="utf-8")
    print_summary(source, images, skipped)


def print_summary(source: Path, images: list[manifest.Image], skipped: Counter[str]) -> None:
    """Print what the source holds, for the log."""
    print(f"{source}: {len(images)} images")
    for label in manifest.LABELS:
        counts = Counter(image.magnification for image in images if image.label == label)
        scales = (f"{scale}x {count}" for scale, count in sorted(counts.items()) if scale)
        print(f"  {label} {counts.total()}:", ", ".join(scales) or "magnification not known")
    types = Counter(image.subtype for image in images)
    print(f"  types: {', '.join(f'{name} {count}' for name, count in sorted(types.items()))}")
    units = {
        "patients": {image.patient for image in images},
        "slides": {image.slide for image in images},
        "accession numbers": {image.accession for image in images},
        "(subtype, slide) pairs": {(image.subtype, image.slide) for image in images},
    }
    print(f"  {', '.join(f'{len(found)} {unit}' for unit, found in units.items())}")
    if twins := manifest.equal_pixels(images):
        slides = sorted({f"{image.subtype} {image.slide}" for group in twins for image in group})
        print(f"  {len(twins)} sets of images with equal pixels, in {shown(slides)}")
    if skipped:
        kinds = [f"{name} {count}" for name, count in skipped.most_common()]
        print(f"  {skipped.total()} other files skipped: {shown(kinds)}")


if __name__ == "__main__":
    run_script(main)
