"""Pretrained weights: found or downloaded, checked before they are opened, and kept as safetensors."""

import importlib.util
import logging
from pathlib import Path

import torch
from torch import nn

from histobench.fetch.http import fetch
from histobench.fetch.imagenet import published
from histobench.fetch.snapshot import check_own
from histobench.io.errors import HistoBenchError
from histobench.io.files import atomic_path, sha256_of
from histobench.io.state_dicts import State, read
from histobench.models.cnn import build, network
from histobench.study.spec import CnnSettings, WeightsFile

log = logging.getLogger(__name__)

_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""Prefixes of the keys of classifiers that served the training of Inception networks alone."""


def convert(settings: CnnSettings, folder: Path, mirror: str | None, output: Path) -> bool:
    """Write a model's pretrained state dict, under its architecture's own names, as safetensors.

    Args:
        settings: the model; its weights must not be `random`.
        folder: where downloads are kept, and looked for first.
        mirror: address that stands in for https://download.pytorch.org/models/.
        output: the safetensors file, written atomically.

    Returns:
        Whether anything was downloaded.

    Raises:
        HistoBenchError: the weights cannot be had, are not those expected, or do not fit the architecture.
    """
    from safetensors.torch import save_file

    path, downloaded = located(settings, folder, mirror)
    state = adapted(read(path), network(settings.architecture, empty=True), str(path))
    try:
        build(settings, 0, state)  # what does not fit shows now, not in a training job
    except HistoBenchError as error:
        raise HistoBenchError(f"{path}: {error}") from None
    with atomic_path(output) as temporary:
        save_file({key: tensor.detach().contiguous() for key, tensor in state.items()}, temporary)
    return downloaded


def located(settings: CnnSettings, folder: Path, mirror: str | None) -> tuple[Path, bool]:
    """Return the path of a model's weights file, its SHA-256 checked, and whether it was downloaded, which is into `folder`."""
    weights = settings.weights
    if weights == "random":
        raise HistoBenchError(f"{settings.architecture}: random weights are not fetched; leave out --weights")
    if not isinstance(weights, WeightsFile):
        url, digest = published(settings, mirror)
    elif weights.file.startswith(("http://", "https://")):
        url, digest = weights.file, weights.sha256
    else:
        path = _packaged(weights.package, weights.file) if weights.package else Path(weights.file)
        check_own(weights)
        if not path.is_file():
            raise HistoBenchError(
                f"{path}: no such weights file; correct `file` in the model's weights, or put it there"
            )
        if (digest := sha256_of(path)) != weights.sha256:
            raise HistoBenchError(
                f"{path}: its SHA-256 is {digest}, expected {weights.sha256}; "
                "correct `file` or `sha256` in the model's weights"
            )
        return path, False
    path = folder / url.rpartition("/")[2]
    return path, fetch(url, path, digest)


def adapted(state: State, network: nn.Module, path: str) -> State:
    """Return a state under the network's own names.

    Where the names are others, but as many, and one by one in the order of the file they agree in shape and in their
    last part (`weight`, `running_mean`, ...), the tensors take the network's names in that order; the log says so.
    Counters of batches, which old files lack and nothing here uses, are set to 0.
    """
    own = network.state_dict()
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
        state |= {key: torch.zeros((), dtype=torch.int64) for key in own if _is_counter(key)}
    return state


def _is_counter(key: str) -> bool:
    return key.endswith("num_batches_tracked")


def _packaged(package: str, file: str) -> Path:
    """Return the path of a file inside an installed package, which is not imported."""
    found = importlib.util.find_spec(package) if package.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise HistoBenchError(
            f"{package}: no such package is installed; install it or correct `package` in the model's weights"
        )
    folder = Path(found.submodule_search_locations[0]).resolve()
    path = (folder / file).resolve()
    if not path.is_relative_to(folder):
        raise HistoBenchError(f"{file}: leads out of the package {package}; correct `file` in the model's weights")
    return path
