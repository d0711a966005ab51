"""Pretrained weights: found or downloaded, checked before they are opened, and kept as safetensors."""

import importlib.util
import logging
import re
from pathlib import Path
from urllib.parse import urljoin

import torch
from torch import nn

from histobench.datasets.download import fetch
from histobench.models.cnn import build, network
from histobench.models.state import State, read
from histobench.study.errors import HistoBenchError
from histobench.study.files import atomic_path, sha256_of
from histobench.study.spec import CnnSettings, WeightsFile

log = logging.getLogger(__name__)

_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""Prefixes of the keys of classifiers that served the training of Inception networks alone."""


def convert(settings: CnnSettings, folder: Path, mirror: str | None, output: Path) -> None:
    """Write a model's pretrained state dict, under its architecture's own names, as safetensors.

    Args:
        settings: the model; its weights must not be `random`.
        folder: where downloads are kept, and looked for first.
        mirror: address that stands in for https://download.pytorch.org/models/.
        output: the safetensors file, written atomically.

    Raises:
        HistoBenchError: the weights cannot be had, are not those expected, or do not fit the architecture.
    """
    from safetensors.torch import save_file

    path = located(settings, folder, mirror)
    state = adapted(read(path), network(settings.architecture, empty=True), str(path))
    try:
        build(settings, 0, state)  # what does not fit shows now, not in a training job
    except HistoBenchError as error:
        raise HistoBenchError(f"{path}: {error}") from None
    with atomic_path(output) as temporary:
        save_file({key: tensor.detach().contiguous() for key, tensor in state.items()}, temporary)


def located(settings: CnnSettings, folder: Path, mirror: str | None) -> Path:
    """Return the path of a model's weights file after checking its SHA-256, downloading it into `folder` if need be."""
    weights = settings.weights
    if weights == "random":
        raise HistoBenchError(f"{settings.architecture}: random weights are not fetched; leave out --weights")
    if not isinstance(weights, WeightsFile):
        url, digest = published(settings, mirror)
    elif weights.file.startswith(("http://", "https://")):
        url, digest = weights.file, weights.sha256
    else:
        path = _packaged(weights.package, weights.file) if weights.package else Path(weights.file)
        if not path.is_file():
            raise HistoBenchError(
                f"{path}: no such weights file; correct `file` in the model's weights, or put it there"
            )
        if (digest := sha256_of(path)) != weights.sha256:
            raise HistoBenchError(
                f"{path}: its SHA-256 is {digest}, expected {weights.sha256}; "
                "correct `file` or `sha256` in the model's weights"
            )
        return path
    path = folder / url.rpartition("/")[2]
    fetch(url, path, digest)
    return path


def published(settings: CnnSettings, mirror: str | None) -> tuple[str, str]:
    """Return the address of an architecture's first published ImageNet weights, and how the file's SHA-256 begins.

    Either library publishes the first digits of the digest as the last part of the file's name.
    """
    library, name = settings.architecture.split("/")
    if library == "torchvision":
        from torchvision.models import get_model_weights

        choices = get_model_weights(name)
        if "IMAGENET1K_V1" not in choices.__members__:
            raise HistoBenchError(
                f"{settings.architecture}: torchvision has no IMAGENET1K_V1 weights for it, only "
                f"{', '.join(choices.__members__)}; give `file` and `sha256` of the wanted ones in the model's weights"
            )
        weights = choices["IMAGENET1K_V1"]
        url, normalisation = weights.url, (tuple(weights.transforms().mean), tuple(weights.transforms().std))
        file = url.rpartition("/")[2]
        url = urljoin(mirror.rstrip("/") + "/", file) if mirror else url
    else:
        import timm

        published = timm.get_pretrained_cfg(name, allow_unregistered=True)
        url = published.url if published and isinstance(published.url, str) else ""
        normalisation = (published.mean, published.std) if published else None
        file = url.rpartition("/")[2]
    digest = re.search(r"-([0-9a-f]{8,64})\.", file)
    if digest is None:
        raise HistoBenchError(
            f"{settings.architecture}: {library} gives no checksum of its ImageNet weights, which imagenet needs; "
            "give their address as `file`, and their `sha256`, in the model's weights"
        )
    if normalisation != (settings.mean, settings.std):
        log.warning(
            "%s: its ImageNet weights were trained with mean %s and std %s, but the model has %s and %s",
            settings.architecture,
            *normalisation,  # type: ignore[misc]
            settings.mean,
            settings.std,
        )
    return url, digest[1]


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
