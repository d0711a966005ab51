"""What a study needs from the network: which files, where they can be had, and whether they are there."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from histobench.fetch import snapshot
from histobench.fetch.hub import folder_name
from histobench.io.errors import HistoBenchError
from histobench.study import paths
from histobench.study.config import CnnEntry, Config, VlmEntry
from histobench.study.spec import HubWeights, WeightsFile

_LIBRARIES = {
    "torchvision": "https://download.pytorch.org/models/",
    "timm": "https://huggingface.co/timm/",
}
"""Where to look for weights when the library that knows their address is not installed here."""


@dataclass(frozen=True)
class Download:
    """A file, or the folder of a repository's files, that a study downloads."""

    name: str
    """What it is, `dataset breakhis` or `weights of vgg19`."""
    path: Path
    """Where it stands, whether it is downloaded or put there by hand."""
    addresses: tuple[str, ...]
    """Where it can be had; the first that serves it is used."""
    sha256: str
    """What its SHA-256 begins with; empty where none is known before it is there."""
    licence: str
    """Empty where the configuration names none."""
    present: bool
    """Whether it is there, or nothing needs it any more because what is made of it is there."""


def products(config: Config) -> list[str]:
    """Return the paths of the archives and converted weights for which a study needs the network, whether there or not."""
    archives = [config.source(name) for name in config.used_datasets if config.datasets[name].url]
    models = dict.fromkeys(run.model for run in config.runs)
    return archives + [paths.WEIGHTS.format(model=name) for name in models if _is_online(config.models[name])]


def downloads(config: Config, environment: Mapping[str, str] | None = None) -> list[Download]:
    """Return what a study downloads, each file once, in the order of datasets and models.

    Args:
        config: the study.
        environment: where HISTOBENCH_TORCHVISION_URL and HF_ENDPOINT may name mirrors; the process's own where absent.
    """
    environment = os.environ if environment is None else environment
    found: dict[Path, Download] = {}
    for download in [*_datasets(config), *_weights(config, environment)]:
        other = found.get(download.path)
        if other:  # models share it
            name, present = f"{other.name} and {download.name.rpartition(' ')[2]}", other.present and download.present
            download = Download(name, other.path, other.addresses, other.sha256, other.licence, present)
        found[download.path] = download
    return list(found.values())


def failed(logs: Sequence[str]) -> bool:
    """Tell from the logs that a run of Snakemake left whether a download failed in it."""
    texts = [Path(log).read_text(encoding="utf-8", errors="replace") for log in logs]
    return any(re.search(r"^Error in rule fetch_(dataset|weights):", text, re.MULTILINE) for text in texts)


def listing(missing: Sequence[Download]) -> str:
    """Return one message that says of each download what it is, where to get it, where to put it, and how to know it."""
    lines = [
        "Still to be downloaded for this study (get it on a machine with network and put it here, or run again later):"
    ]
    for download in missing:
        folder = len(download.addresses) == 1 and "/tree/" in download.addresses[0]
        if folder:
            known = "its files are compared with the Hub's hashes where the Hub can be asked"
        elif download.sha256:
            known = f"its SHA-256 {'is' if len(download.sha256) == 64 else 'begins with'} {download.sha256}"
        else:
            known = "no SHA-256 of it is known beforehand"
        lines += [
            f"  {download.name}",
            *(
                f"    {'get it from' if not number else 'or from'} {url}"
                for number, url in enumerate(download.addresses)
            ),
            f"    put {'its .json and .safetensors files into' if folder else 'it at'} {download.path}",
            f"    {known}; its licence is {download.licence or 'not named in the configuration'}",
        ]
    return "\n".join(lines)


def _is_online(model: CnnEntry | VlmEntry) -> bool:
    weights = model.weights
    if isinstance(weights, WeightsFile):
        return not weights.package and "://" in weights.file
    return weights == "imagenet" or isinstance(weights, HubWeights)


def _datasets(config: Config) -> Iterator[Download]:
    for name in config.used_datasets:
        dataset, path = config.datasets[name], Path(config.source(name))
        if not dataset.url:
            continue
        record = path.with_name(path.name + ".sha256")
        recorded = record.read_text(encoding="utf-8").split()[:1] if record.exists() else []
        yield Download(
            f"dataset {name}",
            path,
            (dataset.url, *dataset.mirrors),
            dataset.sha256 or "".join(recorded),
            dataset.licence or "",
            path.exists(),
        )


def _weights(config: Config, environment: Mapping[str, str]) -> Iterator[Download]:
    for name in dict.fromkeys(run.model for run in config.runs):
        model = config.models[name]
        if not _is_online(model):
            continue
        converted = Path(paths.WEIGHTS.format(model=name))
        if isinstance(model, VlmEntry):
            path, addresses, sha256 = _repository(model, converted.parent, environment)
            there = _whole(path)
        else:
            path, addresses, sha256 = _file(model, converted.parent, environment)
            there = path.is_file()
        yield Download(f"weights of {name}", path, addresses, sha256, model.licence or "", there or converted.exists())


def _repository(model: VlmEntry, folder: Path, environment: Mapping[str, str]) -> tuple[Path, tuple[str, ...], str]:
    weights = model.weights
    assert isinstance(weights, HubWeights)
    endpoint = environment.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"
    return folder / folder_name(weights), (f"{endpoint}/{weights.hub}/tree/{weights.revision}",), ""


def _file(model: CnnEntry, folder: Path, environment: Mapping[str, str]) -> tuple[Path, tuple[str, ...], str]:
    if isinstance(model.weights, WeightsFile):
        url, digest = model.weights.file, model.weights.sha256
    else:
        from histobench.fetch.imagenet import published

        try:
            url, digest = published(model.settings, environment.get("HISTOBENCH_TORCHVISION_URL"))
        except (HistoBenchError, ImportError):  # the job that needs them says it
            library, name = model.architecture.split("/")
            return folder / name, (_LIBRARIES[library],), ""
    return folder / url.rpartition("/")[2], (url,), digest


def _whole(folder: Path) -> bool:
    """Tell whether a folder holds every file that loading needs, checked or not."""
    try:
        return bool(snapshot.files(folder))
    except HistoBenchError:
        return False
