import io
import logging
import time

import numpy as np
import pytest
import torch
from torch import nn

from histobench.io.errors import HistoBenchError, Interrupted
from histobench.models.linear_head import LinearHead
from histobench.study.recipes import Recipe
from histobench.training import data
from histobench.training.fit import _progress, fit
from histobench.training.platt import scaling
from tests.checkpoints import Waiting

CPU = torch.device("cpu")


class Tiny(nn.Module):
    """A small CNN over uint8 NHWC images, with what the loop has to care about: dropout, batch norm, frozen parts."""

    def __init__(self, dropout=0.0, norm=False):
        super().__init__()
        torch.manual_seed(11)
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6) if norm else nn.Identity(), nn.ReLU(), nn.Dropout(dropout)
        )
        self.head = nn.Linear(6, 1)

    def forward(self, batch):
        return self.head(self.features(batch.permute(0, 3, 1, 2) / 255 - 0.5).mean((2, 3))).squeeze(1)


def images(count, seed=0, first=0):
    """Images of which the malignant ones are redder, in the form of a source."""
    random = np.random.default_rng(seed)
    labels = (np.arange(first, first + count) % 3 == 0).astype(np.float32)
    pixels = random.integers(0, 200, (count, 12, 12, 3), dtype=np.uint8)
    pixels[..., 0] += (labels[:, None, None] * 40).astype(np.uint8)
    return data.Stored(pixels[None], np.arange(count), labels)


def accuracy(source):
    return lambda logits: {"accuracy": np.mean((logits >= 0) == source.labels)}


def run(
    tmp_path,
    module,
    recipe,
    training=None,
    evaluation=None,
    score=None,
    seed=3,
    resume=False,
    interval=30,
    clock=time.monotonic,
    **given,
):
    if not resume:
        (tmp_path / "checkpoint.pt").unlink(missing_ok=True)
    training, evaluation = training or images(37), evaluation or images(10, 1, 37)
    checkpoint = Waiting(tmp_path / "checkpoint.pt", {"specification": "test"}, interval, clock)
    score = score or accuracy(evaluation)
    return fit(module, training, evaluation, score, recipe, seed, CPU, checkpoint, **given)


def seconds_left_out(history):
    return [{name: value for name, value in row.items() if not name.endswith("_seconds")} for row in history]


def same(fitted, other):
    assert np.array_equal(fitted.logits, other.logits)
    assert np.array_equal(fitted.best_logits, other.best_logits)
    assert seconds_left_out(fitted.history) == seconds_left_out(other.history)
    assert fitted.best_epoch == other.best_epoch
    assert (fitted.chosen is None) == (other.chosen is None)
    if fitted.chosen:
        assert np.array_equal(fitted.chosen.logits, other.chosen.logits)
        for name in ("epoch", "threshold", "temperature", "fitted"):
            assert getattr(fitted.chosen, name) == getattr(other.chosen, name)


KEPT = images(12, 2, 47)


def test_training_is_textbook_adamw_with_pytorchs_cosine_schedule(tmp_path, double):
    """In float64. AdamW (epsilon 1e-8) turns an error of a gradient into one of a step at most 1e8 times as large."""
    random = np.random.default_rng(0)
    x = random.normal(size=(1, 30, 5))
    y = (x[0, :, 0] > 0).astype(np.float32)
    source = data.Stored(x, np.arange(30), y)
    recipe = Recipe(epochs=4, batch_size=8, learning_rate=0.05, weight_decay=0.1)
    fitted = run(tmp_path, LinearHead(5, seed=2), recipe, source, source)

    head = LinearHead(5, seed=2).head
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.05, weight_decay=0.1, foreach=False)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4 * 4)
    losses, rates = [], []
    for epoch in range(1, 5):
        total = 0.0
        for batch in torch.from_numpy(data.order(3, epoch, 30)).split(8):
            loss = nn.BCEWithLogitsLoss()(head(torch.from_numpy(x[0])[batch])[:, 0], torch.from_numpy(y)[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
            rates.append(schedule.get_last_lr()[0])
            schedule.step()
        losses.append(total / 30)
    # A gradient is at most 8 terms of size 4, of 5 products each; 16 steps; a logit is 5 products and a bias.
    parameter = 16 * 0.05 * (8 * 4 * 5 * np.finfo(np.float64).eps) / 1e-8
    bound = parameter * (np.abs(x).sum(-1).max() + 1)
    assert [row["train_loss"] for row in fitted.history] == pytest.approx(
        losses, abs=bound
    )  # it changes less than logits
    assert [row["learning_rate"] for row in fitted.history] == pytest.approx(rates[3::4])
    expected = head(torch.from_numpy(x[0]))[:, 0].detach().numpy()
    assert expected.std() > 1000 * bound
    np.testing.assert_allclose(fitted.logits, expected, rtol=0, atol=bound)


def test_batch_normalisation_keeps_its_batches_whole_and_says_so_once(tmp_path, caplog):
    recipe = Recipe(epochs=2, batch_size=16, learning_rate=0.01)
    whole = run(tmp_path, Tiny(norm=True), recipe)
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        cut = run(tmp_path, Tiny(norm=True), recipe, micro_batch=4)
    assert [record.getMessage() for record in caplog.records] == [
        "micro-batch 4 is not used: batch normalisation needs the 16 images together"
    ]
    assert cut.micro_batch == 16
    assert cut.logits.dtype == np.float32
    same(cut, whole)


def test_frozen_batch_normalisation_may_be_cut(tmp_path, caplog):
    class Frozen(Tiny):
        def train(self, mode=True):
            super().train(mode)
            self.features.eval()
            return self

    fitted = run(tmp_path, Frozen(norm=True), Recipe(epochs=1, batch_size=16), micro_batch=4)
    assert fitted.micro_batch == 4
    assert not caplog.records


class Pooled(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.head, self.sizes = nn.BatchNorm1d(3), nn.Linear(3, 1), []

    def forward(self, batch):
        self.sizes.append(len(batch))
        return self.head(self.norm(batch.float().mean((1, 2)))).squeeze(1)


@pytest.mark.parametrize(("count", "size", "sizes"), [(17, 8, [8, 5, 4]), (7, 2, [2, 2, 3])])
@pytest.mark.parametrize("micro_batch", [None, 1])
def test_a_lone_last_image_is_not_normalised_by_itself(tmp_path, count, size, sizes, micro_batch):
    module = Pooled()
    run(tmp_path, module, Recipe(epochs=1, batch_size=size), images(count), images(2, 1), micro_batch=micro_batch)
    assert module.sizes == [*sizes, 2]


@pytest.mark.parametrize(("count", "size"), [(8, 1), (1, 8)])
def test_batch_normalisation_of_single_images_is_refused_in_one_sentence(tmp_path, count, size):
    with pytest.raises(HistoBenchError, match=f"but {count} images in batches of {size} leave one alone; raise"):
        run(tmp_path, Pooled(), Recipe(epochs=1, batch_size=size), images(count), images(8, 1))


def test_a_repeated_run_is_the_same_bit_for_bit_and_dropout_is_at_work(tmp_path):
    recipe = Recipe(epochs=2, batch_size=8, learning_rate=0.01)
    first = run(tmp_path, Tiny(dropout=0.5), recipe)
    torch.rand(100)
    same(run(tmp_path, Tiny(dropout=0.5), recipe), first)
    assert not np.array_equal(run(tmp_path, Tiny(dropout=0.5), recipe, seed=4).logits, first.logits)
    losses = [run(tmp_path, Tiny(p), recipe, seed=3).history[0]["train_loss"] for p in (0.0, 0.5)]
    assert losses[0] != losses[1]


@pytest.mark.parametrize("norm", [False, True])
def test_a_stopped_run_goes_on_bit_for_bit_wherever_it_was_stopped(tmp_path, norm, caplog):
    evaluation = images(10, 1, 37)
    recipe, kept = Recipe(epochs=5, batch_size=8, learning_rate=0.01), KEPT if norm else None
    uninterrupted = run(tmp_path, Tiny(0.5, norm), recipe, validation=kept)
    for stop in range(1, 6):

        class Stopped(Exception):
            pass

        seen = []

        def score(logits, seen=seen, stop=stop, stopped=Stopped):
            seen.append(logits)
            if len(seen) == stop:
                raise stopped
            return accuracy(evaluation)(logits)

        with pytest.raises(Stopped):
            run(tmp_path, Tiny(0.5, norm), recipe, score=score, validation=kept, interval=0)
        resumed = run(tmp_path, Tiny(0.5, norm), recipe, resume=True, validation=kept)
        assert resumed.resumed_from == stop - 1
        same(resumed, uninterrupted)


def stop_at(moment):
    """A `check` that asks to end when it is called for the `moment`-th time."""
    calls = []

    def check():
        calls.append(None)
        if len(calls) == moment:
            raise Interrupted(15)

    return check


class Counting(Tiny):
    """Counts its forward passes in training."""

    steps = 0

    def forward(self, batch):
        self.steps += self.training
        return super().forward(batch)


RECIPE = Recipe(epochs=3, batch_size=8, learning_rate=0.01)
# Checks in an epoch: after each of 37 / 8 steps, 10 / 8 evaluation batches and 12 / 8 validation batches.
EACH = 5 + 2 + 2


@pytest.mark.parametrize("norm", [False, True])
def test_an_interrupted_run_goes_on_bit_for_bit_with_the_very_next_step(tmp_path, norm, caplog):
    uninterrupted = run(tmp_path, Tiny(0.5, norm), RECIPE, validation=KEPT)
    for moment in range(1, 3 * EACH + 1):
        with pytest.raises(Interrupted), caplog.at_level(logging.INFO):
            run(tmp_path, Tiny(0.5, norm), RECIPE, check=stop_at(moment), validation=KEPT)
        epoch, step = divmod(moment - 1, EACH)
        place = f"SIGTERM in epoch {epoch + 1} after step {min(step + 1, 5)} of 5: run the same command to continue from there"
        assert caplog.records[-1].getMessage() == place
        torch.rand(7)
        module = Counting(0.5, norm)
        resumed = run(tmp_path, module, RECIPE, resume=True, validation=KEPT)
        assert resumed.resumed_from == epoch
        assert module.steps == 3 * 5 - (epoch * 5 + min(step + 1, 5))  # no step is made twice, none is left out
        same(resumed, uninterrupted)


class Killed(Exception):
    """Ends `fit` without a chance to save, as SIGKILL does."""


@pytest.mark.parametrize("norm", [False, True])
def test_a_killed_run_goes_on_bit_for_bit_from_its_last_checkpoint_by_time(tmp_path, norm):
    """With a clock that counts the calls of `check`, of which there are nine in an epoch, and an interval of four."""
    uninterrupted = run(tmp_path, Tiny(0.5, norm), RECIPE, validation=KEPT)
    # Steps done at each checkpoint; the 8th and 17th call come while the epoch is evaluated, at whose end one is due.
    checkpoints = {4: 4, EACH: 5, EACH + 4: 5 + 4, 2 * EACH: 10, 2 * EACH + 4: 10 + 4}
    for moment in range(1, 3 * EACH + 1):
        (tmp_path / "checkpoint.pt").unlink(missing_ok=True)
        now = [0]

        def check(now=now, moment=moment):
            now[0] += 1
            if now[0] == moment:
                raise Killed

        given = {"validation": KEPT, "interval": 4, "clock": lambda now=now: now[0]}
        with pytest.raises(Killed):
            run(tmp_path, Tiny(0.5, norm), RECIPE, check=check, **given)
        before = [steps for call, steps in checkpoints.items() if call < moment]
        assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"][: len(before)]
        torch.rand(7)
        module = Counting(0.5, norm)
        resumed = run(tmp_path, module, RECIPE, resume=True, validation=KEPT)
        assert module.steps == 3 * 5 - (before[-1] if before else 0)
        epochs = sum(call % EACH == 0 for call in checkpoints if call < moment)
        assert resumed.resumed_from == (epochs if before else None)
        same(resumed, uninterrupted)


def test_a_run_shorter_than_the_interval_writes_no_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "save", lambda *given: pytest.fail("it writes"))
    run(tmp_path, Tiny(), RECIPE, interval=1, clock=lambda: 0)


def test_the_best_epoch_is_the_earliest_of_the_highest_accuracy(tmp_path):
    seen, script = [], [0.5, 0.8, 0.7, 0.8]

    def score(logits):
        seen.append(logits.copy())
        return {"accuracy": script[len(seen) - 1]}

    fitted = run(tmp_path, Tiny(), Recipe(epochs=4, batch_size=8, learning_rate=0.01), score=score)
    assert fitted.best_epoch == 2
    assert np.array_equal(fitted.best_logits, seen[1])
    assert np.array_equal(fitted.logits, seen[3])
    assert not np.array_equal(seen[1], seen[3])


def test_epoch_threshold_and_temperature_are_chosen_on_the_kept_images_alone(tmp_path):
    seen, evaluation = [], images(10, 1, 37)

    def score(logits):
        seen.append(logits.copy())
        return accuracy(evaluation)(logits)

    recipe = Recipe(epochs=6, batch_size=8, learning_rate=0.1)  # so fast that the last epoch is not the best one
    fitted = run(tmp_path, Tiny(), recipe, score=score, validation=KEPT)
    without = run(tmp_path, Tiny(), recipe)
    assert np.array_equal(fitted.logits, without.logits)  # they change nothing of the training
    assert without.chosen is None
    assert "kept_loss" not in without.history[0]
    losses = [row["kept_loss"] for row in fitted.history]
    assert fitted.chosen.epoch == 1 + int(np.argmin(losses))
    expected = (seen[fitted.chosen.epoch - 1].astype(np.float64) - fitted.chosen.threshold) / fitted.chosen.temperature
    np.testing.assert_allclose(fitted.chosen.logits, expected, rtol=1e-12)
    # With one epoch, the kept images are evaluated with the same weights as any others.
    last = Recipe(epochs=1, batch_size=8, learning_rate=0.01)
    alone = run(tmp_path, Tiny(), last, evaluation=KEPT)
    chosen = run(tmp_path, Tiny(), last, validation=KEPT)
    terms = np.logaddexp(0, -np.where(KEPT.labels == 1, 1, -1) * alone.logits.astype(np.float64))
    assert chosen.history[0]["kept_loss"] == pytest.approx(terms.mean(), rel=1e-12)
    assert chosen.history[0]["kept_accuracy"] == alone.history[0]["accuracy"]
    platt = scaling(KEPT.labels, alone.logits)
    assert (chosen.chosen.threshold, chosen.chosen.temperature) == (platt or (0, 1))
    assert chosen.chosen.fitted == (platt is not None)


def test_evaluation_sees_every_image_in_order_and_leaves_the_module_alone(tmp_path):
    class Ordered(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, batch):
            return batch[:, 0] + self.weight * 0 + (1000 if self.training else 0)

    rows = np.array([4, 1, 9, 0, 7])
    source = data.Stored(np.arange(10, dtype=np.float32).reshape(1, 10, 1), rows, np.zeros(5, np.float32))
    fitted = run(tmp_path, Ordered(), Recipe(epochs=1, batch_size=2), source, source)
    assert fitted.logits.tolist() == rows.tolist()


def test_a_loss_that_is_not_finite_names_epoch_and_step(tmp_path):
    x = np.zeros((3, 20, 2), np.float32)
    x[1, 13] = np.nan  # one image's view in epoch 2
    source = data.Stored(x, np.arange(20), np.zeros(20, np.float32))
    step = data.order(3, 2, 20).tolist().index(13) // 4 + 1
    message = f"training stopped in epoch 2: step {step} of 5 has loss nan; lower the recipe's learning_rate"
    with pytest.raises(HistoBenchError, match=message):
        run(tmp_path, LinearHead(2, 0), Recipe(epochs=3, batch_size=4), source, images_of(x[:1]), interval=0)
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert all(tensor.isfinite().all() for tensor in kept["module"].values())


def images_of(x):
    return data.Stored(x, np.arange(x.shape[1]), np.zeros(x.shape[1], np.float32))


def test_logits_that_are_not_finite_are_not_scored(tmp_path):
    good, bad = np.zeros((1, 8, 2), np.float32), np.full((1, 8, 2), np.inf, np.float32)
    with pytest.raises(HistoBenchError, match="training stopped after epoch 1: some evaluation logits are not finite"):
        run(tmp_path, LinearHead(2, 0), Recipe(epochs=2), images_of(good), images_of(bad))


class Cramped(Tiny):
    """Runs out of memory with more than 3 images, in the middle of a pass, as a GPU would."""

    def forward(self, batch):
        logits = super().forward(batch)
        if len(batch) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return logits


def test_the_micro_batch_is_halved_when_memory_runs_out(tmp_path, caplog):
    recipe = Recipe(epochs=2, batch_size=12, learning_rate=0.01)
    with caplog.at_level(logging.WARNING):
        fitted = run(tmp_path, Cramped(), recipe)
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"the GPU's memory ran out: continuing with a micro-batch of {size}" for size in (6, 3)]
    same(fitted, run(tmp_path, Tiny(), recipe, micro_batch=3))


def test_memory_that_cannot_suffice_is_an_error_in_one_line(tmp_path):
    with pytest.raises(HistoBenchError, match="does not hold a batch of 12, which cannot be cut because batch norm"):
        run(tmp_path, Cramped(norm=True), Recipe(epochs=1, batch_size=12))

    class Hopeless(Tiny):
        def forward(self, batch):
            raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(HistoBenchError, match="does not hold a batch of 1, which cannot be cut because it is a single"):
        run(tmp_path, Hopeless(), Recipe(epochs=1, batch_size=12))


def test_a_linear_head_scales_only_what_varies():
    embeddings = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32) * [1, 100, 0] + [5, -3, 7]
    head = LinearHead(3, seed=0)
    head.standardise(embeddings)
    assert head.mean.tolist() == pytest.approx(embeddings.mean(0))
    assert head.std.tolist() == pytest.approx([*embeddings[:, :2].std(0), 1])


def test_a_progress_bar_that_cannot_be_written_ends_no_run(monkeypatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("sys.stderr", Full())
    with _progress(np.array([4]), 0, 0, 2) as bar:
        bar.update(4)
        bar.refresh()
