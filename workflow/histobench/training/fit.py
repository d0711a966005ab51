"""One training loop for every module that maps a batch to one logit per image, or to one per image and class."""

import logging
import math
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from tqdm import tqdm
from tqdm.utils import ObjectWrapper

from histobench.io.errors import HistoBenchError, Interrupted
from histobench.io.hashing import stable_hash
from histobench.models.cnn import normalises_over_batch
from histobench.study.recipes import Recipe
from histobench.study.run_files import KEPT
from histobench.training import data, platt
from histobench.training.adamw import AdamW
from histobench.training.checkpoint import Checkpoint, random_state, set_random_state
from histobench.training.device import autocast, memory_errors
from histobench.training.microbatch import FoundSize, MicroBatch

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chosen:
    """What was chosen on the validation images."""

    epoch: int
    """The epoch of lowest loss, the earliest of several. With few groups the loss is steadier than the accuracy, which takes few
    values (Prechelt, "Early stopping - but when?", 1998, stops by it too)."""
    threshold: float
    temperature: float
    fitted: bool
    """Whether :func:`histobench.training.platt.scaling` found these two; else they are 0 and 1."""
    logits: np.ndarray
    """(N,) float64: the evaluation logits after that epoch, minus the threshold, over the temperature."""


@dataclass(frozen=True)
class Fitted:
    """What a training run leaves beside the trained module."""

    history: list[dict[str, float]]
    """One row per epoch, from epoch 1."""
    logits: np.ndarray
    """(N,) or (N, K) float32 logits of the evaluation images after the last epoch."""
    best_logits: np.ndarray
    """The same after the best epoch: optimistic, since the epoch was chosen on these images."""
    best_epoch: int
    """The epoch of highest evaluation accuracy, the earliest of several."""
    resumed_from: int | None
    """How many epochs an earlier process had finished when it was stopped; None if this one started from the beginning."""
    micro_batch: int
    """Images of which gradients were computed at once, at the end."""
    ready: float
    """Reading of `time.perf_counter` just before the first step."""
    chosen: Chosen | None
    """None without validation images."""


@memory_errors("what training needs")
def fit(
    module: nn.Module,
    training: data.Source,
    evaluation: data.Source,
    score: Callable[[np.ndarray], dict[str, float]],
    recipe: Recipe,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint,
    micro_batch: int | None = None,
    check: Callable[[], None] = lambda: None,
    validation: data.Source | None = None,
    found: FoundSize | None = None,
) -> Fitted:
    """Train `module` and evaluate it after each epoch.

    AdamW on the mean cross-entropy of each logical batch, of the softmax where there are several logits; the learning rate falls along half a cosine over all
    optimizer steps. Forward passes run under bf16 autocast where the device has it; parameters, loss and optimizer are
    fp32.

    Args:
        module: maps what the sources yield, (B, ...), to logits (B,) or (B, K). Parameters without `requires_grad` stay fixed.
        training: the training images; their order in an epoch is drawn from `seed` and the epoch.
        evaluation: the evaluation images.
        score: from the evaluation logits (N,) or (N, K) to named scores, with `accuracy`.
        recipe: epochs, batch size, learning rate and weight decay.
        seed: decides order and dropout.
        device: where to compute.
        checkpoint: where a stopped process left its state. This one writes its own when one is due, after an optimizer
            step or an epoch but the last, and when it is interrupted.
        micro_batch: the most images to put through the module at once, by default the logical batch. Halved when GPU
            memory runs out; not used for training with batch normalisation. A checkpoint's own size comes first. The
            gradients of a logical batch are the same however it is cut, but for rounding and the masks of dropout.
        check: called after each optimizer step and each evaluation batch; raises `Interrupted` to end there.
        validation: images for choosing epoch, threshold and temperature, which neither train nor are in `evaluation`.
        found: the size that an earlier job found, to start with; the one that this job finds is written there.

    Raises:
        HistoBenchError: a loss or a logit is not finite, GPU memory does not suffice, or batch normalisation would get a
            single image.
        Interrupted: by `check`; the checkpoint continues with the next step.
    """
    module.to(device)
    if device.type == "cuda":
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module.train()
    whole = normalises_over_batch(module)
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = AdamW(trainable, recipe.weight_decay)

    history: list[dict[str, float]] = []
    best_epoch, logits, best_logits = 0, torch.empty(0), torch.empty(0)
    chosen: dict[str, Any] = {}
    begun = _NOTHING
    if progress := checkpoint.load(module, optimizer):
        history, best_epoch, best_logits = progress["history"], progress["best_epoch"], progress["best_logits"]
        begun, chosen = progress["begun"], progress["chosen"]
        log.info("continuing after epoch %d of %d, step %d", len(history), recipe.epochs, begun["step"])
    resumed_from = len(history) if progress else None
    epochs = range(len(history) + 1, recipe.epochs + 1)

    def batches(epoch: int) -> list[np.ndarray]:  # a single image has no batch statistics
        return data.cut(data.order(seed, epoch, len(training.labels)), recipe.batch_size, least=2 if whole else 1)

    sizes = np.array([len(batch) for batch in batches(1)])
    if whole and sizes.min() < 2:
        raise HistoBenchError(
            f"batch normalisation needs batches of 2 images or more, but {len(training.labels)} images in batches of "
            f"{recipe.batch_size} leave one alone; raise `batch_size` or give more images"
        )
    steps = len(sizes)
    logical = max(recipe.batch_size, int(sizes.max()))
    # A resumed run goes on with its size: another one would draw other masks of dropout.
    micro = MicroBatch(micro_batch, logical, device, whole, found, progress["micro_batch"] if progress else None)
    evaluating = MicroBatch(None, logical, device)  # nothing depends on the other images of an evaluation batch
    plan = islice(((epoch, batch) for epoch in epochs for batch in batches(epoch)), begun["step"], None)
    stream = data.prefetch(training.batches(plan), device)
    ready = time.perf_counter()

    def state(begun: dict[str, Any]) -> dict[str, Any]:
        best = {"best_epoch": best_epoch, "best_logits": best_logits}
        return {"history": history, **best, "chosen": chosen, "begun": begun, "micro_batch": micro.size}

    with closing(stream), closing(checkpoint), _progress(sizes, len(history), begun["step"], recipe.epochs) as bar:
        for epoch in epochs:
            began = time.perf_counter() - begun["seconds"]
            torch.manual_seed(stable_hash(seed, "dropout", epoch))
            set_random_state(begun["random"], device)
            module.train()
            done = begun["step"]
            losses = torch.zeros(steps, device=device)
            losses[:done] = begun["losses"]
            rates = [
                cosine(recipe.learning_rate, (epoch - 1) * steps + step, recipe.epochs * steps) for step in range(steps)
            ]
            trained = None
            try:
                for batch, labels in islice(stream, steps - done):
                    losses[done] = micro.retry(partial(_gradients, module, batch, labels), optimizer.zero_grad)
                    optimizer.step(rates[done])
                    done += 1
                    bar.update(len(batch))
                    check()
                    if checkpoint.is_due():
                        part = _part(losses[:done], time.perf_counter() - began, epoch, steps, device)
                        checkpoint.save(module, optimizer, state(part))
                train_loss = _mean_loss(losses, sizes, epoch)
                trained = time.perf_counter()
                evaluating.size = min(evaluating.size, micro.size)
                logits, *kept = (
                    evaluating.retry(partial(predict, module, source, device, check=check))
                    for source in (evaluation, validation)
                    if source
                )
            except Interrupted as signal:
                seconds = (trained or time.perf_counter()) - began
                checkpoint.save(module, optimizer, state(_part(losses[:done], seconds, epoch, steps, device)))
                checkpoint.close()
                bar.close()  # else the message would continue its line
                place = f"epoch {epoch} after step {done} of {steps}"
                log.info("%s in %s: run the same command to continue from there", signal, place)
                raise
            if not torch.cat([logits, *kept]).isfinite().all():
                raise HistoBenchError(
                    f"training stopped after epoch {epoch}: some evaluation logits are not finite; {_ADVICE}"
                )
            scores = {name: float(value) for name, value in score(logits.numpy()).items()}
            row = {"epoch": epoch, "train_loss": train_loss, "learning_rate": rates[-1], **scores}
            if validation:
                row |= _kept_scores(kept[0].double(), torch.from_numpy(validation.labels).double())
            row |= {"train_seconds": trained - began, "validation_seconds": time.perf_counter() - trained}
            history.append(row)
            if not best_epoch or row["accuracy"] > history[best_epoch - 1]["accuracy"]:
                best_epoch, best_logits = epoch, logits
            if validation and (not chosen or row["kept_loss"] < history[chosen["epoch"] - 1]["kept_loss"]):
                chosen = {"epoch": epoch, "logits": logits, "kept": kept[0]}
            bar.set_postfix(epoch=epoch, loss=f"{train_loss:.4f}", accuracy=f"{row['accuracy']:.4f}", refresh=False)
            begun = _NOTHING
            if epoch < recipe.epochs and checkpoint.is_due():
                checkpoint.save(module, optimizer, state(begun))
    choice = _choice(chosen, validation.labels) if validation else None
    return Fitted(history, logits.numpy(), best_logits.numpy(), best_epoch, resumed_from, micro.size, ready, choice)


def cosine(peak: float, step: int, steps: int) -> float:
    """Return the learning rate of optimizer step `step` (from 0) of `steps`: half a cosine from `peak` towards 0.

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, equation 5, no restarts.
    """
    return peak * (1 + math.cos(math.pi * step / steps)) / 2


@torch.inference_mode()
def predict(
    module: nn.Module, source: data.Source, device: torch.device, size: int, check: Callable[[], None] = lambda: None
) -> torch.Tensor:
    """Return the logits of a source's images, (N,) or (N, K) float32 on the CPU, in evaluation mode and batches of `size`.

    `check` is called after each batch, and may raise.
    """
    module.eval()
    plan = ((1, batch) for batch in data.cut(np.arange(len(source.labels)), size))
    logits = []
    with autocast(device):
        for batch, _ in data.prefetch(source.batches(plan), device):
            logits.append(module(batch).float())
            check()
    return torch.cat(logits).cpu()


def _kept_scores(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    accuracy = ((logits >= 0) == (labels > 0.5)).double().mean()
    return dict(zip(KEPT, map(float, (binary_cross_entropy_with_logits(logits, labels), accuracy)), strict=True))


def _choice(chosen: dict[str, Any], label: np.ndarray) -> Chosen:
    """Return the choice of an epoch with threshold and temperature; `chosen` has its evaluation and validation logits."""
    found = platt.scaling(label, chosen["kept"].numpy())
    threshold, temperature = found or (0.0, 1.0)
    logits = (chosen["logits"].numpy().astype(np.float64) - threshold) / temperature
    return Chosen(chosen["epoch"], threshold, temperature, found is not None, logits)


_NOTHING: dict[str, Any] = {"step": 0, "losses": torch.empty(0), "seconds": 0.0, "random": None}
"""What is done of an epoch: its steps, their losses and seconds, and the state of the random generators after them."""


def _part(losses: torch.Tensor, seconds: float, epoch: int, steps: int, device: torch.device) -> dict[str, Any]:
    """Return what is done of an epoch, as in `_NOTHING`; raises if a loss is not finite, since no run can go on from there."""
    kept = torch.from_numpy(_finite(losses, epoch, steps))
    return {"step": len(kept), "losses": kept, "seconds": seconds, "random": random_state(device)}


def _gradients(module: nn.Module, batch: torch.Tensor, labels: torch.Tensor, size: int) -> torch.Tensor:
    """Add the gradients of the batch's mean loss, `size` images at a time; return that loss, still on the device."""
    total = torch.zeros((), device=batch.device)
    for images, targets in zip(batch.split(size), labels.split(size), strict=True):
        with autocast(batch.device):
            logits = module(images)
        loss = summed_loss(logits.float(), targets) / len(labels)
        loss.backward()
        total += loss.detach()
    return total


def summed_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the sum of the cross-entropies of logits (B,), or (B, K) of several classes, and labels (B,), which are float."""
    if logits.ndim == 1:
        return binary_cross_entropy_with_logits(logits, labels, reduction="sum")
    return cross_entropy(logits, labels.long(), reduction="sum")


_ADVICE = "lower the recipe's learning_rate, or look for damaged input"


def _mean_loss(losses: torch.Tensor, sizes: np.ndarray, epoch: int) -> float:
    """Return the mean loss per image from those of the steps."""
    return float(_finite(losses, epoch, len(sizes)).astype(np.float64) @ sizes / sizes.sum())


def _finite(losses: torch.Tensor, epoch: int, steps: int) -> np.ndarray:
    """Return the losses of an epoch's first steps. Only here, and for a checkpoint, does an epoch wait for the device."""
    of_steps = losses.cpu().numpy()
    if not np.isfinite(of_steps).all():
        step = int(np.argmin(np.isfinite(of_steps)))
        raise HistoBenchError(
            f"training stopped in epoch {epoch}: step {step + 1} of {steps} has loss {of_steps[step]}; {_ADVICE}"
        )
    return of_steps


def _progress(sizes: np.ndarray, epochs_done: int, steps_done: int, epochs: int) -> tqdm:
    """Return a progress bar over images, rarely redrawn if stderr is a log file, and not at all if its disk is full."""
    pause, images = 0.5 if sys.stderr.isatty() else 60, sizes.sum()
    done = images * epochs_done + sizes[:steps_done].sum()
    return tqdm(
        total=images * epochs, initial=done, unit="image", mininterval=pause, maxinterval=pause, file=_Log(sys.stderr)
    )


class _Log(ObjectWrapper):
    """A stream whose disk may be full: what cannot be written is left out."""

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._wrapped.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._wrapped.flush()
