"""From predictions to rows: what an arm and a pair are given, and what is left out with one sentence."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

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
from histobench.evaluation.groups import Groups
from histobench.evaluation.predictions import Predictions
from histobench.evaluation.summary import score_run, summarise, with_groups
from histobench.io.errors import HistoBenchError
from histobench.metrics import METRICS, scores
from histobench.study.runs import Run

SPLITS = {name: {"by": name, "folds": 3, "unit": "patient"} for name in ("patient", "official")}
ARMS = ("vgg19", "alexnet", "resnet34")
Runs = dict[Run, Predictions]
GROUPS = Groups(
    tuple(f"{fold}-{number}" for fold in (1, 2, 3) for number in range(5)),
    (1, 1, 1, 2, 2) * 3,
    tuple(np.repeat([1, 2, 3], 5).tolist()),
)
"""Of the predictions below."""


def predictions(model: str, fold: int) -> Predictions:
    """Return 3 malignant and 2 benign patients of 4 images; the model decides the logits, and nothing else."""
    rng = np.random.default_rng([ord(model[0]), fold])
    patient = np.repeat([f"{fold}-{number}" for number in range(5)], 4)
    label = np.repeat([1, 1, 1, 0, 0], 4).astype(np.int8)
    logits = {selection: np.round(rng.normal(1.2 * label - 0.5), 2) for selection in ("last", "best_epoch")}
    return Predictions(tuple(f"i{fold}{number:02d}" for number in range(20)), patient, label, logits, patient)


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
    accession = {
        f"accession_{name}" for name in ("mean", "low", "high", "benign", "malignant")
    }  # which are only where accession numbers are not the groups
    assert all(row.keys() | accession == set(INTERVALS_COLUMNS) for row in found.intervals)
    parts = [runs[Run("small", "alexnet", "ft", "patient", 40, "none", 0, fold)] for fold in (1, 2, 3)]
    label = np.concatenate([part.label for part in parts])
    pooled = scores(label, np.concatenate([part.logit["last"] for part in parts]))
    for row in found.intervals:
        if (row["model"], row["selection"]) == ("alexnet", "last") and row["metric"] in pooled:
            assert row["estimate"] == pytest.approx(pooled[row["metric"]])
            assert row["low"] < row["estimate"] < row["high"]
            assert (row["level"], row["groups"], row["images"]) == (0.95, 15, 60)
            assert (row["unit"], row["benign_groups"], row["malignant_groups"], row["freedom"]) == (
                "patient",
                6,
                9,
                3,
            )
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
    groups = GROUPS
    flipped = bootstrap.sign_flip_p([(vgg19, alexnet)], bootstrap.flips(groups, 200, 7))
    drawn, (estimate,) = vgg19.values(bootstrap.resample(groups, 200, 7))["accuracy"], vgg19.values()["accuracy"]
    wanted = {"model": "vgg19", "selection": "last", "metric": "accuracy"}.items()
    (row,) = (row for row in found.intervals if wanted <= row.items())
    assert (row["low"], row["high"]) == pytest.approx(bootstrap.interval(estimate, drawn, 3))
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
    assert (row["folds"], row["groups"], row["wilcoxon_floor"], row["mcnemar_p"]) == (3, 15, 0.25, None)
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


def test_overlapping_hold_outs_keep_what_resamples_groups() -> None:
    runs = made(ARMS[:2], "official")
    # The third hold-out evaluates the images of the first again.
    for run in list(runs):
        if run.fold == 3:
            first = replace(run, fold=1)
            runs[run] = replace(
                runs[run], image_id=runs[first].image_id, group=runs[first].group, accession=runs[first].group
            )
    found = analysed(runs)
    (gap,) = found.gaps
    assert "small/official: its hold-outs overlap" in gap.what
    for row in found.comparisons:
        assert row["nadeau_bengio_p"] is row["mcnemar_p"] is row["delong_p"] is None
        assert 0 < row["sign_flip_p"] <= 1
        assert row["groups"] == 10
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
    runs = {
        ("bach", "matched", Run("small", "vgg19", "ft", "patient", 40, "none", 0, fold)): part
        for fold, part in numbered
    }
    rows, draws = external_intervals(runs, 400)
    assert all(set(row) == set(EXTERNAL_INTERVALS_COLUMNS) for row in rows)
    assert [row["metric"] for row in rows] == list(bootstrap.POOLED)
    assert {(row["scale"], row["folds"], row["groups"], row["freedom"], row["images"]) for row in rows} == {
        ("matched", 3, 20, 9, 60)
    }
    for row in rows[:5]:
        expected = [scores(part.label, part.logit["last"])[row["metric"]] for part in parts]
        assert row["estimate"] == pytest.approx(np.mean(expected))
        assert row["low"] < row["estimate"] < row["high"]
    # Three models that say the same are one model: the same patients are drawn for each of them.
    same, _ = external_intervals(dict.fromkeys(runs, parts[0]), 400)
    (alone, *_), kept = external_intervals(dict.fromkeys(list(runs)[:1], parts[0]), 400)
    place = "bach/matched/small/vgg19/ft/patient/40/none"
    assert list(draws) == list(kept) == [f"{place}/{metric}" for metric in METRICS]
    assert kept[f"{place}/auc"].shape == (400,)
    assert (same[0]["low"], same[0]["high"]) == pytest.approx((alone["low"], alone["high"]))
    # Two seeds that differ add the variance of training; two that are alike add none.
    first = next(iter(runs))
    second = (*first[:2], replace(first[2], seed=1))
    twice, _ = external_intervals({first: parts[0], second: parts[0]}, 400)
    assert (twice[0]["low"], twice[0]["high"]) == pytest.approx((alone["low"], alone["high"]))
    assert (twice[0]["folds"], twice[0]["seeds"], alone["seeds"]) == (1, 2, 1)
    reverse = replace(parts[0], logit={"last": -parts[0].logit["last"]})
    _, both = external_intervals({first: parts[0], second: reverse}, 400)
    _, other = external_intervals({second: reverse}, 400)
    assert both[f"{place}/auc"].std() > 1.2 * ((kept[f"{place}/auc"] + other[f"{place}/auc"]) / 2).std()
    # A run is missing: the mean over folds of the means over seeds, as Table 6 has it, without the variance of training.
    fold = (*first[:2], replace(first[2], fold=2))
    (missing, *_), _ = external_intervals({first: parts[0], second: parts[1], fold: parts[2]}, 400)
    accuracy = [scores(part.label, part.logit["last"])["accuracy"] for part in parts]
    assert missing["estimate"] == pytest.approx((np.mean(accuracy[:2]) + accuracy[2]) / 2)
    assert (missing["folds"], missing["seeds"]) == (2, 1)


def test_known_patients_of_another_dataset_are_resampled_whole() -> None:
    """As BACH: some images have a known patient, the others are named by themselves; a patient may have both classes."""
    rng = np.random.default_rng(6)
    names = tuple(f"i{number:02}" for number in range(60))
    label = np.repeat([0, 1], 30).astype(np.int8)
    group = np.array(names, "U9")
    group[20:40], group[50:60] = "patient-1", "patient-2"  # ten benign and ten malignant images, ten malignant ones
    logit = rng.normal(label - 0.5) + 2.0 * (group == "patient-2")
    run = Run("small", "vgg19", "ft", "patient", 40, "none", 0, 1)
    known, alone = (
        external_intervals({("bach", "squashed", run): Predictions(names, units, label, {"last": logit})}, 2000)[0]
        for units in (group, np.array(names))
    )
    counts = [
        [row[0][name] for name in ("known_patients", "known_images", "images", "groups")] for row in (known, alone)
    ]
    assert counts == [[2, 30, 60, 32], [0, 0, 60, 60]]
    # A patient of both classes is a class of its own: it is in every draw, with all its images.
    groups = Groups.of(group, label, np.zeros(60, dtype=int))
    weights = bootstrap.resample(groups, 50, 0)
    assert np.all(weights[:, groups.names.index("patient-1")] == 1)
    assert weights[:, groups.names.index("patient-2")].max() > 1  # drawn among the malignant ones
    recall = [next(row for row in rows if row["metric"] == "recall") for rows in (known, alone)]
    assert recall[0]["estimate"] == recall[1]["estimate"]
    assert recall[0]["high"] - recall[0]["low"] > recall[1]["high"] - recall[1]["low"]


def weighted(label: np.ndarray, logit: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    """Return accuracy, F1-score and AUC of weighted images by scikit-learn."""
    called = logit >= 0
    return {
        "accuracy": accuracy_score(label, called, sample_weight=weight),
        "f1": f1_score(label, called, sample_weight=weight),
        "auc": roc_auc_score(label, logit, sample_weight=weight),
    }


def test_the_mean_over_folds_has_an_interval_of_groups_drawn_within_folds() -> None:
    runs = made(("vgg19", "alexnet"))
    found = analysed(runs, seed=3, draws=40)
    parts = {name: [part for run, part in runs.items() if run.model == name] for name in ("vgg19", "alexnet")}
    weights = bootstrap.resample(GROUPS, 40, 3)

    def means(model: str, draws: np.ndarray) -> dict[str, np.ndarray]:
        scored = [
            [
                weighted(part.label, part.logit["last"], draw[np.searchsorted(GROUPS.names, part.group)])
                for part in parts[model]
            ]
            for draw in draws
        ]
        return {metric: np.array([np.mean([f[metric] for f in folds]) for folds in scored]) for metric in scored[0][0]}

    drawn = {model: means(model, weights) for model in parts}
    whole = {model: means(model, np.ones((1, 15))) for model in parts}
    for metric in ("accuracy", "auc", "f1"):
        row = next(r for r in found.intervals if (r["model"], r["metric"], r["selection"]) == ("vgg19", metric, "last"))
        assert row["fold_mean"] == pytest.approx(whole["vgg19"][metric][0])
        ends = bootstrap.interval(row["fold_mean"], drawn["vgg19"][metric], 3)
        assert (row["fold_mean_low"], row["fold_mean_high"]) == pytest.approx(ends)
        assert (row["freedom"], row["seeds"], row["one_class"]) == (3, 1, "")
        kept = found.draws[f"small/vgg19/ft/patient/40/none/last/{metric}"]
        assert kept.dtype == np.float32
        assert kept == pytest.approx(drawn["vgg19"][metric], abs=1e-6)
        pair = next(r for r in found.comparisons if (r["metric"], r["selection"]) == (metric, "last"))
        ends = bootstrap.interval(pair["difference"], drawn["vgg19"][metric] - drawn["alexnet"][metric], 3)
        assert (pair["difference_low"], pair["difference_high"]) == pytest.approx(ends)


def test_several_seeds_are_averaged() -> None:
    # The second seed of one arm is what another arm says with its first.
    runs, second = made(("vgg19",)), made(("resnet34",))
    both = runs | {replace(run, seed=1, model="vgg19"): part for run, part in second.items()}
    found, alone, other = analysed(both), analysed(runs), analysed(second)
    assert {row["seeds"] for row in found.intervals} == {2}
    assert {row["few_groups"][:17] for row in found.intervals} == {"benign: 2 in fold"}
    for row, one, two in zip(found.intervals, alone.intervals, other.intervals, strict=True):
        assert row["fold_mean"] == pytest.approx((one["fold_mean"] + two["fold_mean"]) / 2)
    place = "small/{}/ft/patient/40/none/last/auc".format
    drawn = (alone.draws[place("vgg19")] + other.draws[place("resnet34")]) / 2
    # The variance of training, of two seeds that differ, is added; of seeds that are alike there is none.
    assert found.draws[place("vgg19")].std() > 1.2 * drawn.std()
    alike = analysed(runs | {replace(run, seed=1): part for run, part in runs.items()})
    assert alike.draws[place("vgg19")] == pytest.approx(alone.draws[place("vgg19")], abs=1e-6)
    rows = [row for run, part in both.items() for row in score_run(run, part)]
    for line in with_groups(summarise(rows), both):
        folds = [
            np.mean([r["auc"] for r in rows if (r["fold"], r["selection"]) == (fold, line["selection"])])
            for fold in (1, 2, 3)
        ]
        assert (line["folds"], line["auc_mean"]) == (3, pytest.approx(np.mean(folds)))
        assert line["auc_std"] == pytest.approx(np.std(folds, ddof=1))
        few = "2 in fold 1, 2 in fold 2, 2 in fold 3"
        assert (line["groups"], line["benign_groups"], line["malignant_groups"]) == (15, 6, 9)
        assert line["few_groups"] == f"benign: {few}; malignant: {few.replace('2 in', '3 in')}"
    del both[next(run for run in both if (run.seed, run.fold) == (1, 2))]
    (gap,) = analyse([*runs, *(replace(run, seed=1) for run in runs)], both, SPLITS, draws=20).gaps
    assert "fold 2 of seed 1 is missing" in gap.what


def test_arms_with_as_many_seeds_are_swapped_seed_by_seed() -> None:
    said = {("vgg19", 0): "vgg19", ("vgg19", 1): "resnet34", ("alexnet", 0): "alexnet", ("alexnet", 1): "densenet"}
    runs = {
        replace(run, seed=seed, model=model): part
        for (model, seed), speaker in said.items()
        for run, part in made((speaker,)).items()
    }
    counted = {
        key: bootstrap.Clustered(
            *(
                np.concatenate(values)
                for values in zip(
                    *((part.label, part.logit["last"], part.group) for part in made((speaker,)).values()), strict=True
                )
            )
        )
        for key, speaker in said.items()
    }
    pairs = [(counted["vgg19", seed], counted["alexnet", seed]) for seed in (0, 1)]
    expected = bootstrap.sign_flip_p(pairs, bootstrap.flips(GROUPS, 200, 0))
    found = [row for row in analysed(runs).comparisons if row["selection"] == "last"]
    assert {row["metric"]: row["sign_flip_p"] for row in found} == expected
    assert {(row["first_seeds"], row["second_seeds"]) for row in found} == {(2, 2)}


def test_accession_numbers_are_resampled_beside_the_patients_that_share_them() -> None:
    # Every benign patient of folds 1 and 2 with one number: 4 patients, 2 accession numbers, each in both folds.
    def shared(group: np.ndarray) -> np.ndarray:
        return np.array([f"12{name[1:]}" if name[0] in "12" and name[2] in "34" else name for name in group])

    runs = {run: replace(part, accession=shared(part.group)) for run, part in made(("vgg19",)).items()}
    row = next(row for row in analysed(runs).intervals if (row["metric"], row["selection"]) == ("auc", "last"))
    plain = next(row for row in analysed(made(("vgg19",))).intervals if row["metric"] == "auc")
    assert "accession_low" not in plain
    assert (row["accession_benign"], row["accession_malignant"]) == (4, 9)
    assert (row["groups"], row["fold_mean_low"]) == (15, plain["fold_mean_low"])
    assert row["accession_low"] < row["accession_mean"] == row["fold_mean"] < row["accession_high"]
    # Of the patient rate the means differ, because it is a mean over groups: here all of a class and fold are of one number.
    merged = {run: replace(part, accession=part.label.astype(str)) for run, part in made(("vgg19",)).items()}
    rate = next(r for r in analysed(merged).intervals if (r["metric"], r["selection"]) == ("patient_rate", "last"))
    right = [[part.label == (part.logit["last"] >= 0), part.label, part.group] for part in merged.values()]
    of_classes = [np.mean([ok[label == one].mean() for one in (0, 1)]) for ok, label, _ in right]
    of_patients = [np.mean([ok[group == one].mean() for one in set(group)]) for ok, _, group in right]
    assert rate["accession_mean"] == pytest.approx(np.mean(of_classes))
    assert rate["fold_mean"] == pytest.approx(np.mean(of_patients)) != rate["accession_mean"]
    groups = Groups.of(
        *(
            np.concatenate(values)
            for values in zip(*((p.accession, p.label, np.full(20, r.fold)) for r, p in runs.items()), strict=True)
        )
    )
    assert (groups.counts["benign_groups"], set(groups.folds), groups.freedom) == (4, {0}, 3)


@pytest.mark.parametrize(
    ("logits", "expected"),
    [((1.0, 1.0, 1.0), "malignant"), ((-1.0, -1.0, -1.0), "benign"), ((-1.0, 1.0, 1.0), "3 of 3 models")],
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
    assert {row["one_class"] for row in analysed(mixed).intervals} == {"2 of 3 models"}
