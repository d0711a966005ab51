"""Read a BreakHis archive or folder once; write its manifest and its census."""

import argparse
from pathlib import Path

from histobench.study.errors import run_script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="tar.gz, tar or zip archive, or folder")
    parser.add_argument("--complete", action="store_true", help="require exactly the official 7,909 images")
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

    from histobench.datasets import breakhis, manifest
    from histobench.datasets.download import verify
    from histobench.study.files import atomic_path

    digest = verify(arguments.source, arguments.sha256) if arguments.source.is_file() else ""
    images, skipped = breakhis.read(arguments.source, arguments.complete, arguments.workers)
    manifest.save_census(arguments.census, images)
    manifest.save(arguments.output, images)
    with atomic_path(arguments.digest) as temporary:
        temporary.write_text(f"{digest}  {arguments.source}\n" if digest else "", encoding="utf-8")

    print(f"{arguments.source}: {len(images)} images")
    classes = [row for row in manifest.census(images) if row["unit"] == "class"]
    for label in manifest.LABELS:
        counts = [f"{row['magnification']}x: {row['images']:<4}" for row in classes if row["name"] == label]
        print(f"  {label:<11}{'  '.join(counts)}".rstrip())
    print(
        f"  {len(manifest.pairs(images))} (subtype, slide) pairs, {len(manifest.slides(images))} slides, "
        f"{len(manifest.accessions(images))} accession numbers"
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
