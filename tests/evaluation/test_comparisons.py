"""From predictions to rows: what an arm and a pair are given, and what is left out with one sentence."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from histobench.evaluation import bootstrap, statistics
from histobench.evaluation.comparisons import (
    CALIBRATION_COLUMNS,
    COMPARISONS_COLUMNS,
    EXTERNAL_INTERVALS_COLUMNS,
    INTERVALS_COLUMNS,
    Findings,
    analyse,
    external_intervals,
)
from histobench.evaluation.predictions import Predictions
from histobench.evaluation.summary import score_run, summarise
from histobench.io.errors import HistoBenchError
from histobench.metrics import METRICS, scores
from histobench.study.runs import Run

SPLITS = {name: {"by": name, "folds": 3} for name in ("patient", "official")}
ARMS = ("vgg19", "alexnet", "resnet34")
Runs = dict[Run, Predictions]


def predictions(model: str, fold: int) -> Predictions:
    """Return 3 malignant and 2 benign patients of 4 images; the model decides the logits, and nothing else."""
    rng = np.random.default_rng([ord(model[0]), fold])
    patient = np.repeat([f"{fold}-{number}" for number in range(5)], 4)
    label = np.repeat([1, 1, 1, 0, 0], 4).astype(np.int8)
    logits = {selection: np.round(rng.normal(1.2 * label - 0.5), 2) for selection in ("last", "best_epoch")}
    return Predictions(tuple(f"i{fold}{number:02d}" for number in range(20)), patient, label, logits)


def made(models: tuple[str, ...] = ARMS, split: str = "patient") -> Runs:
    return {
        Run("small", model, "ft", split, 40, "none", 0, fold): predictions(model, fold)
        for model in models
        for fold in (1, 2, 3)
    }


def analysed(runs: Runs, usable: Mapping[Run, Predictions] | None = None, **options: Any) -> Findings:
    return analyse(list(runs), runs if usable is None else usable, SPLITS, **({"draws": 200} | options))


def test_every_arm_has_intervals_of_its_pooled_scores() -> None:
    runs = made()
    found = analysed(runs)
    assert found.gaps == []
    assert len(found.intervals) == 3 * 2 * len(bootstrap.POOLED)
    assert all(tuple(row) == INTERVALS_COLUMNS for row in found.intervals)
    parts = [runs[Run("small", "alexnet", "ft", "patient", 40, "none", 0, fold)] for fold in (1, 2, 3)]
    label = np.concatenate([part.label for part in parts])
    pooled = scores(label, np.concatenate([part.logit["last"] for part in parts]))
    for row in found.intervals:
        if (row["model"], row["selection"]) == ("alexnet", "last") and row["metric"] in pooled:
            assert row["estimate"] == pytest.approx(pooled[row["metric"]])
            assert row["low"] < row["estimate"] < row["high"]
            assert (row["level"], row["patients"], row["images"]) == (0.95, 15, 60)
    assert len(found.calibration) == 3 * 2 * 10
    assert all(tuple(row) == CALIBRATION_COLUMNS for row in found.calibration)


def test_draws_and_flips_are_those_of_the_configured_seed() -> None:
    runs = made()
    found = analysed(runs, seed=7)
    vgg19, alexnet = (
        bootstrap.Clustered(*(np.concatenate(values) for values in zip(*parts, strict=True)))
        for parts in (
            [(part.label, part.logit["last"], part.group) for run, part in runs.items() if run.model == model]
            for model in ("vgg19", "alexnet")
        )
    )
    weights = bootstrap.resample(vgg19.names, vgg19.classes, 200, 7)
    flipped = bootstrap.sign_flip_p(vgg19, alexnet, bootstrap.flips(vgg19.names, 200, 7))
    drawn, (estimate,) = vgg19.values(weights)["accuracy"], vgg19.values()["accuracy"]
    wanted = {"model": "vgg19", "selection": "last", "metric": "accuracy"}.items()
    (row,) = (row for row in found.intervals if wanted <= row.items())
    assert (row["low"], row["high"]) == bootstrap.interval(estimate, drawn, vgg19.smaller)
    pair = {"second": "alexnet/ft", "selection": "last", "metric": "accuracy"}.items()
    (row,) = (row for row in found.comparisons if pair <= row.items())
    assert row["sign_flip_p"] == flipped["accuracy"]


def test_every_pair_is_compared_in_every_score() -> None:
    runs = made()
    found = analysed(runs)
    assert len(found.comparisons) == 3 * 2 * len(METRICS)
    assert all(set(row) == set(COMPARISONS_COLUMNS) for row in found.comparisons)
    pairs = list(dict.fromkeys((row["first"], row["second"]) for row in found.comparisons))
    assert pairs == [("vgg19/ft", "alexnet/ft"), ("vgg19/ft", "resnet34/ft"), ("alexnet/ft", "resnet34/ft")]
    row = next(row for row in found.comparisons if row["metric"] == "auc" and row["second"] == "resnet34/ft")
    first, second = (
        [scores(part.label, part.logit["last"])["auc"] for run, part in runs.items() if run.model == model]
        for model in ("vgg19", "resnet34")
    )
    differences = np.subtract(first, second)
    assert (row["first_value"], row["second_value"]) == pytest.approx((np.mean(first), np.mean(second)))
    assert row["difference"] == pytest.approx(differences.mean())
    assert row["effect_size"] == pytest.approx(differences.mean() / differences.std(ddof=1))
    # Three folds of 20 images: 20 evaluate where 40 train.
    assert (row["nadeau_bengio_t"], row["nadeau_bengio_p"]) == pytest.approx(statistics.nadeau_bengio(differences, 0.5))
    assert (row["folds"], row["patients"], row["wilcoxon_floor"], row["mcnemar_p"]) == (3, 15, 0.25, None)
    assert row["low"] <= row["pooled_difference"] <= row["high"]
    assert 0 < row["delong_p"] <= 1
    for selection, metric in product(("last", "best_epoch"), METRICS):
        rows = [row for row in found.comparisons if (row["selection"], row["metric"]) == (selection, metric)]
        assert [row["holm_p"] for row in rows] == statistics.holm([row["sign_flip_p"] for row in rows])


def test_a_declared_family_is_smaller_and_keeps_its_direction() -> None:
    everything, family = analysed(made()), analysed(made(), pairs=[("resnet34/ft", "vgg19/ft")])
    assert {(row["first"], row["second"]) for row in family.comparisons} == {("resnet34/ft", "vgg19/ft")}
    turned = {(row["metric"], row["selection"]): row for row in everything.comparisons if row["first"] == "vgg19/ft" and row["second"] == "resnet34/ft"}  # fmt: skip
    for row in family.comparisons:
        other = turned[row["metric"], row["selection"]]
        assert row["difference"] == -other["difference"]
        assert row["sign_flip_p"] == row["holm_p"] == other["sign_flip_p"]


def test_another_arm_changes_no_other_row_but_the_size_of_its_family() -> None:
    few, more = analysed(made(ARMS[:2])), analysed(made())
    assert [row for row in more.intervals if row["model"] != "resnet34"] == few.intervals
    kept = [row for row in more.comparisons if "resnet34/ft" not in (row["first"], row["second"])]
    assert [row | {"holm_p": 0} for row in kept] == [row | {"holm_p": 0} for row in few.comparisons]
    other_seed = analysed(made(ARMS[:2]), seed=1)
    assert [row["low"] for row in other_seed.intervals] != [row["low"] for row in few.intervals]


def test_a_missing_fold_leaves_out_its_arm_and_nothing_else() -> None:
    runs = made()
    usable = {run: part for run, part in runs.items() if (run.model, run.fold) != ("alexnet", 2)}
    found, everything = analysed(runs, usable), analysed(runs)
    assert [(gap.where, gap.what) for gap in found.gaps] == [
        (
            "small/alexnet/ft/patient/40/none",
            "small/alexnet/ft/patient/40/none: fold 2 is missing or unusable, so it has no intervals and is not compared",
        )
    ]
    assert found.intervals == [row for row in everything.intervals if row["model"] != "alexnet"]
    rest = [row for row in everything.comparisons if "alexnet/ft" not in (row["first"], row["second"])]
    assert [row | {"holm_p": 0} for row in found.comparisons] == [row | {"holm_p": 0} for row in rest]
    # The family was declared with three pairs: what could not be tested still counts.
    assert all(row["holm_p"] == pytest.approx(min(1, 3 * row["sign_flip_p"])) for row in found.comparisons)


@pytest.mark.parametrize("what", ["images", "labels", "patients"])
def test_an_arm_with_other_images_is_refused(what: str) -> None:
    runs = made()
    run = next(run for run in runs if (run.model, run.fold) == ("alexnet", 3))
    part = runs[run]
    label = part.label.copy()
    label[0] = 0
    runs[run] = {
        "images": replace(part, image_id=("new", *part.image_id[1:])),
        "labels": replace(part, label=label),
        "patients": replace(part, group=np.array(["other", *part.group[1:]])),
    }[what]
    message = f"vgg19/ft/patient/40/none \\({2 if what == 'images' else 1} images differ, the first is i300\\)"
    with pytest.raises(
        HistoBenchError, match=f"small/alexnet/ft/patient/40/none: images, .* not those of small/{message}"
    ):
        analysed(runs)


def test_overlapping_hold_outs_keep_what_resamples_patients() -> None:
    runs = made(ARMS[:2], "official")
    # The third hold-out evaluates the images of the first again.
    for run in list(runs):
        if run.fold == 3:
            first = replace(run, fold=1)
            runs[run] = replace(runs[run], image_id=runs[first].image_id, group=runs[first].group)
    found = analysed(runs)
    (gap,) = found.gaps
    assert "small/official: its hold-outs overlap" in gap.what
    for row in found.comparisons:
        assert row["nadeau_bengio_p"] is row["mcnemar_p"] is row["delong_p"] is None
        assert 0 < row["sign_flip_p"] <= 1
        assert row["patients"] == 10
    assert {row["images"] for row in found.intervals} == {60}


def test_the_external_test_has_intervals_of_the_mean_over_folds() -> None:
    rng = np.random.default_rng(4)
    label = np.repeat([0, 1], 30).astype(np.int8)
    patient = np.repeat([f"p{number}" for number in range(20)], 3)
    parts = [
        Predictions(tuple(map(str, range(60))), patient, label, {"last": np.round(rng.normal(label - 0.4), 1)})
        for _ in range(3)
    ]
    numbered = enumerate(parts, start=1)
    runs = {("bach", Run("small", "vgg19", "ft", "patient", 40, "none", 0, fold)): part for fold, part in numbered}
    rows = external_intervals(runs, 400)
    assert all(tuple(row) == EXTERNAL_INTERVALS_COLUMNS for row in rows)
    assert [row["metric"] for row in rows] == list(bootstrap.POOLED)
    assert {(row["folds"], row["patients"], row["images"]) for row in rows} == {(3, 20, 60)}
    for row in rows[:5]:
        expected = [scores(part.label, part.logit["last"])[row["metric"]] for part in parts]
        assert row["estimate"] == pytest.approx(np.mean(expected))
        assert row["low"] < row["estimate"] < row["high"]
    # Three models that say the same are one model: the same patients are drawn for each of them.
    same = external_intervals(dict.fromkeys(runs, parts[0]), 400)
    (alone,) = external_intervals(dict.fromkeys(list(runs)[:1], parts[0]), 400)[:1]
    assert (same[0]["low"], same[0]["high"]) == pytest.approx((alone["low"], alone["high"]))


def test_the_mean_over_folds_has_an_interval_of_the_same_draws_of_patients() -> None:
    runs = made(("vgg19", "alexnet"))
    found = analysed(runs, seed=3)
    parts = {name: [part for run, part in runs.items() if run.model == name] for name in ("vgg19", "alexnet")}
    patients = np.unique(np.concatenate([part.group for part in parts["vgg19"]]))
    weights = bootstrap.resample(patients, np.array([1, 1, 1, 2, 2] * 3), 200, 3).astype(int)

    def mean(model: str, metric: str, draw: np.ndarray) -> float:
        """Return the mean over the folds whose drawn images, repeated one by one, have both classes."""
        values = []
        for part in parts[model]:
            times = draw[np.searchsorted(patients, part.group)]
            label, logit = np.repeat(part.label, times), np.repeat(part.logit["last"], times)
            if 0 < label.sum() < len(label):
                values.append(scores(label, logit)[metric])
        return float(np.mean(values)) if values else np.nan

    for metric in ("accuracy", "auc", "f1"):
        drawn = {model: np.array([mean(model, metric, draw) for draw in weights]) for model in parts}
        row = next(r for r in found.intervals if (r["model"], r["metric"], r["selection"]) == ("vgg19", metric, "last"))
        whole = mean("vgg19", metric, np.ones(15, dtype=int))
        assert row["fold_mean"] == pytest.approx(whole)
        ends = bootstrap.interval(whole, drawn["vgg19"], 6)
        assert (row["fold_mean_low"], row["fold_mean_high"]) == pytest.approx(ends)
        assert (row["smaller_class"], row["one_class"]) == (6, "")
        pair = next(r for r in found.comparisons if (r["metric"], r["selection"]) == (metric, "last"))
        ends = bootstrap.interval(pair["difference"], drawn["vgg19"] - drawn["alexnet"], 6)
        assert (pair["difference_low"], pair["difference_high"]) == pytest.approx(ends)


@pytest.mark.parametrize(
    ("logits", "expected"),
    [((1.0, 1.0, 1.0), "malignant"), ((-1.0, -1.0, -1.0), "benign"), ((-1.0, 1.0, 1.0), "3 of 3 folds")],
)
def test_an_arm_that_calls_all_images_alike_is_said_to(logits: tuple[float, ...], expected: str) -> None:
    runs = {
        run: replace(part, logit=dict.fromkeys(part.logit, np.full(20, logits[run.fold - 1])))
        for run, part in made(("vgg19",)).items()
    }
    assert {row["one_class"] for row in analysed(runs).intervals} == {expected}
    rows = [row for run, part in runs.items() for row in score_run(run, part)]
    assert {row["one_class"] for row in summarise(rows)} == {expected}
    mixed = runs | {run: part for run, part in made(("vgg19",)).items() if run.fold == 1}
    assert {row["one_class"] for row in analysed(mixed).intervals} == {"2 of 3 folds"}
