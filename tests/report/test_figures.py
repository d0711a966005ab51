"""Figures show the values of the CSVs, fit on the page, differ without colour, and are the same bytes each time."""

import copy
import hashlib
import io
import itertools
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from histobench.datasets import examples, manifest
from histobench.datasets.manifest import Image
from histobench.evaluation.confident_errors import ConfidentError
from histobench.evaluation.predictions import Predictions
from histobench.io.errors import HistoBenchError
from histobench.io.files import read_csv, write_csv
from histobench.report.figures import (
    cost,
    curves,
    error_pictures,
    losses,
    methods,
    patients,
    reliability,
    samples,
    scores,
    style,
)
from histobench.study import paths, resolved
from histobench.study.resolved import Arm, Study
from histobench.study.runs import Run
from histobench.study.spec import CnnSettings, VlmSettings
from tests.report.studies import ARMS, EXTERNAL, ROOT, block, call, study

TABLE4 = ROOT / "resources" / "papers" / "zhaksylyk-2026" / "tables" / "table4.csv"
NOTE = "The images are SYNTHETIC."
SCALES = (40, 100, 200, 400)
EVERY = [(arm, scale) for arm in ARMS for scale in SCALES]
VALUE = {(arm.key, scale): 0.7 + 0.03 * a + 0.005 * s for a, arm in enumerate(ARMS) for s, scale in enumerate(SCALES)}
"""Accuracy of each arm at each magnification."""


def row(arm: Arm, scale: int, **more: object) -> dict[str, str]:
    identity = {"dataset": "small", "model": arm.model, "mode": arm.mode, "split": "patient", "magnification": scale}
    return {key: str(value) for key, value in (identity | {"augmentation": "none", "selection": "last"} | more).items()}


INTERVALS = [
    row(
        arm,
        scale,
        augmentation=augmentation,
        metric="accuracy",
        groups=81,
        benign_groups=24,
        malignant_groups=57,
        fold_mean=value,
        fold_mean_low=value - 0.04,
        fold_mean_high=0.95,
    )
    for augmentation in ("none", "paper")
    for arm, scale in EVERY
    for value in [VALUE[arm.key, scale]]
]
SUMMARY = [row(arm, scale, accuracy_mean=VALUE[arm.key, scale], accuracy_std=0.05) for arm, scale in EVERY]
METRICS = [
    row(ARMS[2], scale, split=split, selection=selection, fold=fold, accuracy=base + bonus + 0.01 * (fold - 2))
    for scale in (40, 200)
    for split, base in (("patient", 0.85), ("image", 0.95))
    for selection, bonus in (("last", 0.0), ("best_epoch", 0.02))
    for fold in (1, 2, 3)
]
GROUPS = [
    row(arm, scale, on="bach", **{"class": group}, label=label, fold=fold, malignant_rate=rate) | {"scale": of}
    for arm in (ARMS[2], ARMS[6])
    for scale in SCALES
    for of in ("squashed", "matched")
    for group, label in (("insitu", 1), ("invasive", 1), ("benign", 0), ("normal", 0))
    for fold, rate in ((1, 0.2 + 0.5 * label), (2, 0.3 + 0.5 * label), ("mean", 0.25 + 0.5 * label))
]
CALIBRATION = [
    row(arm, scale, bin=b + 1, low=b / 10, high=(b + 1) / 10, images=10 * b, mean_probability=(b + 0.5) / 10 if b else "",
        malignant_share=b / 10 if b else "")
    for arm, scale in EVERY
    for b in range(10)
]  # fmt: skip
COSTS = [
    row(arm, s, runs=5, seconds=5 * 10.0 ** (1 + a / 4) - 5 * a, feature_seconds=5 * a, device="NVIDIA H100")
    for a, arm in enumerate(ARMS)
    for s in SCALES
]
TRAINABLE = (57_007_937, 139_574_337, 21_285_185, 1_537, 4_359_681, 2_049, 6_293_505)
LORA = (0, 0, 0, 0, 4_358_144, 0, 6_291_456)
PARAMETERS = [
    {"model": arm.model, "mode": arm.mode, "trainable": str(trainable), "lora": str(lora)}
    for arm, trainable, lora in zip(ARMS, TRAINABLE, LORA, strict=True)
]


def predictions_of(some: Run) -> str:
    return paths.PREDICTIONS.format(**vars(some), data_key="01234567", run_key="89abcdef")


def run(arm: Arm, scale: int, fold: int) -> Run:
    return Run("small", arm.model, arm.mode, "patient", scale, "none", 0, fold)


def history(level: float) -> list[dict[str, str]]:
    values = [(epoch, level / epoch, level, 1 - level) for epoch in range(1, 9)]
    return [dict(zip(losses.COLUMNS, map(str, epoch), strict=True)) for epoch in values]


HISTORIES = {run(arm, scale, fold): history(0.1 * fold) for arm, scale in EVERY for fold in (1, 2, 3)}
SUBTYPES = {"a1": "A", "a2": "A", "b1": "DC", "b2": "DC", "c1": "LC"}


def predicted(wrong: set[str]) -> Predictions:
    label = np.array([0, 0, 1, 1, 1], dtype=np.int8)
    sign = np.where([image in wrong for image in SUBTYPES], -1.0, 1.0)
    logit = sign * np.where(label == 1, 2.0, -2.0)
    patient = np.array(["p1", "p1", "p2", "p2", "p3"])
    return Predictions(tuple(SUBTYPES), patient, label, {"last": logit, "best_epoch": logit})


PREDICTIONS = {run(arm, scale, 1): predicted({"a1", "c1"}) for arm, scale in EVERY}


def settings() -> dict[str, dict]:
    text = {"hidden_size": 1536, "num_hidden_layers": 28}
    tower = {"depth": 32, "embed_dim": 1280, "patch_size": 14, "spatial_merge_size": 2}
    qwen = VlmSettings(family="qwen2-vl", weights="random", config={"text_config": text, "vision_config": tower})
    text = {"hidden_size": 2048, "num_hidden_layers": 24}
    tower = {"hidden_size": 1152, "num_hidden_layers": 27, "patch_size": 14}
    config = {"scale_factor": 3, "text_config": text, "vision_config": tower}
    smol = VlmSettings(family="smolvlm", weights="random", config=config)
    cnns = {name: CnnSettings(architecture=f"torchvision/{name}") for name in ("alexnet", "vgg19", "resnet34")}
    found = cnns | {"qwen2-vl-2b": qwen, "smolvlm": smol}
    return {name: one.model_dump(mode="json") for name, one in found.items()}


def made(notes: Sequence[str] = (), **changes: object) -> Study:
    """Return a study on dataset `small`; the magnification of Table 7 is 200x."""
    splits = {name: {"by": name, "folds": 5, "unit": "patient"} for name in ("patient", "image")}
    grid = [block(arm, dataset="small", splits=list(splits)) for arm in ARMS]
    lists = {"none": [], "paper": [{"HorizontalFlip": {}}, {"RandomBrightnessContrast": {}}, {"RandomResizedCrop": {}}]}
    content = {"notes": notes, "models": settings(), "augmentations": lists, "splits": splits, "grid": grid}
    content |= {"tables": study().tables | {"dataset": "small"}, "external": [EXTERNAL | {"dataset": "small"}]}
    content |= {
        "datasets": {
            name: {"format": "breakhis", "synthetic": None, "microns_per_pixel": {"40": 0.49}}
            for name in ("small", "bach")
        }
    }
    return study(**content | changes)


PUBLISHED = read_csv(TABLE4, ())
THEIRS = scores.published_accuracy(PUBLISHED, ARMS)


def tissue(notes: Sequence[str]) -> Figure:
    row = [samples.Sample(f"{scale}×", np.full((460, 700, 3), 128, np.uint8), 0.49) for scale in SCALES]
    return samples.samples([("benign\nadenosis (A)", row), ("malignant\npapillary carcinoma (PC)", row)], notes)


def without_scale(notes: Sequence[str]) -> Figure:
    return samples.samples([("bach", [samples.Sample("normal", np.zeros((96, 128, 3), np.uint8), None)])], notes)


def errors(notes: Sequence[str]) -> Figure:
    """Four arms of ten errors each, with maps for the first two."""
    pixels, rows = np.random.default_rng(0).integers(0, 256, (10, 24, 24, 3), dtype=np.uint8), []
    for place, arm in enumerate(ARMS[:4]):
        wrong = [ConfidentError(run(arm, 200, 1), f"i{n}", "14-29960AB", n % 2, 3 - 6 * (n % 2)) for n in range(10)]
        rows.append(error_pictures.Row(arm.name, wrong, list(pixels), [np.eye(4) if place < 2 else None] * 10))
    return error_pictures.error_pictures(rows, notes)


FIGURES: dict[str, Callable[[Sequence[str]], Figure]] = {
    "figure1": tissue,
    "figure2": without_scale,
    "figure3": lambda notes: methods.cnn(made(notes), PARAMETERS),
    "figure4": lambda notes: methods.vlm(made(notes), PARAMETERS),
    "figure5": lambda notes: scores.accuracy(INTERVALS, {4: PUBLISHED, 5: []}, made(notes)),
    "figure6": lambda notes: losses.losses(HISTORIES, made(notes)),
    "figure7": lambda notes: losses.overlay(HISTORIES, made(notes)),
    "ladder": lambda notes: scores.ladder(METRICS, THEIRS, made(notes)),
    "roc": lambda notes: curves.roc(PREDICTIONS, made(notes)),
    "precision-recall": lambda notes: curves.precision_recall(PREDICTIONS, made(notes)),
    "confusion": lambda notes: curves.confusion(PREDICTIONS, made(notes)),
    "patients": lambda notes: patients.error_map(PREDICTIONS, SUBTYPES, made(notes)),
    "reliability": lambda notes: reliability.reliability(CALIBRATION, made(notes)),
    "error-pictures": errors,
    "bach": lambda notes: scores.external(GROUPS, made(notes)),
    "cost": lambda notes: cost.cost(COSTS, PARAMETERS, SUMMARY, made(notes)),
}


def marked(figure: Figure, gid: str) -> list[tuple[list[float], list[float]]]:
    """Return the (x, y) of every line with this id, axes in their order."""
    lines = (line for axis in figure.axes for line in axis.lines if line.get_gid() == gid)
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in lines]  # type: ignore[arg-type]


def drawn(figure: Figure) -> Figure:
    FigureCanvasAgg(figure).draw()
    return figure


# --- every figure ---


@pytest.mark.parametrize("name", FIGURES)
def test_every_text_is_on_a_page_of_standard_width_above_the_notes(name: str) -> None:
    notes = [NOTE, "Models start from RANDOM weights.", "Models are NARROWED to a share of their channels."]
    figure = drawn(FIGURES[name](notes))
    assert round(figure.get_figwidth() * 25.4, 3) in (85, 175)
    assert figure.get_figheight() * 25.4 < 260
    (foot,) = [text for text in figure.texts if text.get_gid() == "notes"]
    assert " ".join(foot.get_text().split()).endswith(" ".join(notes))
    # The tight box of axes holds everything drawn in and around them, with the labels of ticks.
    axes = [axis for axis in figure.axes if axis.get_visible()]
    boxes = {part: part.get_tightbbox() for part in [foot, *axes, *figure.legends]}
    for part, box in boxes.items():
        assert box is not None
        assert min(box.x0, box.y0) > -0.5, part
        assert box.x1 < figure.bbox.x1 + 0.5, part
        assert box.y1 < figure.bbox.y1 + 0.5, part
    for above, below in ((axes, figure.legends), (axes, [foot]), (figure.legends, [foot])):
        for part, other in itertools.product(above, below):
            assert boxes[part].y0 >= boxes[other].y1 - 1, (part, other)  # type: ignore[union-attr]
    assert (ROOT / "workflow" / "report" / f"{name}.rst").read_text().strip().endswith(".")


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.1)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_arms_and_magnifications_differ_without_colour_and_in_colour() -> None:
    looks = list(style.looks(ARMS).values())
    for first, second in itertools.combinations(looks, 2):
        assert first.colour != second.colour
        assert (first.marker, first.filled) != (second.marker, second.filled)
    # On white, every line has a contrast of 2 at least.
    assert all(1.05 / (luminance(look.colour) + 0.05) > 2 for look in looks)
    many = [Arm(f"model{number}", "ft", "", "cnn", "all") for number in range(56)]
    assert len({(look.colour, look.marker) for look in style.looks(many).values()}) == 56
    assert style.looks(ARMS[2:])[ARMS[3].key].line == ":"
    assert [style.looks(ARMS)[ARMS[place].key].line for place in (0, 4, 5)] == ["-", "--", ":"]
    # Magnifications differ by their markers, and are darker where they are higher.
    for scales in (SCALES, (40, 200), (0,)):
        found = list(style.magnification_looks(scales).values())
        assert len({marker for _, marker in found}) == len(scales)
        light = [luminance(colour) for colour, _ in found]
        assert light == sorted(light, reverse=True)
    assert min(-np.diff([luminance(colour) for colour, _ in style.MAGNIFICATION_LOOKS])) > 0.05


# --- what is drawn ---


def test_figure5_draws_estimates_intervals_and_published_values() -> None:
    figure = FIGURES["figure5"]([])
    for arm in ARMS:
        upper, lower = marked(figure, f"{arm.name}: reproduced")
        assert upper[1] == lower[1] == pytest.approx([VALUE[arm.key, scale] for scale in SCALES])
        assert [round(x) for x in upper[0]] == [0, 1, 2, 3]
    ends = [y for _, y in marked(figure, "interval")]
    assert len(ends) == 2 * len(EVERY)
    assert ends[0] == pytest.approx([0.66, 0.95])
    # Table 4 of the paper
    assert marked(figure, "ResNet34 FT: published")[0][1] == [0.9879, 0.9698, 0.9824, 0.9781]
    assert marked(figure, "SmolVLM LP: published")[0][1] == [0.8884, 0.8825, 0.8657, 0.8293]
    assert marked(figure, "ResNet34 FT: published")[1] == ([], [])
    assert [text.get_text() for text in figure.legends[0].texts] == [*(arm.name for arm in ARMS), "published"]


def test_figures_without_an_arm_name_the_gaps() -> None:
    for file, figure in (
        ("gaps.csv", scores.accuracy([], {4: PUBLISHED, 5: []}, made([NOTE]))),
        ("external_gaps.csv", scores.external([], made([NOTE]))),
    ):
        text = " ".join(" ".join(text.get_text() for text in figure.texts).split())
        assert text.startswith(f"No arm could be drawn: {file} says what could not be used")
        assert text.endswith(NOTE)
    assert not any(axes.get_visible() for axes in reliability.reliability([], made()).figure.axes)


def test_figure6_draws_mean_and_range_over_folds() -> None:
    figure = FIGURES["figure6"]([])
    visible = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title(loc="left") for axis in visible] == [arm.name for arm in ARMS]
    assert marked(figure, "validation_loss")[0] == (list(range(1, 9)), pytest.approx([0.2] * 8))  # 0.1, 0.2, 0.3
    assert marked(figure, "train_loss")[0][1] == pytest.approx([0.2 / epoch for epoch in range(1, 9)])
    for axis in visible:
        (band,) = [item for item in axis.collections if item.get_gid() == "validation_loss range"]
        heights = band.get_paths()[0].vertices[:, 1]  # type: ignore[index]
        assert (heights.min(), heights.max()) == pytest.approx((0.1, 0.3))


def test_figure7_draws_all_arms_over_the_epochs_that_all_folds_have() -> None:
    figure = FIGURES["figure7"]([])
    for arm in ARMS:
        assert [y for _, y in marked(figure, f"{arm.name}: accuracy")] == [pytest.approx([0.8] * 8)] * 4
        assert len(marked(figure, f"{arm.name}: validation_loss")) == 4
        # The folds are 0.7, 0.8 and 0.9: their sample standard deviation is 0.1.
        for x, y in marked(figure, f"{arm.name}: accuracy spread"):
            assert min(x) > 8
            assert y == pytest.approx([0.7, 0.8, 0.9])
    alone = {one: epochs for one, epochs in HISTORIES.items() if one.fold == 1}
    assert not marked(losses.overlay(alone, made()), f"{ARMS[0].name}: accuracy spread")
    short = HISTORIES | {run(ARMS[0], 40, 2): history(0.2)[:3]}
    epochs, values = losses.curves(short, ARMS[0], 40, "validation_loss")
    assert epochs.tolist() == [1, 2, 3]
    assert values.shape == (3, 3)


def test_the_ladder_draws_each_rung_and_says_what_it_adds() -> None:
    figure = FIGURES["ladder"]([])
    means = [y[0] for _, y in marked(figure, "mean")]
    assert means == pytest.approx([0.85, 0.95, 0.97] * 2)
    assert [y for _, y in marked(figure, "best epoch")] == [pytest.approx([0.87]), pytest.approx([0.97])] * 2
    assert [y[0] for _, y in marked(figure, "published")] == [0.9879, 0.9824]
    assert sorted(marked(figure, "folds")[0][1]) == pytest.approx([0.84, 0.85, 0.86])
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["+0.100", "+0.020", "published 0.9879"]
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert ticks == ["patient\nlast epoch\n0.850", "image\nlast epoch\n0.950", "image\nbest epoch\n0.970"]
    with pytest.raises(HistoBenchError, match="no arm was trained under two split policies"):
        scores.ladder([line for line in METRICS if line["split"] == "image"], {}, made())


CHOICES = {"last": 0.0, "validation": 0.01, "best_epoch": 0.02}


def test_the_ladder_shows_the_choice_on_validation_groups_beside_the_other_two() -> None:
    lines = [
        row(ARMS[2], 40, split=split, selection=selection, fold=1, accuracy=base + bonus)
        for split, base in (("patient", 0.85), ("image", 0.95))
        for selection, bonus in CHOICES.items()
    ]
    figure = scores.ladder(lines, {}, made())
    assert [y[0] for _, y in marked(figure, "mean")] == pytest.approx([0.85, 0.95, 0.96, 0.97])
    assert [y[0] for _, y in marked(figure, "validation groups")] == pytest.approx([0.86, 0.96])
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert ticks[2] == "image\nvalidation groups\n0.960"
    # An arm under a single split has a ladder where it chooses on validation groups.
    alone = scores.ladder([line for line in lines if line["split"] == "image"], {}, made())
    assert len(marked(alone, "mean")) == 3


def test_a_study_of_three_arms_and_two_splits_has_a_row_of_ladders_for_each_arm() -> None:
    arms = (ARMS[2], ARMS[3], ARMS[5])
    lines = [
        row(arm, scale, split=split, selection=selection, fold=1, accuracy=0.8)
        for arm in arms
        for scale in SCALES
        for split in ("patient", "image")
        for selection in ("last", "best_epoch")
    ]
    figure = drawn(scores.ladder(lines, {}, made()))
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles == [f"{arm.name}, {scale}×" for arm in arms for scale in SCALES]
    assert len({round(axis.get_position().y0, 3) for axis in figure.axes}) == 3
    assert figure.get_figheight() * 25.4 < 260


def test_the_error_map_holds_shares_of_misclassified_images() -> None:
    rows, columns, shares = patients.errors(
        {run(ARMS[1], 40, 1): predicted({"a1", "c1"}), run(ARMS[0], 200, 1): predicted({"b2"})}, SUBTYPES, ARMS
    )
    assert columns == [(ARMS[0].key, 200), (ARMS[1].key, 40)]
    # Benign first; of the malignant p3 (errors 0 and 1) is harder than p2 (0.5 and 0).
    assert rows == [("p1", 0, "A"), ("p3", 1, "LC"), ("p2", 1, "DC")]
    assert shares.tolist() == [[0, 0.5], [0, 1], [0.5, 0]]
    figure = FIGURES["patients"]([])
    (mesh,) = [item for item in figure.axes[0].collections if item.get_array() is not None]
    assert np.asarray(mesh.get_array()).reshape(3, 28)[:, 0].tolist() == [0.5, 1, 0]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["A p1", "LC p3", "DC p2"]
    meanings = "A: adenosis; DC: ductal carcinoma; LC: lobular carcinoma."
    assert [text.get_text() for text in figure.texts if text.get_gid() == "notes"] == [meanings]
    # The types of another dataset are its own words.
    other = made(datasets={"small": {"format": "csv", "synthetic": None}})
    assert not patients.error_map(PREDICTIONS, SUBTYPES, other).texts
    with pytest.raises(HistoBenchError, match="no predictions"):
        patients.error_map({}, SUBTYPES, made())


def test_reliability_draws_the_curve_of_filled_bins_over_their_counts() -> None:
    figure = FIGURES["reliability"]([])
    x, y = marked(figure, "SmolVLM FT: 400")[0]
    assert x == pytest.approx([b / 10 + 0.05 for b in range(1, 10)])
    assert y == pytest.approx([b / 10 for b in range(1, 10)])
    (marks,) = (item for item in figure.axes[10].collections if item.get_gid() == "SmolVLM FT: 400 images")
    # As the bins have 10, 20, ..., 90 images, so have the areas of the markers these ratios.
    assert marks.get_sizes() / marks.get_sizes()[0] == pytest.approx(range(1, 10))  # type: ignore[attr-defined]
    bars = figure.axes[4]  # below the first of four columns
    tops = [patch.get_y() + patch.get_height() for patch in bars.patches][-10:]  # type: ignore[attr-defined]
    assert tops == [4 * 10 * b for b in range(10)]


def test_the_external_figure_draws_folds_and_the_mean_that_the_file_gives() -> None:
    figure = FIGURES["bach"]([])
    names = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert names == ["benign", "normal", "insitu", "invasive"]
    for arm in (ARMS[2], ARMS[6]):
        drawn = marked(figure, f"{arm.name}: mean")
        assert [y for _, y in drawn] == [[0.25, 0.25, 0.75, 0.75]] * 8  # four magnifications, two scales
        assert marked(figure, f"{arm.name}: folds")[0][1] == [0.2, 0.3]
    shade = figure.axes[0].patches[0]
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == (1.5, 3.5)  # type: ignore[attr-defined]
    # The same look as in the other figures, where all seven arms are shown.
    assert figure.legends[0].legend_handles[1].get_color() == style.looks(ARMS)[ARMS[6].key].colour  # type: ignore[union-attr]


def test_cost_draws_seconds_of_a_run_and_trainable_parameters() -> None:
    figure = FIGURES["cost"]([])
    seconds, trainable = marked(figure, "Qwen2-VL-2B FT")
    mean = 0.7 + 0.03 * 4 + 0.005 * 1.5
    assert seconds == (pytest.approx([100.0]), pytest.approx([mean]))  # 10 ** (1 + 4 / 4)
    assert trainable == ([4_359_681.0], pytest.approx([mean]))
    assert marked(figure, "Qwen2-VL-2B FT: range")[0][1] == pytest.approx([0.82, 0.835])
    assert figure.axes[0].get_xlabel() == "GPU-seconds per run"
    assert "not recorded" not in figure.texts[0].get_text()
    # Without the seconds of the embeddings, which five runs share, those of Qwen2-VL-2B FT are 100 - 4.
    unknown = [line | {"feature_seconds": ""} for line in COSTS]
    figure = cost.cost(unknown, PARAMETERS, SUMMARY, made())
    assert marked(figure, "Qwen2-VL-2B FT")[0][0] == [pytest.approx(96)]
    notes = " ".join(figure.texts[0].get_text().split())
    assert notes.endswith("not recorded: Qwen2-VL-2B LP, Qwen2-VL-2B FT, SmolVLM LP, SmolVLM FT.")
    assert cost.unit(["cpu (x86_64)"]) == "CPU-seconds"
    assert cost.unit(["cpu (x86_64)", "NVIDIA H100"]) == "seconds, on CPU or GPU,"


def words(figure: Figure) -> str:
    return " ".join(text.get_text().strip() for text in figure.axes[0].texts)


def test_methods_say_what_the_configuration_says_inside_their_boxes() -> None:
    cnn = words(FIGURES["figure3"]([]))
    for part in ("squashed to 336 × 336 px", "pretrained on ImageNet", "VGG19 FT: 139,574,337", "5 folds by patient"):
        assert part in cnn
    assert "SmolVLM" not in cnn
    vlm = words(FIGURES["figure4"]([]))
    for part in (
        "Qwen2-VL-2B: 32 layers × 1280, patch 14", "SmolVLM: 27 layers × 1152, patch 14", "Qwen2-VL-2B: 144", "SmolVLM: 64",
        "r 16, α 32, dropout 0.05 on q, k, v, o of every layer", "Qwen2-VL-2B FT: 4,358,144", "SmolVLM: 2048 to 1",
        "SmolVLM FT: 6,293,505", "learning rate 0.0001", "batch 64, 20 epochs",
    ):  # fmt: skip
        assert part in vlm, part
    for name in ("figure3", "figure4"):
        figure = drawn(FIGURES[name]([]))
        boxes = [item.get_window_extent() for item in figure.axes[0].patches if isinstance(item, FancyBboxPatch)]
        for text in figure.axes[0].texts:
            if str(text.get_gid()).startswith("box"):
                inside = text.get_window_extent()
                assert any(box.containsx(inside.x0) and box.containsx(inside.x1) and box.containsy(inside.y0)
                           and box.containsy(inside.y1) for box in boxes), text  # fmt: skip


def test_what_is_trained_of_tower_and_connector_is_what_the_recipe_says() -> None:
    def boxes(**lora: Mapping[str, object]) -> dict[str, tuple[str, bool]]:
        """Return for each title in the first row the lines below it, and whether its border is that of trained parts."""
        study = made()
        recipes = {name: {mode: {**recipe} for mode, recipe in modes.items()} for name, modes in study.recipes.items()}
        for model, changes in lora.items():
            recipes[model]["ft"]["lora"] = recipes[model]["ft"]["lora"] | changes
        axis = drawn(methods.vlm(replace(study, recipes=recipes), PARAMETERS)).axes[0]
        found = {}
        for box in (item for item in axis.patches if isinstance(item, FancyBboxPatch)):
            area = box.get_window_extent()
            inside = [text.get_text() for text in axis.texts if str(text.get_gid()).startswith("box")
                      and area.contains(*text.get_window_extent().get_points().mean(0))]  # fmt: skip
            if inside:
                found[inside[0]] = " ".join(" ".join(inside[1:]).split()), box.get_linewidth() > 1
        return found

    plain = boxes()
    assert [plain[name][1] for name in ("Vision tower", "Connector", "Head")] == [False, False, True]
    assert "trained" not in plain["Vision tower"][0] + plain["Connector"][0]
    both = {"vision": True, "connector": True}
    found = boxes(**{"qwen2-vl-2b": both, "smolvlm": both})
    assert found["Vision tower"] == (
        f"{plain['Vision tower'][0]} FT: adapters on its attention trained otherwise frozen", True)  # fmt: skip
    assert found["Connector"] == (f"{plain['Connector'][0]} FT: all of it trained otherwise frozen", True)
    assert "vision" not in found["LoRA adapters"][0]
    found = boxes(smolvlm={"vision_blocks": 2})
    assert found["Vision tower"][0].endswith(" SmolVLM FT: its last 2 blocks trained otherwise frozen")
    assert found["Connector"] == plain["Connector"]


def test_scale_bars_have_the_length_they_say() -> None:
    # Up to a quarter of fields of 343, 140, 70, 35 and 860 um.
    assert [samples.bar(field) for field in (343, 140, 70, 35, 860)] == [50, 20, 10, 5, 200]
    figure = FIGURES["figure1"]([])
    for axis in figure.axes:
        (drawn,) = [patch for patch in axis.patches if patch.get_gid() == "scale bar"]
        assert drawn.get_width() * 0.49 == pytest.approx(50)  # type: ignore[attr-defined]
        assert axis.texts[0].get_text() == "≈ 50 µm"
    assert not FIGURES["figure2"]([]).axes[0].patches


def test_errors_are_shown_with_their_maps_below_them() -> None:
    figure = drawn(FIGURES["error-pictures"]([]))
    (axis,) = figure.axes
    shown = [image.get_array() for image in axis.get_images()]
    assert len(shown) == 60  # 40 pictures, and maps of two arms
    # Each in its own place: a map below its picture, pictures beside each other.
    places = np.array([image.get_extent() for image in axis.get_images()])
    assert len(np.unique(places, axis=0)) == 60
    assert (places[:10, :2] == places[10:20, :2]).all()
    assert (places[10:20, 3] > places[:10, 2]).all()
    assert (places[1:10, 0] > places[:9, 1]).all()
    assert [text.get_text() for text in axis.texts[:1]] == ["AlexNet FT"]
    texts = [text.get_text() for text in axis.texts[1:3]]
    assert texts == ["benign\n0.953\n14-29960AB, fold 1", "malignant\n0.047\n14-29960AB, fold 1"]
    # What speaks for the class that was called, wrongly: of the benign image malignant, where the map is positive.
    picture, heat = (np.asarray(shown[at], float) for at in (0, 10))
    grey = picture @ [0.299, 0.587, 0.114]
    assert np.abs(heat[16:, :6] - grey[16:, :6, None]).max() <= 1
    assert np.abs(heat[:3, :3] - grey[:3, :3, None]).max() > 50
    # Of the malignant image benign is called; nothing of its map is negative, so that it stays grey.
    assert np.ptp(np.asarray(shown[11], float), axis=2).max() == 0
    assert "No arm of this study" in error_pictures.error_pictures([], [NOTE]).texts[1].get_text()


# --- examples ---


def image(name: str, label: str, patient: str, scale: int, subtype: str = "A", width: int = 700) -> Image:
    sha = hashlib.sha256(name.encode()).hexdigest()
    return Image(name, label, subtype, patient, patient, patient, scale, width, 460, sha, f"tree/{name}.png")


BENIGN = [image(f"b-{n}", "benign", patient, scale) for n, patient, scale in
          ((1, "p1", 40), (2, "p2", 40), (3, "p2", 40), (4, "p2", 200))]  # fmt: skip
IMAGES = manifest.ordered(
    [*BENIGN, image("m-1", "malignant", "p3", 40, "DC"), image("m-2", "malignant", "p4", 200, "LC")]
)


def test_examples_are_of_one_patient_where_one_has_all_magnifications() -> None:
    chosen = [[image.image_id for image in row] for row in examples.per_class(IMAGES)]
    assert chosen == [["b-2", "b-4"], ["m-1", "m-2"]]
    assert [image.image_id for image in examples.per_group(IMAGES)] == ["b-1", "m-1", "m-2"]


# --- files ---


@pytest.mark.parametrize("name", ["figure1", "figure5", "patients"])
def test_two_runs_give_the_same_bytes(name: str, tmp_path: Path) -> None:
    for folder in ("first", "second"):
        style.save(FIGURES[name]([NOTE]), tmp_path / folder / name)
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / one).iterdir()} for one in ("first", "second")
    )
    assert first == second
    assert sorted(first) == [f"{name}.pdf", f"{name}.png", f"{name}.svg"]
    assert b"/FontFile2" in first[f"{name}.pdf"]
    for word in (b"/Type3", b"CreationDate"):
        assert word not in first[f"{name}.pdf"]
    assert b"<dc:date>" not in first[f"{name}.svg"]
    with PIL.Image.open(io.BytesIO(first[f"{name}.png"])) as png:
        assert png.width == int(FIGURES[name]([]).get_figwidth() * 200)


def test_the_settings_of_the_machine_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    resolved.write(made([NOTE]), Path("study.json"))
    write_csv(Path("groups.csv"), list(GROUPS[0]), GROUPS)
    options = ("--study", "study.json", "--groups", "groups.csv", "--output-prefix")
    call("figure_external", monkeypatch, *options, "here/bach")
    Path("matplotlibrc").write_text("font.size: 20\naxes.spines.top: True\nsavefig.dpi: 30\nsvg.hashsalt: other\n")
    fonts = copy.copy(font_manager.fontManager)
    (serif,) = (one for one in fonts.ttflist if Path(one.fname).name == "DejaVuSerif.ttf")
    fonts.ttflist = [replace(serif, name="DejaVu Sans")]
    font_manager.json_dump(fonts, f"fontlist-v{fonts.__version__}.json")
    command = [sys.executable, ROOT / "scripts/figure_external.py", *options, "there/bach"]
    subprocess.run(command, check=True, env={"PYTHONPATH": str(ROOT / "workflow"), "MPLCONFIGDIR": str(tmp_path)})
    for form in style.FORMATS:
        assert Path(f"here/bach.{form}").read_bytes() == Path(f"there/bach.{form}").read_bytes()


def test_published_weights_are_drawn_by_the_config_of_their_repository(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    drawn = []
    monkeypatch.setattr(style, "save", lambda figure, prefix: drawn.append(words(figure)))
    models = settings()
    # That of Qwen2-VL has the decoder's sizes at its top.
    config = models["qwen2-vl-2b"]["config"]
    Path("qwen2-vl-2b-01234567.config.json").write_text(json.dumps({**config.pop("text_config"), **config}))
    models["qwen2-vl-2b"] |= {"weights": {"hub": "owner/name", "revision": "0" * 40}, "config": None}
    resolved.write(made(models=models), Path("study.json"))
    write_csv(Path("parameters.csv"), list(PARAMETERS[0]), PARAMETERS)
    options = (
        "--parameters",
        "parameters.csv",
        "--configs",
        "qwen2-vl-2b-01234567.config.json",
        "--output-prefix",
        "figure3",
    )
    call("figure_methods", monkeypatch, "--study", "study.json", *options)
    assert len(drawn) == 2
    assert "Qwen2-VL-2B: 28 layers, hidden size 1536" in drawn[1]


def test_unusable_predictions_are_named_and_the_others_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    files = [Path(predictions_of(run(ARMS[0], 40, fold))) for fold in (1, 2)]
    for path, logit in zip(files, ("1.5", "nan"), strict=True):
        rows = [
            {"image_id": name, "accession": name[0], "group": name[0], "fold": path.parent.name[-1], "label": label, "logit": logit, "best_epoch_logit": 1}
            for name, label in (("a1", 0), ("b1", 1))
        ]  # fmt: skip
        write_csv(path, list(rows[0]), rows)
    write_csv(Path("manifest.csv"), ("image_id", "subtype"), [{"image_id": "a1", "subtype": "A"}])
    resolved.write(made([NOTE]), Path("study.json"))
    arguments = ("--study", "study.json", "--manifest", "manifest.csv", "--output-prefix", "patients")
    call("figure_patients", monkeypatch, "--predictions", *files, *arguments)
    assert "fold2, line 2: logit is 'nan'" in capsys.readouterr().err
    assert Path("patients.png").is_file()
    with pytest.raises(SystemExit):
        call("figure_patients", monkeypatch, "--predictions", files[1], *arguments)
    assert "error: " in capsys.readouterr().err


def test_sample_figures_show_originals_from_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with tarfile.open("archive.tar.gz", "w:gz") as archive:
        for number, known in enumerate(IMAGES):
            file = io.BytesIO()
            PIL.Image.fromarray(np.full((46, 70, 3), 20 * number, np.uint8)).save(file, "PNG")
            info = tarfile.TarInfo(known.member)
            info.size = file.tell()
            file.seek(0)
            archive.addfile(info, file)
    manifest.save(Path("manifest.csv"), IMAGES)
    pixels = examples.fetch(Path("archive.tar.gz"), [IMAGES[4], IMAGES[1]])
    found = {name: int(image[0, 0, 0]) for name, image in pixels.items()}
    assert found == {IMAGES[1].image_id: 20, IMAGES[4].image_id: 80}
    resolved.write(made([NOTE]), Path("study.json"))
    twice = ("manifest.csv", "manifest.csv", "--sources", "archive.tar.gz", "archive.tar.gz")
    options = ("--study", "study.json", "--manifests", *twice, "--output-prefix", "figures/figure1")
    drawn: list = []
    monkeypatch.setattr(
        samples, "samples", lambda rows, notes, draw=samples.samples: drawn.append(rows) or draw(rows, notes)
    )
    call("figure_samples", monkeypatch, *options)
    assert len(list(Path("figures").iterdir())) == 6
    # Only the magnification whose micrometres per pixel are stated has a scale bar.
    assert {(of.title, of.micrometres_per_pixel) for _, row in drawn[0] for of in row} == {
        ("40×", 0.49),
        ("200×", None),
    }
    with pytest.raises(HistoBenchError, match="holds no image x, which its manifest names"):
        examples.fetch(Path("archive.tar.gz"), [image("x", "benign", "p", 40)])
