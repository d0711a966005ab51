"""Scores of several classes against scikit-learn's, and their intervals."""

from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_score, recall_score, roc_auc_score

from histobench.evaluation import class_predictions, class_scores
from histobench.evaluation.bootstrap import resample
from histobench.evaluation.class_predictions import ClassPredictions
from histobench.io.errors import HistoBenchError
from histobench.io.files import write_csv
from histobench.metrics import class_epoch_scores
from histobench.study import class_files
from histobench.study.runs import Run

CLASSES = ["A", "F", "PT", "TA", "DC"]


def made(seed: int, images: int = 120, classes: Sequence[int] = range(5)) -> tuple[np.ndarray, np.ndarray]:
    """Labels of some of five classes, and logits that know a little of them; a few are equal."""
    rng = np.random.default_rng(seed)
    label = rng.choice(list(classes), images)
    logits = np.round(2 * rng.normal(size=(images, 5)), 1)
    logits[np.arange(images), label] += 1.5
    return label, logits


def by_sklearn(label: np.ndarray, logits: np.ndarray) -> dict[tuple[str, str], float]:
    """The same scores by scikit-learn; macro scores over the classes that occur."""
    present, called = sorted(set(label.tolist())), logits.argmax(axis=1)
    share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = {("all", "accuracy"): accuracy_score(label, called)}
    scores = {"recall": recall_score, "precision": precision_score, "f1": f1_score}
    for name, score in scores.items():
        values = score(label, called, labels=present, average=None, zero_division=0)
        found |= {(CLASSES[place], name): value for place, value in zip(present, values, strict=True)}
    found |= {(CLASSES[place], "auc"): roc_auc_score(label == place, share[:, place]) for place in present}
    for macro, name in (("balanced_accuracy", "recall"), ("macro_f1", "f1"), ("macro_auc", "auc")):
        found["all", macro] = np.mean([found[CLASSES[place], name] for place in present])
    return found


@pytest.mark.parametrize("classes", [range(5), (0, 2, 4)], ids=["all", "some"])
def test_scores_are_those_of_scikit_learn(classes):
    label, logits = made(1, classes=classes)
    expected = by_sklearn(label, logits)
    counts = class_scores.ClassCounts(label, logits, label.astype(str), CLASSES)
    found = {key: values[0] for key, values in counts.values().items() if np.isfinite(values[0])}
    assert found == pytest.approx(expected)
    epoch = class_epoch_scores(label.astype(np.float32), logits)
    share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert epoch.pop("validation_loss") == pytest.approx(log_loss(label, share, labels=range(5)))
    assert epoch == pytest.approx({name: expected["all", name] for name in class_files.SCORES})


def test_a_draw_is_the_score_of_the_images_of_the_groups_that_it_draws():
    label, logits = made(2)
    group = np.array([f"{one}-{number % 3}" for number, one in enumerate(label)])
    counts = class_scores.ClassCounts(label, logits, group, CLASSES)
    weights = np.random.default_rng(3).integers(0, 3, (4, len(counts.names)))
    weights[0, [name.startswith("2-") for name in counts.names]] = 0  # a draw without images of a class
    drawn = counts.values(weights.astype(float))
    for number, own in enumerate(weights):
        rows = np.repeat(np.arange(len(label)), own[np.searchsorted(counts.names, group)])
        expected = by_sklearn(label[rows], logits[rows])
        found = {key: values[number] for key, values in drawn.items() if np.isfinite(values[number])}
        assert found == pytest.approx(expected)


def test_groups_of_several_classes_are_drawn_apart_and_the_missing_variance_widens():
    group = np.array(["a", "b", "c", "d", "e", "e", "f"])
    label = np.array([0, 0, 0, 1, 0, 1, 1])
    groups = class_scores.groups_of(group, label)
    assert groups.classes == (1, 1, 1, 2, 3, 2)
    drawn = resample(groups, 500, 0)
    assert set(drawn[:, 4]) == {1.0}  # the only group of both classes
    np.testing.assert_allclose(drawn[:, :3].sum(axis=1), 3)
    # Class 0 has 4 groups, of which 3 vary; class 1 has 3, of which 2 vary.
    freedom, widening = class_scores.of_strata(groups, {0: 1.0, 1: 1.0})
    seen = [3 / 16, 2 / 9]
    assert freedom == round(sum(seen) ** 2 / (seen[0] ** 2 / 2 + seen[1] ** 2 / 1), 1)
    assert widening == pytest.approx(((sum(seen) + 1 / 16 + 1 / 9) / sum(seen)) ** 0.5)
    assert class_scores.of_strata(class_scores.groups_of(group[3:4], label[3:4]), {1: 1.0}) == (0.0, 1.0)


def studied(seeds: int) -> dict[Run, ClassPredictions]:
    """Three folds; the second has no image of class PT, and class TA has a single group."""
    found = {}
    for seed in range(seeds):
        for fold in (1, 2, 3):
            classes = (0, 1, 4) if fold == 2 else (0, 1, 2, 4) if fold == 1 else (0, 1, 2, 3, 4)
            label, logits = made(10 * fold, 60, classes)
            logits = logits + np.random.default_rng(seed).normal(size=logits.shape)
            group = np.array([f"{one}-{fold}-{0 if one == 3 else number % 2}" for number, one in enumerate(label)])
            names = tuple(f"{fold}-{number}" for number in range(60))
            run = Run("d", "m", "lp", "patient", 40, "none", seed, fold)
            found[run] = ClassPredictions(names, group, label, {"last": logits, "best_epoch": logits})
    return found


@pytest.mark.parametrize("seeds", [1, 2])
def test_rows_have_means_over_folds_and_pooled_scores_with_intervals(seeds):
    runs = studied(seeds)
    rows = class_scores.score(runs, CLASSES, {"patient": "patient"}, draws=400, seed=0)
    last = {(row["class"], row["metric"]): row for row in rows if row["selection"] == "last"}
    scored = {run: by_sklearn(part.label, part.logits["last"]) for run, part in runs.items()}
    for key, row in last.items():
        own = [scores[key] for scores in scored.values() if key in scores]
        assert row["fold_mean"] == pytest.approx(np.mean(own)), key
        assert row["seeds"] == seeds
        pooled = [
            by_sklearn(
                *(np.concatenate(parts) for parts in zip(*((p.label, p.logits["last"]) for p in one), strict=True))
            )
            for one in ([part for run, part in runs.items() if run.seed == seed] for seed in range(seeds))
        ]
        assert row["estimate"] == pytest.approx(np.mean([scores[key] for scores in pooled])), key
    assert [last[one, "recall"]["folds"] for one in CLASSES] == [3, 3, 2, 1, 3]
    names = {name for part in runs.values() for name in part.group.tolist()}
    of_class = [sum(name.startswith(f"{place}-") for name in names) for place in range(5)]
    assert [last[one, "recall"]["groups"] for one in CLASSES] == of_class
    assert of_class[3] == 1
    for one in ("A", "PT", "DC"):
        assert last[one, "recall"]["low"] <= last[one, "recall"]["estimate"] <= last[one, "recall"]["high"]
        assert last[one, "recall"]["low"] < last[one, "recall"]["high"]
    macro = last["all", "balanced_accuracy"]
    assert macro["fold_mean_low"] < macro["fold_mean"] < macro["fold_mean_high"]
    assert (last["TA", "recall"]["low"], last["TA", "recall"]["fold_std"]) == (None, None)  # a single group


def test_predictions_are_read_back_and_faults_are_one_sentence(tmp_path):
    class Image:
        image_id, accession, subtype = "x-1", "x", "DC"

    path, logits = tmp_path / "predictions.csv", np.array([0.1, -2.5, 3e-9, 7, 1 / 3], np.float32)

    def write(**changes):
        row = class_files.prediction_row(Image, "g", 2, CLASSES, logits, -logits)
        write_csv(path, class_files.prediction_columns(CLASSES), [row | changes])

    write()
    found = class_predictions.read(path, 2, CLASSES)
    assert (found.image_id, found.group.tolist(), found.label.tolist()) == (("x-1",), ["g"], [4])
    np.testing.assert_array_equal(found.logits["last"][0].astype(np.float32), logits)
    np.testing.assert_array_equal(found.logits["best_epoch"][0].astype(np.float32), -logits)
    faults = ({"fold": 1}, {"label": "MC"}, {"logit_PT": "nan"}, {"logit_PT": "much"}, {"best_epoch_logit_A": ""})
    for change in faults:
        write(**change)
        with pytest.raises(
            HistoBenchError, match=r"expected finite logits of images of fold 2 and of classes A, F, PT"
        ):
            class_predictions.read(path, 2, CLASSES)
