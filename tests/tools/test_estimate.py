"""Jobs, images and operations of a study against sums by hand."""

import json
from collections import Counter
from pathlib import Path

import pytest

from histobench.study import paths
from histobench.tools.arms import cost
from histobench.tools.estimate import Estimate, kind_of, shared_seconds, training_seconds
from histobench.tools.images import images
from histobench.tools.studies import study

AT = {40: 1995, 100: 2081, 200: 2013, 400: 1820}  # images of BreakHis, by its paper


@pytest.fixture
def paper(folder):
    return study()


def finish(config, run) -> None:
    """Leave what a finished run leaves."""
    settings = config.specification(run.model, run.mode, run.magnification, run.augmentation, run.fold)
    place = Path(run.folder)
    place.mkdir(parents=True)
    (place / "run.json").write_text(json.dumps({"specification": json.loads(settings.canonical())}))
    (place / "predictions.csv").touch()


def test_the_papers_study_has_the_passes_that_can_be_counted_by_hand(paper):
    estimate = Estimate(paper)
    assert estimate.images["breakhis"].at == AT
    assert len(estimate.training) == 7 * 2 * 4 * 5  # arms, augmentations, magnifications, folds
    # Every fold trains on four fifths and evaluates the rest, in each of 20 epochs.
    assert sum(job.passes for job in estimate.training) == 7909 * 5 * 20 * 7 * 2
    kinds = Counter((job.kind, job.model) for job in estimate.shared)
    stores = dict.fromkeys(
        [(kind, model) for kind in ("tokens", "features") for model in ("qwen2-vl-2b", "smolvlm")], 8
    )
    assert kinds == stores | {("predict", "resnet34"): 20, ("predict", "smolvlm"): 20}
    tokens = [job for job in estimate.shared if job.kind == "tokens" and job.model == "smolvlm"]
    assert sum(job.passes for job in tokens) == 7909 * (20 + 1)
    assert sum(job.augmented for job in tokens) == 7909 * 20
    assert all(job.passes == 400 for job in estimate.shared if job.kind == "predict")
    assert not any(job.done for job in estimate.jobs)


def test_seconds_are_operations_over_the_rate(paper):
    run = next(
        run for run in paper.runs if (run.model, run.magnification, run.augmentation) == ("resnet34", 40, "paper")
    )
    counted = cost(paper, "resnet34", "ft")
    expected = 20 * (1596 * counted.training + 399 * counted.evaluation) / 1e12
    assert training_seconds(paper, 1e12)[run] == pytest.approx(expected)
    assert training_seconds(paper, lambda job: 2e12 if job.run == run else 1)[run] == pytest.approx(expected / 2)
    shared = shared_seconds(paper, 1e12)
    place = {"dataset": "breakhis", "model": "smolvlm", "magnification": 400, "augmentation": "paper", "views": 20}
    lora = cost(paper, "smolvlm", "ft")
    assert shared[paths.TOKENS.format(**place)] == pytest.approx(1820 * 20 * lora.tower / 1e12)
    assert shared[paths.FEATURES.format(**place)] == pytest.approx(1820 * 20 * lora.embedding / 1e12)


def test_what_stands_is_done_and_needs_no_tokens(folder):
    config = study([Path("config/demo.yaml")])
    lora = [run for run in config.runs if run.model == "smolvlm-tiny" and run.mode == "ft" and run.magnification == 40]
    for run in lora:
        finish(config, run)
    estimate = Estimate(config)
    assert {job.run for job in estimate.training if job.done} == set(lora)
    place = {"dataset": "synthetic", "model": "smolvlm-tiny", "magnification": 40}
    views = [{"augmentation": "none", "views": 1}, {"augmentation": "paper", "views": 8}]

    def tokens() -> list[bool]:
        jobs = {job.name: job.done for job in Estimate(config).shared}
        return [jobs[paths.TOKENS.format(**place, **view)] for view in views]

    assert tokens() == [False, False]  # the probes' embeddings are made of them
    for view in views:
        embeddings = Path(paths.FEATURES.format(**place, **view))
        embeddings.parent.mkdir(parents=True)
        embeddings.touch()
    assert tokens() == [True, True]


def test_a_changed_setting_undoes_a_run(folder):
    config = study([Path("config/demo.yaml")])
    finish(config, config.runs[0])
    assert Estimate(config).training[0].done
    (folder / "more.yaml").write_text("modes: {ft: {epochs: 9}}")
    changed = study([Path("config/demo.yaml"), Path("more.yaml")])
    assert changed.runs[0] == config.runs[0]
    assert not Estimate(changed).training[0].done


def test_live_images_need_no_tokens(folder):
    (folder / "live.yaml").write_text("modes: {ft: {vision: live}, lp: {vision: live}}")
    config = study([Path("config/demo.yaml"), Path("live.yaml")])
    live, cached = Estimate(config), Estimate(study([Path("config/demo.yaml")]))
    assert {job.kind for job in live.shared} == {"features", "predict"}

    def of(estimate: Estimate, kind: str) -> float:
        return sum(job.operations for job in estimate.jobs if job.kind == kind and job.model == "smolvlm-tiny")

    assert of(live, "features") == of(cached, "features") + of(cached, "tokens")
    assert of(live, "train") > 2 * of(cached, "train")
    assert any(job.augmented for job in live.training if job.model == "smolvlm-tiny" and job.mode == "ft")


def test_kinds_of_arithmetic(paper):
    jobs = Estimate(paper).jobs
    assert {(job.model, job.mode): kind_of(paper, job) for job in jobs if job.kind == "train"} == {
        ("alexnet", "ft"): "cnn",
        ("vgg19", "ft"): "cnn",
        ("resnet34", "ft"): "cnn",
        ("qwen2-vl-2b", "lp"): "head",
        ("qwen2-vl-2b", "ft"): "vlm",
        ("smolvlm", "lp"): "head",
        ("smolvlm", "ft"): "vlm",
    }
    assert {kind_of(paper, job) for job in jobs if job.kind in ("tokens", "features")} == {"vlm"}


def test_images_are_counted_by_what_there_is(folder):
    config = study([Path("config/demo.yaml")])
    assert images(config, "synthetic").at == {40: 2 * 12 * 6, 200: 2 * 12 * 6}
    assert images(config, "synthetic-bach").at == {40: 4 * 4 * 2}
    assert images(config, "bach").total == 400
    manifest = Path(paths.MANIFEST.format(dataset="synthetic"))
    manifest.parent.mkdir(parents=True)
    manifest.write_text("image_id,magnification\na,40\nb,40\nc,200\n")
    assert images(config, "synthetic").at == {40: 2, 200: 1}
    manifest.write_text("damaged")
    assert images(config, "synthetic").at == {40: 144, 200: 144}
    sample = study([Path("config/sample.yaml")])
    tree = Path("resources/sample/x")
    tree.mkdir(parents=True)
    for name in (
        "SOB_B_A-14-22549AB-200-001.png",
        "SOB_M_DC-14-2523-200-002.png",
        "SOB_M_DC-14-2523-40-002.png",
        "other.png",
    ):
        (tree / name).touch()
    assert images(sample, "sample").at == {200: 2, 40: 1}
    own = study([Path("config/studies/own-data.yaml")])
    assert images(own, "mine").at is None
    assert Estimate(own).unknown == ["mine", "elsewhere"]


def test_the_authors_own_holdouts_train_on_seven_tenths(folder):
    (folder / "official.yaml").write_text(
        "splits: {official: {by: official, folds: 5, files: [a, b, c, d, e]}}\n"
        "grid: [{dataset: breakhis, models: [resnet34], modes: [ft], splits: [official], magnifications: [40],"
        " augmentations: [none]}]\nexternal: []\n"
    )
    config = study([Path("official.yaml")])
    counted = cost(config, "resnet34", "ft")
    job = Estimate(config).training[0]
    assert job.operations == pytest.approx(20 * (1396 * counted.training + 599 * counted.evaluation), rel=1e-3)
