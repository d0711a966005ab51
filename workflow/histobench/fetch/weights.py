"""Weights files of CNNs: where they are published, and where they are on this machine."""

import importlib.util
import logging
import os
import re
from pathlib import Path

from histobench.fetch.http import fetch, verify
from histobench.fetch.snapshot import check_own, is_url
from histobench.io.errors import HistoBenchError
from histobench.study.spec import CnnSettings, WeightsFile

log = logging.getLogger(__name__)


def locate(settings: CnnSettings, downloads: Path) -> tuple[Path, bool]:
    """Return the path of a model's weights file, its SHA-256 verified, and whether it was downloaded into `downloads`.

    Raises:
        HistoBenchError: the file is missing and cannot be downloaded, or it is not the expected one.
    """
    weights = settings.weights
    if weights == "random":
        raise HistoBenchError(f"{settings.architecture}: random weights are not fetched; leave out --weights")
    if not isinstance(weights, WeightsFile):
        url, digest = published(settings)
    elif is_url(weights.file):
        url, digest = weights.file, weights.sha256
    else:
        path = _in_package(weights.package, weights.file) if weights.package else Path(weights.file)
        check_own(weights)
        if not path.is_file():
            raise HistoBenchError(f"{path}: there is no such weights file; correct `file` in the model's weights")
        verify(path, weights.sha256)
        return path, False
    path = downloads / url.rpartition("/")[2]
    return path, fetch(url, path, digest)


def published(settings: CnnSettings) -> tuple[str, str]:
    """Return the address of an architecture's first published ImageNet weights, and the first digits of their SHA-256.

    Both libraries put these digits at the end of the file's name. The environment variable HISTOBENCH_TORCHVISION_URL
    names a mirror of https://download.pytorch.org/models/.

    Raises:
        HistoBenchError: the library publishes no such weights, or no digest of them.
    """
    library, name = settings.architecture.split("/")
    if library == "torchvision":
        from torchvision.models import get_model_weights

        choices = get_model_weights(name)
        if "IMAGENET1K_V1" not in choices.__members__:
            raise HistoBenchError(
                f"{settings.architecture}: torchvision has no IMAGENET1K_V1 weights for it, only "
                f"{', '.join(choices.__members__)}; give `file` and `sha256` of other ones in the model's weights"
            )
        weights = choices["IMAGENET1K_V1"]
        normalisation = tuple(weights.transforms().mean), tuple(weights.transforms().std)
        file = weights.url.rpartition("/")[2]
        mirror = os.environ.get("HISTOBENCH_TORCHVISION_URL")
        url = f"{mirror.rstrip('/')}/{file}" if mirror else weights.url
    else:
        import timm

        published = timm.get_pretrained_cfg(name, allow_unregistered=True)
        url = published.url if published and isinstance(published.url, str) else ""
        normalisation = (published.mean, published.std) if published else None
        file = url.rpartition("/")[2]
    digest = re.search(r"-([0-9a-f]{8,64})\.", file)
    if digest is None:
        raise HistoBenchError(
            f"{settings.architecture}: {library} gives no SHA-256 of its ImageNet weights; give their address as `file`, "
            "and their `sha256`, in the model's weights"
        )
    if normalisation != (settings.mean, settings.std):
        log.warning(
            "%s: its ImageNet weights were trained with mean and std %s, but the model has %s",
            settings.architecture,
            normalisation,
            (settings.mean, settings.std),
        )
    return url, digest[1]


def _in_package(package: str, file: str) -> Path:
    """Return the path of a file inside an installed package, which is not imported."""
    found = importlib.util.find_spec(package) if package.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise HistoBenchError(
            f"{package}: no such package is installed; install it or correct `package` in the model's weights"
        )
    folder = Path(found.submodule_search_locations[0]).resolve()
    path = (folder / file).resolve()
    if not path.is_relative_to(folder):
        raise HistoBenchError(f"{file}: is outside the package {package}; correct `file` in the model's weights")
    return path
