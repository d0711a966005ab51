from pathlib import Path

import pytest

from tests.scripts.running import Ended, rows, run


def score(folder: Path, *predictions: str) -> Ended:
    return run("score", folder, "--predictions", *predictions, "--metrics", "metrics.csv", "--summary", "summary.csv")


def predicted(folder: Path, model: str, fold: int, *logits: float, inside: int | None = None) -> str:
    """Write the predictions of one run: two malignant images of patient p, then two benign ones of patient q."""
    name = f"results/breakhis-01234567/runs/{model}/ft/patient/40x/none-89abcdef/seed0/fold{fold}/predictions.csv"
    lines = ["image_id,accession,group,fold,label,logit,best_epoch_logit"]
    for number, logit in enumerate(logits):
        malignant = number < 2
        lines.append(
            f"i{fold}{number},a,{'p' if malignant else 'q'},{inside or fold},{int(malignant)},{logit},{7 - 5 * number}"
        )
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("\n".join(lines) + "\n")
    return name


def test_scores_and_their_mean_from_the_predictions(tmp_path: Path) -> None:
    # Fold 1: all four right. Fold 2: one malignant missed, 3/4. Mean 0.875, deviation 0.25 / sqrt(2).
    paths = [predicted(tmp_path, "vgg19", 1, 3, 1, -1, -2), predicted(tmp_path, "vgg19", 2, 3, -0.5, -1, -2)]
    done = score(tmp_path, *paths)
    assert (done.returncode, done.stderr) == (0, "")
    metrics = rows(tmp_path / "metrics.csv")
    assert [(row["model"], row["magnification"], row["fold"], row["selection"]) for row in metrics] == [
        ("vgg19", "40", "1", "last"),
        ("vgg19", "40", "1", "best_epoch"),
        ("vgg19", "40", "2", "last"),
        ("vgg19", "40", "2", "best_epoch"),
    ]
    assert [float(row["accuracy"]) for row in metrics] == [1, 1, 0.75, 1]
    last, best = rows(tmp_path / "summary.csv")
    assert (last["selection"], last["folds"], float(last["accuracy_mean"])) == ("last", "2", 0.875)
    assert float(last["accuracy_std"]) == pytest.approx(0.25 / 2**0.5, abs=1e-12)
    assert (best["selection"], float(best["auc_mean"]), float(best["auc_std"])) == ("best_epoch", 1, 0)


def test_a_run_given_twice_is_refused(tmp_path: Path) -> None:
    path = predicted(tmp_path, "a", 1, 1, 2, -1, -2)
    assert score(tmp_path, path, path) == (1, f"error: {path}: is the same run as {path}; give each run once\n")


def test_predictions_of_another_fold_are_one_message_and_nothing_is_written(tmp_path: Path) -> None:
    path = predicted(tmp_path, "a", 1, 1, 2, -1, inside=2)
    status, said = score(tmp_path, path)
    assert (status, said) == (
        1,
        f"error: {path}, line 2: fold is '2', expected 1; delete the file to have it made again\n",
    )
    assert not (tmp_path / "summary.csv").exists()
