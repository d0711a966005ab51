import logging
import subprocess
import threading
import time

import pytest
import torch
from torch import nn

from histobench.training.adamw import AdamW
from histobench.training.checkpoint import Checkpoint, trained_state

IDENTITY = {"specification": "{}", "code": "1"}


class Model(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.frozen = nn.Linear(4, width).requires_grad_(False)
        self.norm = nn.BatchNorm1d(width)
        self.head = nn.Linear(width, 1)

    def forward(self, x):
        return self.head(self.norm(self.frozen(x))).squeeze(1)


def trained(seed=0, steps=2, width=3):
    torch.manual_seed(seed)
    model = Model(width)
    optimizer = AdamW([p for p in model.parameters() if p.requires_grad], weight_decay=0.01)
    for _ in range(steps):
        model(torch.randn(5, 4)).sum().backward()
        optimizer.step(1e-3)
    return model, optimizer


@pytest.fixture
def saved(tmp_path):
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", IDENTITY)
    model, optimizer = trained()
    checkpoint.save(model, optimizer, {"history": [{"epoch": 1, "auc": float("nan")}], "logits": torch.ones(2)})
    checkpoint.close()
    return checkpoint, model, optimizer


def test_a_state_comes_back_bit_for_bit_but_frozen_parameters_are_not_stored(saved):
    checkpoint, model, optimizer = saved
    assert set(trained_state(model)) == {
        *("norm.weight", "norm.bias", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"),
        *("head.weight", "head.bias"),
    }
    other, other_optimizer = trained(seed=1, steps=0)
    frozen = other.frozen.weight.clone()
    progress = checkpoint.load(other, other_optimizer)
    assert progress["history"][0]["epoch"] == 1
    assert progress["logits"].tolist() == [1, 1]
    assert torch.equal(other.frozen.weight, frozen)
    for name, tensor in trained_state(model).items():
        assert torch.equal(tensor, trained_state(other)[name]), name
    for name, tensors in optimizer.state_dict().items():
        assert len(tensors) == 4
        assert all(map(torch.equal, tensors, other_optimizer.state_dict()[name])), name


def test_what_is_written_is_the_state_at_the_time_of_the_call(saved, tmp_path, monkeypatch):
    _, model, optimizer = saved
    later, progress = Checkpoint(tmp_path / "later.pt", IDENTITY), {"history": [{"epoch": 1}], "logits": torch.ones(2)}
    hold, write = threading.Event(), torch.save
    monkeypatch.setattr(torch, "save", lambda *given: hold.wait(10) and write(*given))
    expected = {name: tensor.clone() for name, tensor in trained_state(model).items()}
    averages = [tensor.clone() for tensor in optimizer.averages]
    later.save(model, optimizer, progress)
    assert not later.path.exists()
    for tensor in [*trained_state(model).values(), *optimizer.averages]:
        tensor.zero_()
    progress["history"][0]["epoch"] = 2
    hold.set()
    later.close()
    other, other_optimizer = trained(seed=1, steps=0)
    assert later.load(other, other_optimizer)["history"] == [{"epoch": 1}]
    assert all(torch.equal(tensor, expected[name]) for name, tensor in trained_state(other).items())
    assert all(map(torch.equal, other_optimizer.averages, averages))


def test_a_checkpoint_is_on_disk_before_the_next_is_begun(saved, monkeypatch):
    checkpoint, model, optimizer = saved
    epochs, write = [], torch.save

    def slowly(content, path):
        time.sleep(0.05)
        write(content, path)
        epochs.append(content["progress"]["epoch"])

    monkeypatch.setattr(torch, "save", slowly)
    for epoch in (1, 2):
        checkpoint.save(model, optimizer, {"epoch": epoch})
        assert epochs == list(range(1, epoch))
    checkpoint.close()
    assert epochs == [1, 2]


def test_a_checkpoint_is_due_once_an_interval_and_never_while_one_is_written(tmp_path, monkeypatch):
    now = [100.0]
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", IDENTITY, interval=30, clock=lambda: now[0])
    hold, write = threading.Event(), torch.save
    monkeypatch.setattr(torch, "save", lambda *given: hold.wait(10) and write(*given))
    assert not checkpoint.is_due()
    now[0] = 130
    assert checkpoint.is_due()
    checkpoint.save(*trained(), {})
    assert not checkpoint.is_due()
    now[0] = 170
    assert not checkpoint.is_due()  # though the interval has passed
    hold.set()
    checkpoint.close()
    assert checkpoint.is_due()
    checkpoint.save(*trained(), {})
    now[0] = 199  # 69 seconds after the first: intervals are counted from the beginning of the last
    assert not checkpoint.is_due()
    now[0] = 200
    checkpoint.close()
    assert checkpoint.is_due()


def test_none_is_found_where_none_is_and_remains_are_removed(tmp_path, caplog):
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", IDENTITY)
    with subprocess.Popen(["true"]) as gone:
        pass
    left = [tmp_path / f".{name}.{gone.pid}.partial" for name in ("checkpoint.pt", "history.csv")]
    for path in left:
        path.write_bytes(b"half")
    assert checkpoint.load(*trained()) is None
    assert not caplog.records
    assert list(tmp_path.iterdir()) == left[1:]
    checkpoint.remove()


def refused(checkpoint, caplog, width=3):
    """Load into a fresh model, which must stay as it was, and return the one line of log."""
    caplog.clear()
    model, optimizer = trained(seed=1, steps=0, width=width)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with caplog.at_level(logging.INFO):
        assert checkpoint.load(model, optimizer) is None
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(step.item() for step in optimizer.steps)
    (record,) = caplog.records
    assert "\n" not in record.getMessage()
    return record.getMessage()


def test_another_runs_checkpoint_is_ignored(saved, caplog):
    checkpoint = Checkpoint(saved[0].path, IDENTITY | {"code": "2"})
    assert refused(checkpoint, caplog) == f"{checkpoint.path} is ignored: it belongs to another code"
    assert "its parameters are not the model's" in refused(saved[0], caplog, width=4)


def test_a_damaged_checkpoint_is_ignored(saved, caplog):
    checkpoint = saved[0]
    whole = checkpoint.path.read_bytes()
    damaged = [b"", b"not a checkpoint", whole[: len(whole) // 2], whole[:-1]]
    at = whole.index(saved[1].head.weight.detach().numpy().tobytes())  # a bit of a weight, which torch.load lets pass
    damaged.append(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    for content in damaged:
        checkpoint.path.write_bytes(content)
        assert f"{checkpoint.path} is ignored: it cannot be used" in refused(checkpoint, caplog)
