"""Draw sample images of datasets with scale bars (Figures 1 and 2): each as PDF, SVG and PNG."""

import argparse
import json
from pathlib import Path

from histobench.datasets import examples, manifest
from histobench.io.errors import run_script
from histobench.report.figures import samples, style
from histobench.report.terms import printed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--figure",
        type=json.loads,
        action="append",
        required=True,
        metavar="JSON",
        help="dataset, format, synthetic, manifest, source, prefix to write, and rows: `class` or `group`; may be repeated",
    )
    parser.add_argument("--note", action="append", default=[], help="sentence for the foot; may be repeated")
    arguments = parser.parse_args()

    for wanted in arguments.figure:
        images = manifest.load(Path(wanted["manifest"]))
        if wanted["rows"] == "class":
            chosen = {
                f"{row[0].label} ({row[0].subtype})" if row[0].subtype else row[0].label: row
                for row in examples.per_class(images)
            }
            title = lambda image: printed("magnification", str(image.magnification))  # noqa: E731
        else:
            chosen = {wanted["dataset"]: examples.per_group(images)}
            title = lambda image: image.subtype or image.label  # noqa: E731
        pixels = examples.fetch(Path(wanted["source"]), [image for row in chosen.values() for image in row])
        rows = [
            (
                name,
                [
                    samples.Sample(
                        title(image),
                        pixels[image.image_id],
                        examples.micrometres_per_pixel(image, wanted["format"], wanted["synthetic"]),
                    )
                    for image in row
                ],
            )
            for name, row in chosen.items()
        ]
        style.save(samples.samples(rows, arguments.note), Path(wanted["prefix"]))


if __name__ == "__main__":
    run_script(main)
