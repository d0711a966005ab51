"""What the start-up benchmark runs, and how it counts. No speed is asserted."""

import csv

import pytest
from safetensors import safe_open

from histobench.tools.estimate import Estimate
from tests.benchmarks import jobs, startup, truesize
from tests.benchmarks.startup import Work, simulated


def works(*each: tuple[float, float, float, bool]) -> list[Work]:
    return [Work(*values) for values in each]


def test_jobs_side_by_side_share_the_gpu_and_hide_each_others_start():
    two = works((1, 10, 2, False), (1, 10, 2, False))
    assert simulated(two, 1) == 26
    assert simulated(two, 2) == 1 + 20 + 2
    # The second computes alone from 1 to 5, both until the first is done, then the second alone again.
    uneven = works((5, 4, 0, False), (1, 10, 0, False))
    assert simulated(uneven, 2) == pytest.approx(1 + 4 + 2 * 4 + 2)


def test_a_job_that_needs_the_gpu_to_itself_waits_for_it():
    assert simulated(works((1, 10, 2, True), (1, 10, 2, True)), 4) == 26
    assert simulated(works((1, 10, 0, False), (1, 10, 0, True), (1, 10, 0, False)), 2) == 33


def test_every_job_of_the_paper_is_of_a_kind_that_is_measured(tmp_path):
    place = truesize.Place(tmp_path, truesize.study())
    kinds = {(kind, model) for kind, model, _, _ in jobs.kinds(place)}
    estimate = Estimate(place.study)
    assert {startup.kind_of(place.study, job) for job in estimate.jobs} == kinds
    assert len(estimate.training) == 280
    assert {job.model for job in estimate.jobs} <= startup.BYTES.keys()


def test_checkpoints_hold_training_up_only_where_they_take_longer_than_an_epoch():
    study = truesize.study()
    job = next(job for job in Estimate(study).training if job.model == "vgg19")
    slow, quick = (jobs.Spent(0.1, 0.2, 0.5, written, 0.3, 1) for written in (3.0, 1.0))

    def after(spent: jobs.Spent, now: bool) -> float:
        rate = job.operations / 40  # 2 s for an epoch
        return startup.work(study, job, lambda _: rate, {now: spent}, 0, now).after  # type: ignore[arg-type]

    assert after(slow, False) == pytest.approx(19 * 3.5 + 0.3)
    assert after(slow, True) == pytest.approx(19 * 1.5 + 0.3)
    assert after(quick, True) == pytest.approx(19 * 0.5 + 0.3)


def test_weights_files_are_of_the_true_size(tmp_path):
    place = truesize.Place(tmp_path, truesize.study())
    path = place.write_weights("resnet34")
    with safe_open(path, framework="pt") as file:
        tensors = [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118
    assert sum(tensor.numel() for tensor in tensors if tensor.is_floating_point()) == 21_797_672 + 17_024
    assert all(tensor.isfinite().all() for tensor in tensors)


def test_the_true_script_runs_without_its_arithmetic(tmp_path):
    place = truesize.Place(tmp_path, truesize.study())
    place.write_dataset()
    place.write_tokens("qwen2-vl-2b")
    spent = jobs.run(place, False, "train", jobs.training(place, "qwen2-vl-2b", "lp", "none"))
    assert min(spent.launch, spent.set_up, spent.copied, spent.written, spent.end, spent.processor) > 0
    rows = list(csv.DictReader((tmp_path / "runs/qwen2-vl-2b/lp/none/predictions.csv").open()))
    assert [(row["label"], float(row["logit"])) for row in rows] == [("0", 0), ("1", 0)]
