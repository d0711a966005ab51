"""Draw the most confident errors of the arms with the highest accuracy, with heat maps where --heat-maps has them."""

import numpy as np

from histobench.datasets import manifest, pixels
from histobench.evaluation import confident_errors, predictions
from histobench.io.errors import run_script
from histobench.io.files import read_csv
from histobench.report.figures import error_pictures, style
from histobench.report.tables.confident_errors_table import drawn_arms
from histobench.study import arguments, resolved


def main() -> None:
    given = arguments.parse(
        __doc__,
        *("study", "summary", "manifest", "pixels", "output_prefix"),
        several=["predictions"],
        optional=["heat_maps"],
    )
    study = resolved.load(given.study)
    found, unusable = predictions.read_runs(given.predictions)
    predictions.warn(unusable)
    images = manifest.load(given.manifest)
    at = {image.image_id: row for row, image in enumerate(images)}
    store = pixels.load(given.pixels, len(images), int(given.pixels.stem.removesuffix("px")))
    maps = dict(np.load(given.heat_maps)) if given.heat_maps else {}
    errors = confident_errors.by_arm(found)
    rows = []
    for arm in drawn_arms(read_csv(given.summary, ("accuracy_mean",)), study):
        if own := errors.get(arm.key):
            more = maps.get("/".join(arm.key))
            title = f"{arm.name}{'' if more is None else f' ({more})'}"
            squares = [store[at[error.image_id]] for error in own]
            rows.append(error_pictures.Row(title, own, squares, [maps.get(error.key) for error in own]))
    style.save(error_pictures.error_pictures(rows, study.notes), given.output_prefix)


if __name__ == "__main__":
    run_script(main)
