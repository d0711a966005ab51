"""Read an archive or folder of images once; write its manifest and its census.

What else is needed depends on --format (breakhis, bach, csv or folders): --complete, --table, --classes (JSON) and --patient are
the keys of a dataset in the configuration. --sha256 is the expected hash of the archive; without it that in ARCHIVE.sha256
counts, if there is one. --digest is written: the archive's hash, empty for a folder.
"""

import json
from collections import Counter

from histobench.datasets import formats, manifest
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
    images = formats.read(
        given.format, source, given.workers, given.complete, given.table, json.loads(given.classes), given.patient
    )
    manifest.save_census(given.census, images)
    manifest.save(given.output, images)
    with atomic_path(given.digest) as temporary:
        temporary.write_text(f"{digest}  {source}\n" if digest else "", encoding="utf-8")
    labels, patients, accessions = (
        Counter(getattr(image, name) for image in images) for name in ("label", "patient", "accession")
    )
    classes = ", ".join(f"{labels[label]} {label}" for label in manifest.LABELS)
    print(f"{classes}; {len(patients)} patients, {len(accessions)} accession numbers")
    print(f"{len(manifest.equal_pixels(images))} sets of images with equal pixels")


if __name__ == "__main__":
    run_script(main)
