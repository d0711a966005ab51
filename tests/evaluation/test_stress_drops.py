"""The stress test's statistics: drops worked out by hand, paired intervals, and what cannot be given."""

import csv

import numpy as np
import pytest

from histobench.evaluation import stress
from histobench.io.errors import HistoBenchError
from histobench.study.runs import Run
from histobench.study.stress_settings import COLUMNS, CONDITIONS

SPLITS = {"patient": {"by": "patient", "folds": 2, "unit": "patient"}}
FOLDER = "results/made-00000000/stress/small/ft/patient/200x/none-00000000/seed0"


def write(folder, fold, wrong, groups=4, images=5):
    """Write what a run predicts: of each group of each class, `wrong` of its images are called wrong, {condition: number}."""
    path = folder / FOLDER / f"fold{fold}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(fold)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for shift, strength in CONDITIONS:
            for label in (0, 1):
                for group in range(groups):
                    false = wrong.get((shift, strength), 0)
                    for number in range(images):
                        sign = 1 if bool(label) == (number >= false) else -1
                        name = f"f{fold}-{label}-{group}"
                        writer.writerow([f"{name}-{number}", name, label, shift, strength, sign * random.uniform(1, 2)])
    return path


def of(rows, shift, strength, metric="accuracy"):
    (row,) = [row for row in rows if (row["shift"], row["strength"], row["metric"]) == (shift, strength, metric)]
    return row


def test_drops_are_differences_of_means_over_folds(tmp_path):
    wrong = {("blur", strength): strength - 1 for strength in range(1, 6)}  # of 5 images
    paths = [write(tmp_path, 1, wrong), write(tmp_path, 2, {})]
    runs = stress.read_runs(paths)
    assert [run.fold for run in runs] == [1, 2]
    arm = Run("made", "small", "ft", "patient", 200, "none", 0, 1).arm
    rows = stress.drops(runs, {arm: ["blur", "jpeg"]}, SPLITS, draws=200)
    assert all(
        set(row) == set(stress.STRESS_COLUMNS) for row in (dict.fromkeys(stress.STRESS_COLUMNS) | row for row in rows)
    )
    assert {row["shift"] for row in rows} == {"none", "blur", "jpeg", "all"}
    assert (of(rows, "none", 0)["estimate"], of(rows, "none", 0).get("drop")) == (1, None)
    third = of(rows, "blur", 3)
    # Fold 1 calls 3 of 5 right, fold 2 all.
    assert (third["estimate"], third["drop"], third["value"]) == (pytest.approx(0.8), pytest.approx(0.2), 3)
    blur, whole = of(rows, "blur", "mean"), of(rows, "all", "mean")
    assert blur["drop"] == pytest.approx(np.mean([0, 0.1, 0.2, 0.3, 0.4]))
    assert whole["drop"] == pytest.approx(blur["drop"] / 2)  # JPEG costs nothing
    balanced = of(rows, "all", "mean", "balanced_accuracy")
    assert balanced["relative_drop"] == pytest.approx(whole["drop"] / 0.5)
    assert whole.get("relative_drop") is None
    # Every group loses the same, so that nothing varies.
    assert (third["drop_low"], third["drop_high"]) == (pytest.approx(0.2), pytest.approx(0.2))
    assert (third["groups"], third["benign_groups"], third["folds"], third["images"]) == (16, 8, 2, 80)


def test_drops_are_paired_and_guesses_have_no_relative_drop(tmp_path):
    random, runs = np.random.default_rng(0), {}
    for fold in (1, 2):
        path = write(tmp_path, fold, {}, groups=6)
        with path.open() as file:
            rows = list(csv.DictReader(file))
        easy = {row["group"]: random.uniform(-1, 3) for row in rows}
        for row in rows:  # groups differ much; an image altered by stain loses the same everywhere
            loss = 0.0 if row["shift"] != "stain" else 0.4
            row["logit"] = (1 if row["label"] == "1" else -1) * (
                easy[row["group"]] + 0.3 * int(row["image_id"][-1]) - loss
            )
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        runs |= stress.read_runs([path])
    arm = next(iter(runs)).arm
    found = stress.drops(runs, {arm: ["stain"]}, SPLITS, draws=500)
    plain, altered = of(found, "none", 0), of(found, "stain", 1)
    assert 0 < altered["drop"] < 0.2
    assert altered["drop_high"] - altered["drop_low"] < plain["estimate_high"] - plain["estimate_low"]
    assert altered["drop_low"] >= 0  # nothing gets better in any draw

    guesses = dict.fromkeys(CONDITIONS, 3)  # 2 of 5 are right
    runs = stress.read_runs([write(tmp_path, 1, guesses), write(tmp_path, 2, guesses)])
    row = of(stress.drops(runs, {arm: ["stain"]}, SPLITS, draws=200), "all", "mean", "balanced_accuracy")
    assert row["estimate"] == pytest.approx(0.4)
    assert row.get("relative_drop") is None


def test_a_damaged_file_is_one_sentence(tmp_path):
    path = write(tmp_path, 1, {})
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    with pytest.raises(HistoBenchError, match="lacks rows of an image, a shift or a strength"):
        stress.read_runs([path])
    with pytest.raises(HistoBenchError, match="names no run"):
        stress.read_runs([tmp_path / "fold1.csv"])
