"""Read an archive or folder of images once; write its manifest and its census."""

import argparse
import json
from collections import Counter
from pathlib import Path

from histobench.io.errors import run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="tar.gz, tar or zip archive, or folder")
    parser.add_argument("--format", choices=("breakhis", "bach", "csv", "folders"), default="breakhis")
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
        "--sha256", default="", help="expected SHA-256 of the archive; empty: what ARCHIVE.sha256 says, if it is there"
    )
    parser.add_argument(
        "--digest", type=Path, required=True, help="file to write the archive's SHA-256 to; empty for a folder"
    )
    arguments = parser.parse_args()

    from histobench.datasets import manifest
    from histobench.fetch.http import verify
    from histobench.io.files import atomic_path

    source, workers = arguments.source, arguments.workers
    digest = verify(source, arguments.sha256) if source.is_file() else ""
    match arguments.format:
        case "breakhis":
            from histobench.datasets import breakhis

            images, skipped = breakhis.read(source, arguments.complete, workers)
        case "bach":
            from histobench.datasets import bach

            images, skipped = bach.read(source, arguments.complete, workers)
        case "csv":
            from histobench.datasets import table

            images, skipped = table.read_table(source, arguments.table, arguments.classes, workers)
        case _:
            from histobench.datasets import table

            images, skipped = table.read_folders(source, arguments.classes, arguments.patient, workers)
    manifest.save_census(arguments.census, images)
    manifest.save(arguments.output, images)
    with atomic_path(arguments.digest) as temporary:
        temporary.write_text(f"{digest}  {arguments.source}\n" if digest else "", encoding="utf-8")

    print(f"{source}: {len(images)} images")
    classes = [row for row in manifest.census(images) if row["unit"] == "class"]
    for label in manifest.LABELS:
        # Where no magnification is known it is 0.
        counts = [
            f"{row['magnification']}x: {row['images']:<4}" if row["magnification"] else str(row["images"])
            for row in classes
            if row["name"] == label
        ]
        print(f"  {label:<11}{'  '.join(counts)}".rstrip())
    if arguments.format == "breakhis":
        print(
            f"  {len(manifest.pairs(images))} (subtype, slide) pairs, {len(manifest.slides(images))} slides, "
            f"{len(manifest.accessions(images))} accession numbers"
        )
    else:
        types = Counter(image.subtype for image in sorted(images, key=lambda image: (image.label, image.subtype)))
        print(f"  {', '.join(f'{name} {count}' for name, count in types.items())}")
        patients = len({image.patient for image in images})
        print(
            f"  {patients} patients"
            if arguments.format != "bach"
            else "  no patient is named: each image counts as one"
        )
    twins = manifest.equal_pixels(images)
    if twins:
        slides = sorted({f"{image.subtype} {image.slide}" for group in twins for image in group})
        shown = ", ".join(slides[:4]) + (", …" if len(slides) > 4 else "")
        print(f"  {len(twins)} sets of images with equal pixels, in {shown}")
    if skipped:
        kinds = ", ".join(f"{name} {count}" for name, count in skipped.most_common(6))
        print(f"  {sum(skipped.values())} other files skipped: {kinds}" + (", …" if len(skipped) > 6 else ""))


if __name__ == "__main__":
    run_script(main)
