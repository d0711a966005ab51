"""The trained classifier of a finished run, loaded from its kept weights to predict other images."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from histobench.io.errors import HistoBenchError
from histobench.models import build
from histobench.study.spec import RunSpec
from histobench.training import device as devices
from histobench.training.altered import Altered
from histobench.training.data import Source
from histobench.training.fit import predict
from histobench.training.microbatch import MicroBatch


def load(spec: RunSpec, weights: Path | None, trained: Path, device: torch.device) -> nn.Module:
    """Return the classifier of a run on a device, as it computes in training; `trained` is its weights.safetensors.

    Raises:
        HistoBenchError: the weights are not there, damaged or another run's, or the device does not hold the model.
    """
    if not trained.exists():
        raise HistoBenchError(
            f"{trained}: the weights of this run are not there; delete the predictions.csv beside it to have it "
            "trained again"
        )
    module = build.trained(spec, weights, trained, devices.precision(device))
    with devices.memory_errors("the model"):
        module.to(device)
    if spec.recipe.trainable == "head":
        torch.backends.cudnn.allow_tf32 = False  # as embeddings are computed for training
    elif device.type == "cuda":
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as in training
    return module


def logits(module: nn.Module, source: Source | Altered, micro: MicroBatch, trained: Path) -> np.ndarray:
    """Return the logits of a source's images, (N,) float32.

    Raises:
        HistoBenchError: some are not finite; `trained` is the file that they are blamed on.
    """
    found = micro.retry(partial(predict, module, source, micro.device)).numpy()  # type: ignore[arg-type]
    if not np.isfinite(found).all():
        raise HistoBenchError(
            f"{trained}: {(~np.isfinite(found)).sum()} of {len(found)} logits are not finite; train this run again"
        )
    return found
