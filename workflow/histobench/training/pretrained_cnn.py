"""Pretrained weights of CNNs: from a published file to the safetensors file that runs start from."""

import logging
from collections import Counter
from pathlib import Path

import torch
from torch import nn

from histobench.fetch import weights
from histobench.io.errors import HistoBenchError
from histobench.io.files import atomic_path
from histobench.io.state_dicts import State, read
from histobench.models.cnn import build, network
from histobench.study.spec import CnnSettings

log = logging.getLogger(__name__)

_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""Prefixes of the keys of the auxiliary classifiers that only the training of Inception networks used."""


def convert(settings: CnnSettings, downloads: Path, output: Path) -> bool:
    """Write a model's pretrained state dict, under its architecture's own names, as safetensors to `output`.

    Files are downloaded into the folder `downloads`; return whether any was.

    Raises:
        HistoBenchError: the weights cannot be had, are not the expected ones, or do not fit the architecture.
    """
    from safetensors.torch import save_file

    path, downloaded = weights.locate(settings, downloads)
    state = renamed(read(path), network(settings.architecture, empty=True), path)
    try:
        build(settings, 0, state)  # weights that do not fit are reported here, not by a training job
    except HistoBenchError as error:
        raise HistoBenchError(f"{path}: {error}") from None
    with atomic_path(output) as temporary:
        save_file({key: tensor.detach().contiguous() for key, tensor in state.items()}, temporary)
    return downloaded


def renamed(state: State, network: nn.Module, path: Path) -> State:
    """Return a state under the network's own names.

    A prefix of every name, such as `module.`, is left out. Where the names differ but the tensors, taken in the order of
    the file, agree one by one in number, shape and last part of the name (`weight`, `running_mean`, ...), they get the
    network's names in that order, and the log says so. Counters of batches, which old files lack and nothing here uses, are set to 0.

    Raises:
        HistoBenchError: the network's names stand behind a prefix, but other tensors are in the file, too.
    """
    own = network.state_dict()
    prefix = _prefix(state, own)
    if prefix and all(key.startswith(prefix) for key in state):
        log.info("%s: the names of its tensors were taken without %r before them", path, prefix)
        state, prefix = {key.removeprefix(prefix): tensor for key, tensor in state.items()}, ""
    state = {key: tensor for key, tensor in state.items() if not key.startswith(_AUXILIARY)}
    if state.keys() != own.keys():
        state = {key: tensor for key, tensor in state.items() if not _is_counter(key)}
        names = [key for key in own if not _is_counter(key)]
        in_order = len(names) == len(state) and all(
            tensor.shape == own[name].shape and key.rpartition(".")[2] == name.rpartition(".")[2]
            for name, (key, tensor) in zip(names, state.items(), strict=True)
        )
        if in_order and state.keys() != set(names):
            log.info("%s: its %d tensors have other names and were taken in their order", path, len(names))
            state = dict(zip(names, state.values(), strict=True))
        elif prefix:
            others = [key for key in state if not key.startswith(prefix)]
            raise HistoBenchError(
                f"{path}: the network's tensors have names that begin with {prefix!r}, and beside them are {len(others)} "
                f"others, such as {others[0]}; save those of the network alone, without {prefix!r}"
            )
        state |= {key: torch.zeros((), dtype=torch.int64) for key in own if _is_counter(key)}
    return state


def _prefix(state: State, own: State) -> str:
    """Return what stands before most of a network's own names in those of a state; empty where they stand alone."""
    found = Counter(
        key[: -len(name)] for name in own for key in state if key == name or key.endswith(f".{name}")
    ).most_common(1)
    return found[0][0] if found and found[0][1] > len(own) / 2 else ""


def _is_counter(key: str) -> bool:
    return key.endswith("num_batches_tracked")
