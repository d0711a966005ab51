"""What a study downloads: which files, from where, and whether they are there."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from histobench.fetch import hub, snapshot, weights
from histobench.io.errors import HistoBenchError
from histobench.study import paths
from histobench.study.config import Config
from histobench.study.model_settings import CnnEntry, EncoderEntry, VlmEntry
from histobench.study.spec import HubWeights, WeightsFile

_FILES = "its .json and .safetensors files (an encoder's may be pytorch_model.bin) into"


@dataclass(frozen=True)
class Download:
    """A file, or the folder of a repository's files, that a study downloads."""

    name: str
    """What it is: `dataset breakhis` or `weights of vgg19`."""
    path: Path
    """Where it goes, downloaded or put there by hand."""
    addresses: tuple[str, ...]
    """Where it is published; the first address that works is used."""
    sha256: str
    """First digits of its SHA-256, or all of them; empty if unknown."""
    licence: str
    """Empty if the configuration names none."""
    present: bool
    """Whether it is there, or not needed any more because what is made from it is there."""


def products(config: Config) -> list[str]:
    """Return the paths of what a study makes with the network, whether there or not: archives, weights, architectures."""
    archives = [config.source(name) for name in config.used_datasets if config.datasets[name].url]
    models = _models(config)
    published = [name for name, model in models.items() if isinstance(model.weights, HubWeights)]
    return [
        *archives,
        *(config.path(paths.WEIGHTS, model=name) for name in models),
        *(config.path(paths.MODEL_CONFIG, model=name) for name in published),
    ]


def downloads(config: Config) -> list[Download]:
    """Return what a study downloads, each file once, in the order of datasets and models."""
    found: dict[Path, Download] = {}
    for download in [*_datasets(config), *_weights(config)]:
        if other := found.get(download.path):  # several models share it
            name = f"{other.name} and {download.name.rpartition(' ')[2]}"
            download = replace(other, name=name, present=other.present and download.present)
        found[download.path] = download
    return list(found.values())


def locked(config: Config) -> list[str]:
    """Return a sentence for each gated repository whose files are not there and for which the user has given no token."""
    missing = []
    for name, model in _models(config).items():
        converted = Path(config.path(paths.WEIGHTS, model=name))
        if isinstance(model, EncoderEntry) and isinstance(model.weights, HubWeights) and model.gated:
            there = converted.exists() or _complete(converted.with_name(hub.folder_name(model.weights)), encoder=True)
            missing += [] if there else [f"models.{name}: {hub.gate(model.weights)}"]
    return missing if missing and not hub.token() else []


def failed(logs: Sequence[str]) -> bool:
    """Return whether a download failed in a run of Snakemake that left these logs."""
    texts = [Path(log).read_text(encoding="utf-8", errors="replace") for log in logs]
    return any(re.search(r"^Error in rule fetch_\w+:", text, re.MULTILINE) for text in texts)


def listing(missing: Sequence[Download]) -> str:
    """Return one message that says of each download what it is, where to get it, where to put it, and its SHA-256."""
    lines = [
        "Still to be downloaded for this study (get it on a machine with network and put it here, or run again later):"
    ]
    for download in missing:
        folder = len(download.addresses) == 1 and "/tree/" in download.addresses[0]
        if folder:
            known = "its files are compared with the Hub's digests when the Hub can be reached"
        elif download.sha256:
            known = f"its SHA-256 {'is' if len(download.sha256) == 64 else 'begins with'} {download.sha256}"
        else:
            known = "its SHA-256 is not known"
        lines += [
            f"  {download.name}",
            *(f"    {'or' if number else 'get it'} from {url}" for number, url in enumerate(download.addresses)),
            f"    put {_FILES if folder else 'it at'} {download.path}",
            f"    {known}; its licence is {download.licence or 'not named in the configuration'}",
        ]
    return "\n".join(lines)


def _models(config: Config) -> dict[str, CnnEntry | EncoderEntry | VlmEntry]:
    entries = {run.model: config.models[run.model] for run in config.runs}
    return {name: model for name, model in entries.items() if _is_downloaded(model.weights)}


def _is_downloaded(chosen: object) -> bool:
    if isinstance(chosen, WeightsFile):
        return not chosen.package and snapshot.is_url(chosen.file)
    return chosen == "imagenet" or isinstance(chosen, HubWeights)


def _datasets(config: Config) -> Iterator[Download]:
    for name in config.used_datasets:
        dataset, path = config.datasets[name], Path(config.source(name))
        if dataset.url:
            record = path.with_name(path.name + ".sha256")
            recorded = record.read_text(encoding="utf-8").split()[:1] if record.exists() else []
            sha256, addresses = dataset.sha256 or "".join(recorded), (dataset.url, *dataset.mirrors)
            yield Download(f"dataset {name}", path, addresses, sha256, dataset.licence or "", path.exists())


def _weights(config: Config) -> Iterator[Download]:
    for name, model in _models(config).items():
        converted, chosen = Path(config.path(paths.WEIGHTS, model=name)), model.weights
        if isinstance(chosen, HubWeights):
            address, sha256, path = hub.page(chosen), "", converted.with_name(hub.folder_name(chosen))
            present = _complete(path, model.family == "encoder")
        else:
            if isinstance(chosen, WeightsFile):
                address, sha256 = chosen.file, chosen.sha256
            else:
                try:
                    address, sha256 = weights.published(model.settings)  # type: ignore[arg-type]  # of a CNN
                except (HistoBenchError, ImportError):  # nothing to download, or not known here: the job says why
                    continue
            path = converted.with_name(address.rpartition("/")[2])
            present = path.is_file()
        present |= converted.exists()
        yield Download(f"weights of {name}", path, (address,), sha256, model.licence or "", present)


def _complete(folder: Path, encoder: bool) -> bool:
    """Return whether a folder holds every file that loading needs, verified or not."""
    try:
        return bool(snapshot.files(folder, encoder))
    except HistoBenchError:
        return False
