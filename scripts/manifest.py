"""Read an archive or folder of images once; write its manifest and its census.

What else is needed depends on --format (breakhis, bach, csv or folders): --complete, --table, --classes (JSON) and --patient are
the keys of a dataset in the configuration. --sha256 is the expected hash of the archive; without it that in ARCHIVE.sha256
counts, if there is one. --digest is written: the archive's hash, empty for a folder.
"""

import json
from collections import Counter
from pathlib import Path

from histobench.datasets import formats, manifest
from histobench.datasets.scan import shown
from histobench.fetch.http import verify
from histobench.io.errors import run_script
from histobench.io.files import atomic_path
from histobench.study import arguments


def main() -> None:
    files = ("source", "output", "census", "digest")
    texts = dict.fromkeys(("patient", "sha256"), "")
    given = arguments.parse(
        __doc__, *files, optional=["table"], format="breakhis", classes="null", complete=False, workers=1, **texts
    )
    source = given.source
    digest = verify(source, given.sha256) if source.is_file() else ""
    images, skipped = formats.read(
        given.format, source, given.workers, given.complete, given.table, json.loads(given.classes), given.patient
    )
    manifest.save_census(given.census, images)
    manifest.save(given.output, images)
    with atomic_path(given.digest) as temporary:
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
