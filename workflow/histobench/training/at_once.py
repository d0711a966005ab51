"""Classifiers that are computed from the training images at once: they have no epochs, optimizer or checkpoint."""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from histobench.io.errors import HistoBenchError
from histobench.training import data
from histobench.training.fit import Fitted, predict

BATCH = 256


def evaluate(
    make: Callable[[], nn.Module],
    evaluation: data.Source,
    score: Callable[[np.ndarray], dict[str, float]],
    device: torch.device,
) -> tuple[nn.Module, Fitted]:
    """Return a classifier and what it leaves: one row of history, with learning rate 0 and no training loss (NaN).

    A training loss would mislead: each training image is its own nearest neighbour.

    Args:
        make: returns the classifier of the training images.
        evaluation: the evaluation images.
        score: from the evaluation logits (N,) to named scores.
        device: where to compute.

    Raises:
        HistoBenchError: a logit is not finite.
    """
    ready = time.perf_counter()
    module = make().to(device)
    made = time.perf_counter()
    logits = predict(module, evaluation, device, BATCH).numpy()
    if not np.isfinite(logits).all():
        raise HistoBenchError("some evaluation logits are not finite; look for damaged embeddings and delete them")
    row = {"epoch": 1, "train_loss": float("nan"), "learning_rate": 0.0, **score(logits)}
    row |= {"train_seconds": made - ready, "validation_seconds": time.perf_counter() - made}
    return module, Fitted([row], logits, logits, 1, None, BATCH, ready, None)
