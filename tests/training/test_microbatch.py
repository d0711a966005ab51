"""Running out of GPU memory, on the CPU: modules raise as a GPU would when they get too many images."""

import json
import logging

import numpy as np
import pytest
import torch

from histobench.io.errors import HistoBenchError, Interrupted
from histobench.study.recipes import Recipe
from histobench.study.spec import CnnSettings, RunSpec
from histobench.training import adamw
from histobench.training import device as devices
from histobench.training.microbatch import FoundSize, MicroBatch
from tests.training.test_fit import CPU, Tiny, run, same, stop_at

RECIPE = Recipe(epochs=2, batch_size=12, learning_rate=0.01)
FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


class Full(torch.autograd.Function):
    """The identity, whose gradient does not fit."""

    @staticmethod
    def forward(ctx, value):
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[override]
        raise FULL


class Cramped(Tiny):
    """Holds `most` images where gradients are computed and `most_evaluated` where not; fails at one `place` of a pass."""

    def __init__(self, most=3, most_evaluated=1000, place="forward", **more):
        super().__init__(**more)
        self.most, self.most_evaluated, self.place, self.seen = most, most_evaluated, place, []

    def forward(self, batch):
        self.seen.append((self.training, len(batch)))
        logits = super().forward(batch)
        if len(batch) <= (self.most if self.training else self.most_evaluated):
            return logits
        if self.training and self.place == "backward":
            return Full.apply(logits)
        raise FULL


@pytest.mark.parametrize("place", ["forward", "backward"])
def test_after_running_out_of_memory_a_run_is_one_that_began_with_the_smaller_size(tmp_path, place):
    """Bit for bit, with dropout: the masks that the failed passes drew are drawn again."""
    fitted = run(tmp_path, Cramped(place=place, dropout=0.5), RECIPE)
    assert fitted.micro_batch == 3
    same(fitted, run(tmp_path, Tiny(dropout=0.5), RECIPE, micro_batch=3))
    other = run(tmp_path, Tiny(dropout=0.5), RECIPE, micro_batch=6)
    assert not np.array_equal(other.logits, fitted.logits)  # another cut draws other masks


def test_gradients_of_a_failed_attempt_are_not_counted_twice(tmp_path):
    """Memory runs out at the third of four micro-batches, when two have added their gradients."""

    class Later(Tiny):
        calls = 0

        def forward(self, batch):
            self.calls += 1
            if self.calls == 3:
                raise FULL
            return super().forward(batch)

    fitted = run(tmp_path, Later(dropout=0.5), RECIPE, micro_batch=4)
    assert fitted.micro_batch == 2
    same(fitted, run(tmp_path, Tiny(dropout=0.5), RECIPE, micro_batch=2))


def test_a_resumed_run_goes_on_with_its_size(tmp_path):
    whole = run(tmp_path, Cramped(dropout=0.5), RECIPE)
    with pytest.raises(Interrupted):
        run(tmp_path, Cramped(dropout=0.5), RECIPE, check=stop_at(2))
    resumed = run(tmp_path, Tiny(dropout=0.5), RECIPE, resume=True, micro_batch=1)
    assert resumed.micro_batch == 3
    same(resumed, whole)


def test_a_network_with_batch_normalisation_is_evaluated_in_cuts(tmp_path):
    module = Cramped(most=12, most_evaluated=3, norm=True)
    fitted = run(tmp_path, module, RECIPE, micro_batch=None)
    assert fitted.micro_batch == 12
    sizes = [size for training, size in module.seen if not training]
    assert sizes == [10, 6, 3, 3, 3, 1, 3, 3, 3, 1]  # of ten images: tried once, for both epochs
    expected = run(tmp_path, Tiny(norm=True), RECIPE)
    np.testing.assert_allclose(fitted.logits, expected.logits, rtol=0, atol=1e-5)


# ---- the size that an earlier job found ----


@pytest.fixture
def memory(monkeypatch):
    """The free memory of a pretended GPU, in a list of one number."""
    free = [1000]
    monkeypatch.setattr(devices, "free_memory", lambda device: free[0])
    return free


def found(folder, tokens=False, **recipe):
    recipe = Recipe(**{"batch_size": 12} | recipe)
    model = CnnSettings(architecture="torchvision/alexnet")
    spec = RunSpec(model=model, recipe=recipe, augmentation=[], magnification=40, fold=1, seed=0)
    return FoundSize(folder, spec, {"tokens": tokens}, CPU)


def sizes_trained(tmp_path, record, module=None, **given):
    module = module or Cramped()
    run(tmp_path, module, RECIPE, found=record, **given)
    return [size for training, size in module.seen if training]


def test_a_later_job_starts_with_the_size_that_an_earlier_one_found(tmp_path, memory):
    folder = tmp_path / "sizes"
    assert sizes_trained(tmp_path, found(folder))[:3] == [12, 6, 3]
    assert [path.suffix for path in folder.iterdir()] == [".json"]
    for free in (1000, 500, 1090):
        memory[0] = free
        assert max(sizes_trained(tmp_path, found(folder))) == 3
    assert max(sizes_trained(tmp_path, found(folder), micro_batch=2)) == 2
    memory[0] = 1110
    assert sizes_trained(tmp_path, found(folder))[:3] == [12, 6, 3]
    assert json.loads(found(folder).path.read_text())["memory"] == 1110


def test_a_job_of_another_kind_starts_with_the_whole_batch(tmp_path, memory, monkeypatch):
    sizes_trained(tmp_path, found(tmp_path))
    for other in ({"batch_size": 13}, {"tokens": True}, {"trainable": "head"}):
        assert sizes_trained(tmp_path, found(tmp_path, **other))[0] == 12
    monkeypatch.setattr(devices, "describe", lambda device: "another GPU")
    assert sizes_trained(tmp_path, found(tmp_path))[0] == 12


def test_memory_that_another_job_frees_later_is_not_what_the_size_was_found_with(tmp_path, memory):
    """Else the record would hold on a GPU that is free, and every later job would be slow."""

    class Neighbour(Cramped):
        def forward(self, batch):
            try:
                return super().forward(batch)
            finally:
                memory[0] = 1000 if len(batch) > 3 else 8000

    sizes_trained(tmp_path, found(tmp_path), Neighbour())
    assert json.loads(found(tmp_path).path.read_text())["memory"] == 1000


def test_a_job_that_had_enough_memory_records_nothing(tmp_path, memory):
    sizes_trained(tmp_path, found(tmp_path / "sizes"), Cramped(most=1000))
    assert not (tmp_path / "sizes").exists()


@pytest.mark.parametrize("content", ["{", '{"micro_batch": 1}'])
def test_a_record_that_cannot_be_used_is_ignored_with_one_line(tmp_path, memory, caplog, content):
    record = found(tmp_path)
    record.path.write_text(content)
    with caplog.at_level(logging.WARNING):
        assert MicroBatch(None, 12, CPU, found=record).size == 12
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().startswith(f"{record.path} is ignored: ")


def test_a_folder_that_cannot_be_written_stops_no_training(tmp_path, memory, caplog):
    (tmp_path / "file").touch()
    assert sizes_trained(tmp_path, found(tmp_path / "file"))[:3] == [12, 6, 3]
    assert "the micro-batch is not recorded" in caplog.text


# ---- where nothing can be cut ----


SENTENCE = r"^the GPU's memory does not hold .* \(.*\); end other processes on the GPU, lower `gpu_slots`, or choose a smaller "


def fail(*arguments, **more):
    raise FULL


@pytest.mark.parametrize(
    ("owner", "name"), [(Tiny, "to"), (torch, "zeros_like"), (adamw, "adamw")], ids=["moving", "optimizer", "step"]
)
def test_a_model_that_does_not_fit_is_one_sentence(tmp_path, monkeypatch, owner, name):
    monkeypatch.setattr(owner, name, fail)
    with pytest.raises(HistoBenchError, match=SENTENCE):
        run(tmp_path, Tiny(), RECIPE)


@pytest.mark.parametrize(
    "module",
    [Cramped(most=0), Cramped(most=0, place="backward"), Cramped(most=3, norm=True), Cramped(most_evaluated=0)],
    ids=["forward", "backward", "whole", "evaluation"],
)
def test_a_batch_that_cannot_be_cut_is_one_sentence(tmp_path, module):
    with pytest.raises(HistoBenchError, match=SENTENCE):
        run(tmp_path, module, RECIPE)


def test_libraries_say_in_their_own_words_that_memory_ran_out():
    for text in (
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "GET was unable to find an engine to execute this computation",
    ):
        calls = []

        def work(size, text=text, calls=calls):
            calls.append(size)
            if size > 2:
                raise RuntimeError(text)
            return torch.zeros(size)

        assert len(MicroBatch(None, 8, CPU).retry(work)) == 2
        assert calls == [8, 4, 2]
    with pytest.raises(RuntimeError, match="shapes"):
        MicroBatch(None, 8, CPU).retry(lambda size: (_ for _ in ()).throw(RuntimeError("shapes do not agree")))
