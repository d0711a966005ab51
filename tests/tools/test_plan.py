"""What a study takes: numbers of images, rates, times and disk space, against figures worked out by hand."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from histobench.study import paths
from histobench.tools import plan
from histobench.tools.command_line import amount, duration, study

H200 = "NVIDIA H200"
# BreakHis (Spanhol et al., Table 1): images at 40X, 100X, 200X and 400X.
BREAKHIS = {40: 1995, 100: 2081, 200: 2013, 400: 1820}


def run_of(config, model: str, mode: str = "ft", augmentation: str = "none"):
    wanted = (model, mode, augmentation, 40, 1)
    return next(
        run for run in config.runs if (run.model, run.mode, run.augmentation, run.magnification, run.fold) == wanted
    )


def finish(config, run, device: str, rate: float, **changes) -> None:
    """Write what a finished run leaves, with a rate; `changes` are of its specification."""
    made = config.specification(run).model_dump(mode="json") | changes
    folder = Path(config.path(paths.RUN, **vars(run)))
    folder.mkdir(parents=True)
    (folder / "predictions.csv").touch()
    (folder / "run.json").write_text(json.dumps({"specification": made, "device": device, "images_per_second": rate}))


@pytest.fixture
def config(folder):
    plan._records.cache_clear()
    plan._manifest.cache_clear()
    return study()


def test_images_are_counted_before_they_are_there(config, folder):
    assert plan.images(config, "breakhis") == BREAKHIS
    assert plan.images(config, "bach") == {0: 400}
    demo = study([Path("config/demo.yaml")])
    assert plan.images(demo, "synthetic") == {40: 2 * 12 * 4, 200: 2 * 12 * 4}
    assert plan.images(demo, "synthetic-bach") == {0: 4 * 4 * 2}
    own = study([Path("config/studies/own-data.yaml")])
    assert plan.images(own, "mine") == {}
    made = Path(own.path(paths.MANIFEST, dataset="mine"))
    made.parent.mkdir(parents=True)
    made.write_text("image_id,magnification\na,0\nb,0\nc,40\n")
    plan._manifest.cache_clear()
    assert plan.images(own, "mine") == {0: 2, 40: 1}


@pytest.mark.parametrize(
    ("model", "augmentation", "rates"),
    [
        ("resnet34", "none", (3435, 8000)),
        ("resnet34", "paper", (2618, 8000)),  # augmenting is slower than training
        ("vgg19", "paper", (1293, 3000)),  # and here it is not
        ("qwen2-vl-2b", "paper", (351, 897)),  # of the logical batch
    ],
)
def test_rates_of_a_known_gpu(config, model, augmentation, rates):
    assert plan.tabled(config, run_of(config, model, "ft", augmentation), H200) == rates
    assert plan.tabled(config, run_of(config, model, "ft", augmentation), "h200") == rates
    assert np.isnan(plan.tabled(config, run_of(config, model, "ft", augmentation), "NVIDIA H100")).all()


def test_a_larger_micro_batch_has_its_own_rate(config, folder):
    for size, rate in ((8, math.nan), (16, 156), (63, 156), (64, 490), (128, 490)):
        Path("mine.yaml").write_text(f"models: {{smolvlm: {{training: {{ft: {{micro_batch: {size}}}}}}}}}\n")
        mine = study([Path("mine.yaml")])
        assert plan.tabled(mine, run_of(mine, "smolvlm"), H200)[0] == pytest.approx(rate, nan_ok=True)


def test_a_time_is_epochs_of_training_and_evaluation(config):
    jobs = {job.run: job for job in plan.training(config, H200)}
    job = jobs[run_of(config, "vgg19")]
    assert (job.images, job.done) == (20 * 1995, False)
    assert job.seconds == pytest.approx(20 * (1596 / 1293 + 399 / 3000))
    assert math.isnan(jobs[run_of(config, "smolvlm", "lp")].seconds)  # linear heads have not been measured


def test_classifiers_without_epochs_see_each_image_once(config, folder):
    given = "modes: {knn: {trainable: head, classifier: knn}, simpleshot: {trainable: head, classifier: simpleshot}}\n"
    block = "{dataset: breakhis, models: [resnet34], modes: [lp, knn, simpleshot], splits: [patient], magnifications: [40], augmentations: [none]}"
    Path("mine.yaml").write_text(f"{given}grid: [{block}]\nexternal: []\n")
    mine = study([Path("mine.yaml")])
    found = {(job.run.mode, job.images) for job in plan.training(mine, H200)}
    assert found == {("lp", 20 * 1995), ("knn", 1995), ("simpleshot", 1995)}


def test_where_nothing_is_trained_each_prompt_is_a_pass_of_a_decoder_and_captions_are_none(folder):
    jobs = plan.training(study([Path("config/studies/prompts.yaml")]), H200)
    found = {(job.run.model, job.images) for job in jobs if job.run.mode == "zero-shot" and job.run.magnification == 40}
    assert found == {("plip", 399), ("qwen2-vl-2b", 3 * 399), ("smolvlm", 3 * 399)}


def test_what_runs_share_is_counted_once(config):
    jobs = plan.shared_work(config, H200)
    counts = {}
    for job in jobs:
        counts.setdefault((job.what, job.run.model), []).append(job)
    assert {key: len(some) for key, some in counts.items()} == {
        ("visual tokens", "qwen2-vl-2b"): 8, ("embeddings", "qwen2-vl-2b"): 8,
        ("visual tokens", "smolvlm"): 8, ("embeddings", "smolvlm"): 8,
        ("predictions on bach", "resnet34"): 40, ("predictions on bach", "smolvlm"): 40,
    }  # fmt: skip
    # One plain view of each image, and twenty augmented ones.
    seconds = {key: sum(job.seconds for job in some) for key, some in counts.items()}
    assert seconds["visual tokens", "smolvlm"] == pytest.approx(21 * 7909 / 490)
    assert seconds["predictions on bach", "smolvlm"] == pytest.approx(20 * 400 * (1 + 9) * (1 / 490 + 1 / 1562))


def test_finished_runs_of_the_same_arm_and_device_decide(config):
    runs = [run for run in config.runs if (run.model, run.augmentation) == ("alexnet", "none")]
    for run, rate in zip(runs, (100, 300, 200), strict=False):
        finish(config, run, H200, rate)
    finish(config, runs[3], "NVIDIA H100", 7)
    finish(config, runs[4], H200, 9, augmentation=[{"Blur": {}}])
    finish(config, runs[5], H200, 11, model={"architecture": "another"})
    assert plan.measured(config, runs[6], "H200") == 200
    assert plan.measured(config, run_of(config, "alexnet", "ft", "paper"), H200) is None
    job = next(job for job in plan.training(config, H200) if job.run == run_of(config, "alexnet"))
    assert job.done
    assert job.seconds == pytest.approx(20 * 1995 / 200)


def test_what_is_not_known_is_said_to_be_unknown(config):
    lines = plan.plan(config, "cpu")
    assert "Time: not known. No run on cpu is finished, and rates.csv has no rates for these models." in lines
    known = "\n".join(plan.plan(config, H200))
    assert "Not counted: 120 of 452 jobs, whose rates are not known." in known
    assert "Study paper: 340 training runs (280 as in the paper, 60 under split accession), 340 to do" in known


def test_disk_space_that_is_still_to_come(config):
    found = plan.needs(config)
    assert found["archives of images"] == pytest.approx(14.4e9)
    assert found["pixels"] == 3 * 336**2 * (7909 + 400 + 4 * 9 * 400)  # tiles at the scale of four magnifications
    assert found["visual tokens"] == 144 * 1536 * 2 * 20 * 2081  # the largest store: Qwen2-VL at 100X
    Path("resources/bach").mkdir(parents=True)
    Path(config.source("bach")).touch()
    assert plan.needs(config)["archives of images"] == pytest.approx(4.0e9)


def test_text():
    assert [amount(size) for size in (math.nan, 3e6, 4.04e9, 2e12)] == ["?", "3.0 MB", "4.0 GB", "2.0 TB"]
    assert [duration(time) for time in (math.nan, 40, 720, 12240)] == ["?", "40 s", "12 min", "3.4 h"]
