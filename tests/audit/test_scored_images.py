"""What an audit says of predictions: every number worked out from the images, and what the published GrC_SOM files give."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from histobench.audit import names
from histobench.audit.findings import Section, Table
from histobench.audit.prediction_tables import Columns, Prediction, Reading
from histobench.audit.scored_images import sections
from histobench.audit.scored_methods import Method
from histobench.audit.splits import Split
from histobench.datasets.breakhis import official
from histobench.evaluation import bootstrap, calibration
from histobench.evaluation.groups import Groups
from histobench.io.errors import HistoBenchError

ROOT = Path(__file__).parents[2]
SHARED = os.environ.get("HISTOBENCH_SHARED_DATA", "")
needs_shared = pytest.mark.skipif(
    not SHARED, reason="HISTOBENCH_SHARED_DATA is not set: there are no published predictions"
)
IMAGES = [one for one in official() if one.magnification in (40, 200) and int(one.image_id[-3:]) <= 4]
"""Up to 8 images of each slide."""
SLIDES = sorted({(one.label, one.slide) for one in IMAGES})
FOLD = {slide: number % 3 + 1 for number, slide in enumerate(SLIDES)}


def fold_of(image: Any) -> int:
    return FOLD[image.label, image.slide]


def score_of(image: Any, seed: int = 0) -> float:
    """Return a score that depends on slide and image, with ties."""
    rng = np.random.default_rng([seed, *image.image_id.encode()])
    slide = np.random.default_rng([seed, *image.slide.encode()]).normal(0, 1.2)
    return round(1 / (1 + np.exp(-(1.5 * (image.label == "malignant") - 0.5 + slide + rng.normal(0, 0.5)))), 2)


def written(file: Path, images: Sequence[Any], columns: Mapping[str, Any]) -> Path:
    lines = [",".join(["image", *columns])]
    lines += [",".join([f"{one.image_id}.png", *(str(value(one)) for value in columns.values())]) for one in images]
    file.write_text("\n".join(lines) + "\n")
    return file


def folds(path: Path, seed: int = 0) -> list[Path]:
    return [
        written(path / f"fold{number}.csv", [one for one in IMAGES if fold_of(one) == number], {"score": lambda one: score_of(one, seed)})
        for number in (1, 2, 3)
    ]  # fmt: skip


def table(section: Section, name: str) -> Table:
    return next(one for one in section.tables if one.name == f"predictions-{name}")


def records(found: Table) -> list[dict[str, Any]]:
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def by(found: Table, column: str = "score") -> dict[Any, dict[str, Any]]:
    return {row[column]: row for row in records(found)}


def arrays(images: Sequence[Any], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    label = np.array([one.label == "malignant" for one in images])
    return label, np.array([score_of(one, seed) for one in images])


def expected(images: Sequence[Any], seed: int = 0) -> dict[str, float]:
    label, score = arrays(images, seed)
    called = score >= 0.5
    slides = sorted({one.slide for one in images})
    right = {
        slide: [a == b for a, b, one in zip(called, label, images, strict=True) if one.slide == slide]
        for slide in slides
    }
    return {
        "accuracy": float(np.mean(called == label)),
        "balanced_accuracy": balanced_accuracy_score(label, called),
        "auc": roc_auc_score(label, score),
        "precision": precision_score(label, called),
        "recall": recall_score(label, called),
        "f1": f1_score(label, called),
        "patient_rate": float(np.mean([np.mean(one) for one in right.values()])),
    }


def test_scores_of_folds_are_those_of_scikit_learn(tmp_path: Path) -> None:
    (found,) = sections(folds(tmp_path), draws=200, draw_figures=False)
    of_folds = [expected([one for one in IMAGES if fold_of(one) == number]) for number in (1, 2, 3)]
    shown = by(table(found, "folds"), "fold")
    for number, wanted in enumerate(of_folds, 1):
        row = shown[f"fold{number}"]
        assert {name: row[name] for name in wanted} == pytest.approx(wanted)
        images = [one for one in IMAGES if fold_of(one) == number]
        assert (
            row["images"]
            == len(images)
            == row["true positives"] + row["false negatives"] + row["false positives"] + row["true negatives"]
        )
        assert row["accession numbers"] == len({one.accession for one in images})
    scores, pooled = by(table(found, "scores")), expected(IMAGES)
    for name in pooled:
        assert scores[name]["mean over folds"] == pytest.approx(np.mean([one[name] for one in of_folds]))
        assert scores[name]["slide low"] < scores[name]["mean over folds"] < scores[name]["slide high"]
        if name != "patient_rate":
            assert scores[name]["pooled"] == pytest.approx(pooled[name])
            assert (
                scores[name]["accession number low"]
                < scores[name]["mean over folds"]
                < scores[name]["accession number high"]
            )
            width, naive = (scores[name][f"{unit} high"] - scores[name][f"{unit} low"] for unit in ("slide", "image"))
            assert naive < width  # slides have effects
    assert (
        f"Accuracy is {np.mean([one['accuracy'] for one in of_folds]):.4f}, the mean over 3 folds" in found.sentences[0]
    )
    assert "times narrower" in found.sentences[1]


def test_intervals_are_those_of_the_images_drawn(tmp_path: Path) -> None:
    """A draw of slides, accession numbers or images is scored image by image, for a single file."""
    file = written(tmp_path / "p.csv", IMAGES, {"score": score_of})
    (found,) = sections([file], draws=200, seed=3, draw_figures=False)
    label, score = arrays(IMAGES)
    for unit, of in (
        ("slide", lambda one: one.slide),
        ("accession number", lambda one: one.accession),
        ("image", lambda one: one.image_id),
    ):
        group = np.array([of(one) for one in IMAGES])
        groups = Groups.of(group, label, np.ones(len(group), dtype=int))
        weights = bootstrap.resample(groups, 200, 3)[:, np.searchsorted(groups.names, group)]
        right = (score >= 0.5) == label
        drawn = {
            "accuracy": np.array([np.average(right, weights=one) for one in weights]),
            "auc": np.array([roc_auc_score(label, score, sample_weight=one) for one in weights]),
        }
        for name, values in drawn.items():
            row = by(table(found, "scores"))[name]
            ends = bootstrap.interval(row["value"], values, groups.freedom)
            assert (row[f"{unit} low"], row[f"{unit} high"]) == pytest.approx(ends), (unit, name)


def test_parts_magnifications_and_slides(tmp_path: Path) -> None:
    (found,) = sections(folds(tmp_path), draws=200, draw_figures=False)
    label, score = arrays(IMAGES)
    right = (score >= 0.5) == label
    parts = by(table(found, "parts"), "name")
    lobular = np.array([one.subtype == "LC" for one in IMAGES])
    assert parts["LC (lobular carcinoma)"]["share correct"] == pytest.approx(right[lobular].mean())
    assert parts["LC (lobular carcinoma)"]["slides"] == len({one.slide for one in IMAGES if one.subtype == "LC"})
    assert parts["benign"]["share correct"] == pytest.approx(right[~label].mean())
    # Slides of one class are drawn in one stratum: their number less 1.
    assert parts["benign"]["slide freedom"] == len({one.slide for one in IMAGES if one.label == "benign"}) - 1
    assert parts["benign"]["slide low"] < parts["benign"]["share correct"] < parts["benign"]["slide high"]
    rows = [row for row in records(table(found, "magnifications")) if row["score"] == "accuracy"]
    assert [row["magnification"] for row in rows] == [40, 200]
    of_folds = [
        np.mean([r for r, one in zip(right, IMAGES, strict=True) if (fold_of(one), one.magnification) == (number, 40)])
        for number in (1, 2, 3)
    ]
    assert rows[0]["value"] == pytest.approx(np.mean(of_folds))
    slides = records(table(found, "groups"))
    assert sum(row["errors"] for row in slides) == (~right).sum()
    assert [row["errors"] for row in slides] == sorted((row["errors"] for row in slides), reverse=True)
    errors = np.sort(
        [sum(row["errors"] for row in slides if row["slide"] == slide) for slide in {one.slide for one in IMAGES}]
    )[::-1]
    half = next(n for n in range(1, 99) if errors[:n].sum() * 2 >= errors.sum())
    assert any(f"are on {half} of {len(errors)} slides" in sentence for sentence in found.sentences)


def test_calibration_is_there_for_probabilities_alone(tmp_path: Path) -> None:
    (found,) = sections([written(tmp_path / "p.csv", IMAGES, {"score": score_of})], draws=100)
    label, score = arrays(IMAGES)
    rows = records(table(found, "calibration"))
    bins = np.minimum((np.round(score * 100) // 10).astype(int), 9)
    assert [row["images"] for row in rows] == np.bincount(bins, minlength=10).tolist()
    assert rows[3]["malignant share"] == pytest.approx(label[bins == 3].mean())
    gaps = [
        abs(score[bins == one].mean() - label[bins == one].mean()) * (bins == one).mean()
        for one in range(10)
        if (bins == one).any()
    ]
    assert by(table(found, "scores"))["ece"]["value"] == pytest.approx(sum(gaps))
    assert [text.startswith("<?xml") and "</svg>" in text for _, text in found.figures] == [True, True]
    logits = written(tmp_path / "l.csv", IMAGES, {"score": lambda one: 20 * score_of(one) - 10})
    (other,) = sections([logits], Reading(scale="logit"), draws=100)
    assert "predictions-calibration" not in [one.name for one in other.tables]
    assert len(other.figures) == 1
    assert by(table(other, "scores"))["auc"]["value"] == pytest.approx(roc_auc_score(label, score))


def test_predicted_classes_have_no_auc_and_go_before_scores(tmp_path: Path) -> None:
    columns = {"predicted": lambda one: "malignant" if score_of(one) >= 0.3 else "benign"}
    label, score = arrays(IMAGES)
    (found,) = sections([written(tmp_path / "a.csv", IMAGES, columns)], draws=100, draw_figures=False)
    assert "auc" not in by(table(found, "scores"))
    assert (
        by(table(found, "folds"), "fold")[
            "a" if len(found.data["folds"]) == 1 and found.data["folds"][0] == "a" else ""
        ]["auc"]
        is None
    )
    (found,) = sections(
        [written(tmp_path / "b.csv", IMAGES, columns | {"score": score_of})], draws=100, draw_figures=False
    )
    scores = by(table(found, "scores"))
    assert scores["accuracy"]["value"] == pytest.approx(np.mean((score >= 0.3) == label))
    assert scores["auc"]["value"] == pytest.approx(roc_auc_score(label, score))


def test_a_column_of_folds_is_the_same_as_files(tmp_path: Path) -> None:
    one = written(tmp_path / "p.csv", IMAGES, {"score": score_of, "fold": fold_of})
    (single,), (several,) = (sections(files, draws=200, draw_figures=False) for files in ([one], folds(tmp_path)))
    assert single.data["folds"] == ["1", "2", "3"]
    assert single.data["scores"] == several.data["scores"]


def test_siblings_in_training(tmp_path: Path) -> None:
    """Slides of fold 1 are evaluated, all others train."""
    images = [one for one in IMAGES if fold_of(one) == 1]
    known = {one.image_id: names.read(one.image_id) for one in IMAGES}
    parts = {"train": [one for one in IMAGES if fold_of(one) != 1], "test": images}
    split = Split("fold 1", {name: [known[one.image_id] for one in part] for name, part in parts.items()})  # type: ignore[misc]
    other = Split("other", {"train": split.sets["test"], "test": split.sets["train"]})
    file = written(tmp_path / "p.csv", images, {"score": score_of})
    (found,) = sections([file], splits=[other, split], draws=300, draw_figures=False)
    trains = {one.accession for one in parts["train"]}
    right = {one.image_id: (score_of(one) >= 0.5) == (one.label == "malignant") for one in images}
    shares = {
        (label, sibling): [
            right[one.image_id] for one in images if (one.label, one.accession in trains) == (label, sibling)
        ]
        for label in ("benign", "malignant")
        for sibling in (True, False)
    }
    rows = by(table(found, "sibling-differences"), "class")
    for label in ("benign", "malignant"):
        row = rows[label]
        assert row["with a sibling"] == pytest.approx(np.mean(shares[label, True]))
        assert row["without"] == pytest.approx(np.mean(shares[label, False]))
        assert row["difference"] == pytest.approx(row["with a sibling"] - row["without"])
        assert row["low"] <= row["difference"] <= row["high"]
    counts = {(row["class"], row["in training"]): row["predictions"] for row in records(table(found, "siblings"))}
    assert counts["benign", "another slide of the accession number"] == len(shares["benign", True])
    assert counts["malignant", "nothing of the accession number"] == len(shares["malignant", False])
    assert ("all", "the slide") not in counts
    assert any("Do not read a cause" in sentence for sentence in found.sentences)
    assert any("taken for those of fold 1" in warning for warning in found.warnings)
    with pytest.raises(HistoBenchError, match="no fold of the split evaluates more than half"):
        sections([file], splits=[other], draws=100, draw_figures=False)


def test_two_methods_on_the_same_images_are_paired(tmp_path: Path) -> None:
    files = [
        written(tmp_path / f"{name}.csv", IMAGES, {"score": lambda one, seed=seed: score_of(one, seed)})
        for name, seed in (("one", 0), ("two", 5))
    ]
    *each, pair = sections(files, draws=300, draw_figures=False)
    assert [section.title for section in each] == ["Predictions of one", "Predictions of two"]
    row = by(table(pair, "comparisons"))["accuracy"]
    accuracy = [expected(IMAGES, seed)["accuracy"] for seed in (0, 5)]
    assert (row["first value"], row["second value"]) == pytest.approx(accuracy)
    assert row["slide low"] <= row["difference"] <= row["slide high"]
    label, _ = arrays(IMAGES)
    rights = [(arrays(IMAGES, seed)[1] >= 0.5) == label for seed in (0, 5)]
    only = [int(np.sum(rights[a] & ~rights[b])) for a, b in ((0, 1), (1, 0))]
    from scipy.stats import binomtest

    assert row["image p"] == pytest.approx(binomtest(only[0], sum(only), 0.5).pvalue)
    assert row["image p"] < row["slide sign-flip p"]
    assert all(
        name.startswith(("predictions-m1-", "predictions-m2-", "predictions-comparisons"))
        for s in [*each, pair]
        for name in [t.name for t in s.tables]
    )
    # The same from one file with a column.
    text = ["image,method,score"] + [
        f"{one.image_id},{name},{score_of(one, seed)}" for name, seed in (("one", 0), ("two", 5)) for one in IMAGES
    ]
    (tmp_path / "both.csv").write_text("\n".join(text))
    assert sections([tmp_path / "both.csv"], draws=300, draw_figures=False)[-1].tables[0].rows == pair.tables[0].rows
    # Images that only one has are left out, and said.
    written(tmp_path / "two.csv", IMAGES[:-5], {"score": lambda one: score_of(one, 5)})
    *_, fewer = sections(files, files="methods", draws=100, draw_figures=False)
    assert "5 predictions are of images that not every method has" in fewer.warnings[0]


def test_printed_scores_that_are_exchanged_are_noticed(tmp_path: Path) -> None:
    files = folds(tmp_path)
    of_folds = [expected([one for one in IMAGES if fold_of(one) == number]) for number in (1, 2, 3)]
    printed = {name: [f"{one[name]:.3f}" for one in of_folds] for name in ("accuracy", "precision", "recall")}
    (right,) = sections(files, printed=printed, draws=100, draw_figures=False)
    assert any("All 9 printed scores are those" in sentence for sentence in right.sentences)
    turned = printed | {"precision": printed["recall"], "recall": printed["precision"]}
    (wrong,) = sections(files, printed=turned, draws=100, draw_figures=False)
    assert any("look exchanged" in sentence for sentence in wrong.sentences)
    mean = f"{np.mean([one['auc'] for one in of_folds]):.4f}"
    (found,) = sections(files, printed={"auc": [mean]}, draws=100, draw_figures=False)
    assert any("All 1 printed scores" in sentence for sentence in found.sentences)


def test_what_a_reader_must_know_is_said(tmp_path: Path) -> None:
    always = written(tmp_path / "p.csv", IMAGES, {"score": lambda one: 0.6 + 0.001 * (one.label == "benign")})
    (found,) = sections([always], draws=100, draw_figures=False)
    said = " ".join(found.sentences)
    assert "All images are called malignant." in said
    assert "AUC is below 0.5" in said
    perfect = written(tmp_path / "q.csv", IMAGES, {"score": lambda one: 0.9 if one.label == "malignant" else 0.1})
    assert "No image is called wrongly" in " ".join(sections([perfect], draws=100, draw_figures=False)[0].sentences)
    # Slides as folds: each has one class.
    single = written(tmp_path / "r.csv", IMAGES, {"score": score_of, "fold": lambda one: one.slide})
    (found,) = sections([single], draws=100, draw_figures=False)
    assert found.data["folds"] == ["all folds"]
    assert "images of one class only, so that all folds are pooled" in " ".join(found.warnings)


def test_other_datasets_resample_patients(tmp_path: Path) -> None:
    lines = ["file,who,truth,p"] + [
        f"i{n}.png,P{n % 12},{'sick' if n % 12 < 6 else 'well'},{(n * 37 % 100) / 100}" for n in range(96)
    ]
    (tmp_path / "p.csv").write_text("\n".join(lines))
    how = Reading(Columns(label="truth"), patient="who", positive="sick")
    (found,) = sections([tmp_path / "p.csv"], how, draws=100)
    assert "of 12 patients (6 with benign, 6 with malignant images)" in found.sentences[0]
    assert "patient low" in table(found, "scores").columns
    assert "accession" not in " ".join([*found.sentences, *(one.caption for one in found.tables)])


@pytest.mark.parametrize(
    ("made", "options", "words"),
    [
        (lambda path: [], {}, "no file of predictions"),
        (lambda path: [written(path / "p.csv", [one for one in IMAGES if one.label == "benign"], {"score": score_of})], {}, "are benign, but scores need both"),
        (lambda path: [folds(path)[0]], {"files": "methods"}, "single file without a column of methods"),
        (lambda path: [folds(path)[0]], {"files": "seeds"}, "expected folds or methods"),
        (lambda path: [folds(path)[0]] * 2, {}, "is given twice"),
        (lambda path: folds(path), {"files": "methods"}, "images in common"),
        (lambda path: folds(path), {"printed": {"accuracy": ["0.9", "0.8"]}}, "2 numbers for 3 folds"),
        (lambda path: folds(path), {"printed": {"accuracy": ["90.6"]}}, "divide percentages"),
        (lambda path: folds(path), {"printed": {"kappa": ["0.9"]}}, "is unknown"),
        (lambda path: folds(path), {"draws": 5}, "expected 100 to 100,000"),
    ],
)  # fmt: skip
def test_faults_of_files_and_options(made: Any, options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(HistoBenchError, match=words) as told:
        sections(made(tmp_path), **({"draws": 100, "draw_figures": False} | options))
    assert "\n" not in str(told.value)


def test_neither_torch_nor_pandas_is_imported(tmp_path: Path) -> None:
    files = [str(file) for file in folds(tmp_path)]
    code = (
        "import sys; from pathlib import Path; from histobench.audit.scored_images import sections\n"
        f"sections([Path(file) for file in {files}], draws=100)\n"
        "assert not {'torch', 'pandas', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT / "workflow")


def test_logits_keep_ranks_decisions_and_bins_of_scores() -> None:
    scores = [0.0, 1e-300, 0.1, 0.3, 0.49999999999999994, 0.5, 0.6, 0.7, 0.9, 1 - 2**-53, 1.0]
    image = names.ImageName("other", "i")
    for tie in (False, True):
        rows = [Prediction(image, 0, score > 0.5 or (score == 0.5 and not tie), score, False) for score in scores]
        logits = Method("m", "m", {"": rows}, "probabilities").logits
        assert list(logits) == ["scored"]
        logit = logits["scored"]
        assert np.all(np.diff(logit) > 0)
        assert ((logit >= 0) == [one.called for one in rows]).all()
        assert np.isfinite(logit).all()
        assert calibration.probability(logit) == pytest.approx(scores, abs=1e-15)
        assert calibration.bins(calibration.probability(logit)).tolist() == [0, 0, 1, 3, 4, 5, 6, 7, 9, 9, 9]


@needs_shared
def test_published_votes_of_three_official_folds() -> None:
    """GrC_SOM: README of the shared data has these figures."""
    folder = Path(SHARED) / "public-audit" / "raw" / "salvatorecalderaro__GrC_SOM"
    printed = {"precision": ["0.959", "0.861", "0.897"], "recall": ["0.904", "0.922", "0.929"]}
    (found,) = sections([folder / f"res_f{number}.csv" for number in (1, 2, 3)], printed=printed, draws=300)
    rows = records(table(found, "folds"))
    assert [f"{row['accuracy']:.4f}" for row in rows] == ["0.9063", "0.8531", "0.8824"]
    assert [f"{row['auc']:.4f}" for row in rows] == ["0.9411", "0.9186", "0.9452"]
    assert [f"{row['precision']:.3f}" for row in rows] == ["0.906", "0.927", "0.935"]
    assert [f"{row['recall']:.3f}" for row in rows] == ["0.955", "0.858", "0.893"]
    assert [row["benign slides"] + row["malignant slides"] for row in rows] == [28, 28, 28]
    assert [row["accession numbers"] for row in rows] == [27, 27, 27]
    assert any("precision and recall look exchanged" in sentence for sentence in found.sentences)
    assert len(found.figures) == 2


def test_a_file_for_each_method_and_fold_is_a_method_of_several_folds(tmp_path: Path) -> None:
    files = []
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        files += folds(tmp_path / str(seed), seed)
    one, two, both = sections(files, draws=200, draw_figures=False)
    for seed, section in enumerate((one, two)):
        (alone,) = sections(files[3 * seed : 3 * seed + 3], draws=200, draw_figures=False)
        assert section.data["scores"] == alone.data["scores"]
    assert len(both.data["pairs"]) > 0
    assert any("2 methods in 3 folds" in note for note in one.warnings)


def test_folds_are_named_as_in_the_file_and_a_constant_score_has_no_interval_of_images(tmp_path: Path) -> None:
    columns = {"fold": lambda one: (fold_of(one) + 1) % 3, "predicted": lambda _: "malignant"}
    file = written(tmp_path / "a.csv", IMAGES[::-1], columns)
    for given in ([file], [file, written(tmp_path / "b.csv", IMAGES, columns)]):
        first = sections(given, draws=200, draw_figures=False)[0]
        text = " ".join(first.sentences)
        assert first.data["folds"] == ["0", "1", "2"]
        assert "All images are called malignant." in text
        assert "resampling images" not in text
    benign = [slide for slide in SLIDES if slide[0] == "benign" and FOLD[slide] == 1][:2]
    few = [one for one in IMAGES if fold_of(one) != 1 or one.label == "malignant" or (one.label, one.slide) in benign]
    text = " ".join(sections([written(file, few, columns)], draws=200, draw_figures=False)[0].sentences)
    assert "2 in fold 2" in text


def test_more_groups_than_can_be_resampled_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "p.csv"
    file.write_text("image,label,score\n" + "".join(f"x{number},{number % 2},0.5\n" for number in range(20_001)))
    with pytest.raises(HistoBenchError, match="20,001 patients, or of unknown ones, expected at most 20,000"):
        sections([file], Reading(patient=r"case(\d+)", positive="1"))
