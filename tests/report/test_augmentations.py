"""What augmentation adds: differences of the same draws, their order, and what is read from them."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from histobench.evaluation.summary import ARM
from histobench.report.figures.augmentation_effects import augmentation_effects
from histobench.report.tables.augmentation_table import augmentation_table
from histobench.study import outputs
from tests.report.studies import ARMS, block, study

LISTS = ("none", "paper", "blur", "flip")
ACCURACY = {"none": 0.86, "paper": 0.84, "blur": 0.80, "flip": 0.861}
ONE = study(
    arms=ARMS[2:3], grid=[block(ARMS[2], magnifications=[200], augmentations=LISTS)], paper=False, notes=[],
    augmentations={name: [] for name in LISTS},
)  # fmt: skip


def made():
    """Rows of intervals.csv, and draws: `flip` differs from `none` by noise of its own, the others by a constant."""
    rng = np.random.default_rng(0)
    shared, own = rng.normal(0, 0.03, 20_000), rng.normal(0, 0.02, 20_000)
    rows, draws = [], {}
    for name, mean in ACCURACY.items():
        arm = dict(zip(ARM, ("breakhis", "resnet34", "ft", "patient", "200", name), strict=True))
        for metric in ("accuracy", "auc", "f1"):
            row = arm | {"selection": "last", "metric": metric, "fold_mean": str(mean), "freedom": "60", "seeds": "1"}
            rows.append(row | {"groups": "81", "benign_groups": "24", "malignant_groups": "57", "one_class": ""})
            draws["/".join([*arm.values(), "last", metric])] = mean + shared + own * (name == "flip")
    return rows, draws


def test_differences_are_of_the_same_draws_and_sorted():
    table = augmentation_table(*made(), ONE)
    assert [(row["metric"], row["augmentation"]) for row in table.rows] == [
        (metric, name) for metric in ("Accuracy", "AUC") for name in ("blur", "paper", "flip")
    ]
    blur, paper, flip = table.rows[:3]
    # All of what varies is shared: a difference that does not vary.
    assert [blur[f"difference{end}"] for end in ("", "_low", "_high")] == ["-0.0600"] * 3
    assert [blur[f"augmented_difference{end}"] for end in ("", "_low", "_high")] == ["-0.0400"] * 3
    assert (paper["difference"], paper["augmented_difference"], paper["augmented_difference_low"]) == (
        "-0.0200",
        "",
        "",
    )
    # Student's quantile of 60 degrees of freedom is 2.0003, and the normal draws have deviation 0.02.
    assert float(flip["difference_low"]) == pytest.approx(0.001 - 2.0003 * 0.02, abs=0.0015)
    assert float(flip["difference_high"]) == pytest.approx(0.001 + 2.0003 * 0.02, abs=0.0015)
    assert (
        "ResNet34 FT at 200×: the lowest change in accuracy is that of blur −0.0600 (no interval), the highest that of flip +0.0010 [−0.0"
        in table.caption
    )
    assert (
        "2 of 3 intervals exclude zero (blur, paper). If augmentation changed nothing, 0.15 would on average."
        in table.caption
    )


def test_the_figure_has_a_row_for_each_augmentation_in_the_order_of_the_table():
    figure = augmentation_effects(augmentation_table(*made(), ONE).rows, ONE)
    FigureCanvasAgg(figure).draw()
    (axis,) = (one for one in figure.axes if one.get_visible())
    assert [label.get_text() for label in axis.get_yticklabels()] == ["blur", "paper", "flip"]
    drawn = {line.get_gid(): line.get_xdata()[0] for line in axis.lines if line.get_gid() in LISTS}
    assert drawn == {"blur": -0.06, "paper": -0.02, "flip": 0.001}
    (paper,) = (line for line in axis.lines if line.get_gid() == "augmented")
    assert paper.get_xdata()[0] == -0.02
    first, last = (axis.transData.transform((0, place))[1] for place in (0, 2))
    assert first > last


def test_which_studies_have_it():
    assert "augmentation-effects" in {*outputs.tables(ONE)} & {*outputs.figures(ONE)}
    two = [block(ARMS[2], augmentations=["none", "paper"])]
    for other in (study(paper=True, grid=ONE.grid), study(paper=False, grid=two)):
        assert "augmentation-effects" not in {*outputs.tables(other), *outputs.figures(other)}
