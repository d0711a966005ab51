"""Accuracy against trained parameters: every arm has its point, its interval and a label that hides no other."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from histobench.report.figures.trained_parameters import apart, trained_parameters
from histobench.study import outputs
from histobench.study.resolved import Arm
from tests.report.studies import ARMS, block, study

ADAPTED = [Arm("qwen2-vl-2b", f"lora-{number}", "Qwen2-VL-2B", "qwen2-vl", "lora") for number in range(7)]
TWELVE = [*ARMS[:5], *ADAPTED]
TRAINED = dict(
    zip(
        [arm.key for arm in TWELVE], [57e6, 139e6, 21e6, 1537, 4_359_681, *[4_358_144] * 4, 8e6, 8e6, 17e6], strict=True
    )
)
INTERVALS = [
    {
        **{"model": arm.model, "mode": arm.mode, "split": "patient", "magnification": str(magnification)},
        **{"groups": "81", "benign_groups": "24", "malignant_groups": "57"},
        **{"fold_mean": str(0.8 + place / 100), "fold_mean_low": str(0.7 + place / 100), "fold_mean_high": "0.95"},
    }
    for magnification in (40, 200)
    for place, arm in enumerate(TWELVE)
]


def test_an_arm_that_trains_nothing_is_not_drawn():
    parameters = [{"model": model, "mode": mode, "trainable": str(int(n))} for (model, mode), n in TRAINED.items()]
    parameters[0]["trainable"] = "0"
    (axis,) = trained_parameters(INTERVALS, parameters, study(arms=TWELVE)).axes
    assert {line.get_gid() for line in axis.lines} == {arm.name for arm in TWELVE[1:]} | {"interval"}
    assert np.isfinite(axis.get_xlim()).all()


def test_places_are_moved_apart_as_little_as_possible():
    assert apart(np.array([0.0, 5.0]), 1).tolist() == [0, 5]
    assert apart(np.array([1.0, 1.0, 1.0]), 0.5).tolist() == [0.5, 1.0, 1.5]
    assert apart(np.array([]), 1).tolist() == []


def test_twelve_arms_are_drawn_and_labelled_without_overlaps():
    parameters = [{"model": model, "mode": mode, "trainable": str(int(n))} for (model, mode), n in TRAINED.items()]
    figure = trained_parameters(INTERVALS, parameters, study(arms=TWELVE))
    FigureCanvasAgg(figure).draw()
    (axis,) = figure.axes
    points = {
        line.get_gid(): (line.get_xdata()[0], line.get_ydata()[0])
        for line in axis.lines
        if line.get_gid() != "interval"
    }
    assert set(points) == {arm.name for arm in TWELVE}
    for place, arm in enumerate(TWELVE):
        x, y = points[arm.name]
        assert y == pytest.approx(0.8 + place / 100)
        assert 10**x == pytest.approx(TRAINED[arm.key], rel=0.35)  # five arms of equal numbers stand side by side
    labels = sorted((text for text in axis.texts if text.get_text()), key=lambda text: text.get_position()[0])
    assert [text.get_text() for text in labels] == sorted(points, key=lambda name: points[name][0])
    places = [text.get_window_extent().x0 for text in labels]
    height = labels[0].get_fontsize() * figure.dpi / 72
    for left, right in pairwise(places):  # at an angle of 45 degrees
        assert (right - left) * np.sin(np.pi / 4) > 0.99 * height
    edge = figure.bbox
    for text in labels:
        box = text.get_window_extent()
        assert edge.x0 <= box.x0 <= box.x1 <= edge.x1
        assert box.y1 <= edge.y1


def test_which_studies_have_it():
    grid = [block(arm) for arm in ARMS]
    assert "trained-parameters" in outputs.figures(study(paper=False, grid=grid))
    assert "trained-parameters" not in outputs.figures(study(paper=True, grid=grid))
    assert "trained-parameters" not in outputs.figures(study(paper=False, grid=grid[:2], arms=ARMS[:2]))
