"""The run of a model that is not trained: its answers for the evaluation images, in the form of a training run."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import nn

from histobench.io.errors import HistoBenchError
from histobench.study.recipes import Recipe
from histobench.training import data
from histobench.training.device import memory_errors
from histobench.training.fit import Fitted, predict
from histobench.training.microbatch import MicroBatch


@memory_errors("what prediction needs")
def evaluate(
    module: nn.Module,
    evaluation: data.Source,
    score: Callable[[np.ndarray], dict[str, float]],
    recipe: Recipe,
    device: torch.device,
    micro_batch: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> tuple[Fitted, np.ndarray]:
    """Return the mean over prompts of the evaluation logits, and the logits (N, P) float32 of each prompt.

    The history has one row, epoch 1, of which the training loss is NaN. Arguments are those of
    :func:`histobench.training.fit.fit`; `module` maps a batch to (B, P).

    Raises:
        HistoBenchError: a logit is not finite, or GPU memory does not suffice.
        Interrupted: by `check`.
    """
    module.to(device)
    micro = MicroBatch(micro_batch, recipe.batch_size, device)
    ready = time.perf_counter()
    logits = micro.retry(partial(predict, module, evaluation, device, check=check)).numpy()
    if not np.isfinite(logits).all():
        raise HistoBenchError("some logits are not finite; choose other prompts or answers, or another model")
    mean = logits.mean(axis=1, dtype=np.float64).astype(np.float32)
    scores = {name: float(value) for name, value in score(mean).items()}
    row = {"epoch": 1, "train_loss": float("nan"), "learning_rate": 0.0, **scores}
    row |= {"train_seconds": 0.0, "validation_seconds": time.perf_counter() - ready}
    return Fitted([row], mean, mean, 1, None, micro.size, ready, None), logits
