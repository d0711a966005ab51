"""ROC and precision-recall curves and confusion matrices, held against counts made another way."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from histobench import metrics
from histobench.evaluation.predictions import Predictions
from histobench.io.errors import HistoBenchError
from histobench.io.files import write_csv
from histobench.report.figures import curves
from histobench.study import resolved
from tests.report.studies import ARMS, call
from tests.report.test_figures import NOTE, made, marked, predictions_of, run

CNN, VLM = ARMS[2], ARMS[6]


def fold(number: int, shift: float, decimals: int = 1) -> Predictions:
    """Return 30 images with random logits of few decimals, so that some are equal."""
    draw = np.random.default_rng(number)
    label = np.arange(30, dtype=np.int8) % 3 // 2
    logit = np.round(draw.normal(0, 1, 30) + label + shift, decimals)
    names = tuple(f"{number}-{image}" for image in range(30))
    # The best epoch is another one: it must not be drawn.
    return Predictions(names, np.array(["p"] * 30), label, {"last": logit, "best_epoch": -logit})


FOLDS = {
    **{run(CNN, scale, number): fold(number, 0.3 * number - 0.6) for scale in (40, 200) for number in (1, 2, 3)},
    run(VLM, 200, 1): fold(9, 0.0),
}


def pooled(*numbers: int) -> tuple[np.ndarray, np.ndarray]:
    folds = [FOLDS[run(CNN, 40, number)] for number in numbers]
    return np.concatenate([one.label for one in folds]), np.concatenate([one.logit["last"] for one in folds])


def ordered_pairs(label: np.ndarray, logit: np.ndarray) -> float:
    """Return the share of (malignant, benign) pairs in which the malignant image has the higher logit; equal ones count half."""
    pairs = list(itertools.product(logit[label == 1], logit[label == 0]))
    return sum((high > low) + 0.5 * (high == low) for high, low in pairs) / len(pairs)


def average_precision(label: np.ndarray, logit: np.ndarray) -> float:
    """Return the mean over malignant images of the precision among all images with a logit as high as theirs."""
    return float(np.mean([label[logit >= threshold].mean() for threshold in logit[label == 1]]))


def shown(figure, panel: int) -> list[tuple[float, ...]]:
    """Return the numbers of a panel's legend."""
    texts = figure.axes[panel].get_legend().get_texts()
    return [tuple(map(float, re.findall(r"\d\.\d+", text.get_text()))) for text in texts]


@pytest.mark.parametrize(
    ("draw", "area", "below"),
    [
        (curves.roc, ordered_pairs, np.trapezoid),
        (curves.precision_recall, average_precision, lambda y, x: np.sum(np.diff(x) * np.asarray(y)[1:])),
    ],
)
def test_the_area_below_a_curve_is_that_of_all_folds_together(draw, area, below):
    figure = draw(FOLDS, made())
    everything = area(*pooled(1, 2, 3))
    ((x, y),) = marked(figure, f"{CNN.name}: 40")
    assert below(y, x) == pytest.approx(everything)
    own = [area(*pooled(number)) for number in (1, 2, 3)]
    assert shown(figure, 0) == [pytest.approx((everything, np.mean(own), np.std(own, ddof=1)), abs=0.0005)]
    # Of a single fold there is no spread; the arm was not trained at 40x.
    assert [len(numbers) for numbers in shown(figure, 1)] == [3, 1]
    assert marked(figure, f"{VLM.name}: 40") == []


def test_the_area_of_the_folds_is_the_auc_of_their_scores():
    own = [metrics.auc(*pooled(number)) for number in (1, 2, 3)]
    assert shown(curves.roc(FOLDS, made()), 0)[0][1] == pytest.approx(np.mean(own), abs=0.0005)


def test_the_line_of_a_guess_is_the_share_of_malignant_images():
    assert [y for _, y in marked(curves.precision_recall(FOLDS, made()), "share malignant")] == [
        pytest.approx([1 / 3] * 2)
    ] * 2


def test_confusion_matrices_count_every_image_once_in_its_class():
    figure = curves.confusion(FOLDS, made())
    axis = figure.axes[0]

    def cells(arm, scale: int) -> dict[tuple[float, float], str]:
        return {text.get_position(): text.get_text() for text in axis.texts if text.get_gid() == f"{arm.name}: {scale}"}

    label, logit = pooled(1, 2, 3)
    expected = {}
    for true, called in itertools.product((0, 1), (0, 1)):
        count = sum(one == true and (score >= 0) == called for one, score in zip(label, logit, strict=True))
        expected[called, true] = f"{count} ({100 * count / sum(label == true):.0f} %)"
    assert cells(CNN, 40) == expected
    assert sum(int(text.split()[0]) for text in expected.values()) == 90
    assert [text.get_text() for text in axis.get_yticklabels()] == ["benign", "malignant"] * 2
    assert [text.get_text() for text in axis.get_xticklabels()][:2] == ["called\nbenign", "called\nmalignant"]
    # The second arm was trained at 200x only: its cells at 40x are empty.
    assert cells(VLM, 40) == {}
    assert set(cells(VLM, 200)) == {(2, 2), (3, 2), (2, 3), (3, 3)}


def test_unusable_predictions_are_named_and_the_others_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    paths = [Path(predictions_of(run(CNN, 40, number))) for number in (1, 2)]
    for number, (path, logit) in enumerate(zip(paths, ("1.5", "nan"), strict=True), start=1):
        images = (("a", 0), ("b", 1))
        rows = [
            {
                "image_id": name,
                "accession": name,
                "group": name,
                "fold": number,
                "label": label,
                "logit": logit,
                "best_epoch_logit": 1,
            }
            for name, label in images
        ]
        write_csv(path, list(rows[0]), rows)
    resolved.write(made([NOTE]), Path("study.json"))
    options = ("--study", "study.json", "--output-prefix", "figures/roc", "--predictions")
    call("figure_curves", monkeypatch, *options, *paths)
    assert "fold2, line 2: logit is 'nan'" in capsys.readouterr().err
    names = ("confusion", "precision-recall", "roc")
    assert sorted(path.name for path in Path("figures").glob("*.svg")) == [f"{name}.svg" for name in names]
    for draw in (curves.roc, curves.precision_recall, curves.confusion):
        with pytest.raises(HistoBenchError, match="no predictions"):
            draw({}, made())
