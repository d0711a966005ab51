"""The companion of Table 6 that compares the scales at which images of another dataset are shown to the models."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from histobench.datasets import tiles
from histobench.datasets.manifest import Image
from histobench.evaluation.bootstrap import interval
from histobench.evaluation.comparisons import name_of_draws
from histobench.metrics import SCORES
from histobench.report.render import Table
from histobench.report.tables.scores_tables import OWN, SCALES, external_units
from histobench.report.terms import EMPTY_EXTERNAL, Texts, fixed, magnified, signed
from histobench.study.outputs import title
from histobench.study.resolved import Study

KEYS = ("model", "mode", "magnification", "scale")
GEOMETRY = ("pixel_width", "pixel_height", "relative_width", "relative_height", "tiles", "share_covered")
DIFFERENCES = "Differences are matched minus squashed, of the same models and paired over images; those of every score are in the CSV."
PARTS = ("estimate", "low", "high", "difference", "difference_low", "difference_high")


def scales_table(
    intervals: Sequence[Texts],
    draws: Mapping[str, np.ndarray],
    images: Sequence[Image],
    trained_on: Sequence[Image],
    study: Study,
) -> Table:
    """Return what a pixel covers, and the scores with 95 % intervals, for each arm, training magnification and scale.

    Rows of scale `matched` have the difference from `squashed`, too, where both are of the models of all folds.

    Args:
        intervals: rows of `external_intervals.csv`.
        draws: arrays of `external_draws.npz`.
        images: manifest of the dataset of Table 6.
        trained_on: manifest of the dataset that its models were trained on.
        study: with `matched` among the scales of the first block of `external`.
    """
    setting = {key: value for key, value in study.table6.items() if key not in ("scale", "magnification")}
    arms, rows = [arm.key for arm in study.arms], dict[tuple[str, ...], dict[str, str]]()
    chosen = [row for row in intervals if setting.items() <= row.items() and row["metric"] in SCORES]
    chosen.sort(
        key=lambda row: (arms.index((row["model"], row["mode"])), int(row["magnification"]), row["scale"] == "matched")
    )
    # Only these have the micrometres of each magnification, see cross_checks.
    compared = {row["magnification"] for row in chosen if row["scale"] == "matched"}
    chosen = [row for row in chosen if row["magnification"] in compared]
    notes: dict[str, None] = {}
    whole = {_drawn(row): row for row in chosen if int(row["folds"]) == study.splits[row["split"]]["folds"]}
    for row in chosen:
        key = tuple(row[name] for name in KEYS)
        if key not in rows:
            shape, said = _geometry(images, trained_on, row, study)
            notes |= dict.fromkeys(said)
            rows[key] = dict(zip(KEYS, key, strict=True)) | {"model": study.label(row["model"])} | shape
        matched = row["scale"] == "matched" and _drawn(row) in whole
        squashed = whole.get(_drawn({**row, "scale": "squashed"})) if matched else None
        difference = _difference(row, squashed, draws) if squashed else [""] * 3
        values = [*(fixed(row[part]) for part in PARTS[:3]), *difference]
        rows[key] |= {f"{row['metric']}_{part}": value for part, value in zip(PARTS, values, strict=True)}
    caption = study.caption(
        f"External test on dataset {setting['on']} of models trained on {setting['dataset']}, by the scale of its images: mean over "
        "the models of all folds with 95 % intervals; magnification is that of the training images.",
        OWN,
        SCALES,
        *([DIFFERENCES] if any(row["accuracy_difference"] for row in rows.values()) else []),
        "Width and height of a pixel that the model sees are in µm of the original, and relative to a pixel of training; both are by "
        "the stated `microns_per_pixel`.",
        *notes,
        *external_units(chosen),
        *([] if rows else [EMPTY_EXTERNAL]),
    )
    columns = (*KEYS, *GEOMETRY, *(f"{metric}_{part}" for metric, part in product(SCORES, PARTS)))
    return Table.of(
        f"{title(study, 'table6')}, scales",
        caption,
        columns,
        list(rows.values()),
        (*KEYS, *GEOMETRY, *SCORES, "accuracy_difference", "auc_difference"),
    )


def _drawn(row: Texts) -> str:
    """Return the name of the draws of a row of `external_intervals.csv`."""
    return name_of_draws(row, "external_draws")


def _difference(row: Texts, other: Texts, draws: Mapping[str, np.ndarray]) -> list[str]:
    """Return the difference of the estimates of two rows and the ends of its interval, empty where there is none."""
    difference = float(row["estimate"]) - float(other["estimate"])
    ends = interval(difference, draws[_drawn(row)] - draws[_drawn(other)], float(row["freedom"]))
    return [signed(value) for value in (difference, *ends)]


def _geometry(
    images: Sequence[Image], trained_on: Sequence[Image], row: Texts, study: Study
) -> tuple[dict[str, str], list[str]]:
    """Return the values of :data:`GEOMETRY` for the images of most frequent size, and what a reader must know of them."""
    microns = (study.datasets[row["on"]]["microns_per_pixel"], study.datasets[row["dataset"]]["microns_per_pixel"])
    magnification, side = int(row["magnification"]), study.models[row["model"]]["image_size"]
    image, field = tiles.most_frequent(images), tiles.most_frequent(trained_on, magnification)
    (tile,) = tiles.sizes([image], trained_on, magnification, microns)
    matched, at = row["scale"] == "matched", f"At {magnified(magnification)}"
    shown = tile if matched else (image.width, image.height)
    pixel = [length * microns[0][str(image.magnification)] / side for length in shown]
    theirs = [length * microns[1][str(magnification)] / side for length in (field.width, field.height)]
    wide, high = (own / other for own, other in zip(pixel, theirs, strict=True))
    covered, beyond = (tiles.covered(image, tile), tiles.mirrored(image, tile)) if matched else (1.0, 0.0)
    said = []
    if row["magnification"] == study.table6["magnification"] and not matched:
        said.append(
            f"{at} a pixel of a squashed image of {row['on']} is {wide:.1f} times as wide and {high:.1f} times as high as a pixel "
            "of training."
        )
    if beyond > 0:
        said.append(
            f"{at} {beyond:.0%} of a tile is beyond the edges of the image, which is continued there by reflection."
        )
    numbers = [f"{number:.2f}" for number in (*pixel, wide, high)]
    count = tiles.count(image, tile) if matched else 1
    return dict(zip(GEOMETRY, (*numbers, str(count), f"{covered:.3f}"), strict=True)), said
