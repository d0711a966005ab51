"""The files of one commit on the Hugging Face Hub: downloaded where they are missing, and verified.

Only safetensors and JSON files are downloaded, and the weights of encoders that have no safetensors. Credentials are sent for gated
repositories alone. The digests that the Hub lists for a commit (a
commit never changes) are kept beside the files in `hub.json`; later calls ask the Hub only for missing files.
"""

import json
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from histobench.fetch import http
from histobench.fetch.snapshot import (
    CONFIG,
    INDEX,
    PICKLED,
    TOKENIZER,
    check_own,
    is_plain,
    main_file,
    shards,
    small_files,
    verify_folder,
)
from histobench.io.errors import HistoBenchError
from histobench.io.files import atomic_path, read_json
from histobench.study.spec import FolderWeights, HubWeights
from histobench.study.values import canonical_json

log = logging.getLogger(__name__)

RECORD = "hub.json"
_DIGEST = re.compile("sha256:[0-9a-f]{64}|git:[0-9a-f]{40}")


def endpoint() -> str:
    """Return the address of the Hub, or of the mirror that the environment variable HF_ENDPOINT names."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def folder_name(weights: HubWeights) -> str:
    """Return the name of the folder for a commit's files; models with the same commit share it."""
    return f"{weights.hub.replace('/', '--')}-{weights.revision[:12]}"


def page(weights: HubWeights) -> str:
    """Return the address of the web page that lists a commit's files."""
    return f"{endpoint()}/{weights.hub}/tree/{weights.revision}"


def token() -> str:
    """Return the user's token for the Hub: HF_TOKEN, or that of the Hub's own login; empty without either."""
    from huggingface_hub import get_token

    return get_token() or ""


def gate(weights: HubWeights) -> str:
    """Return the sentence that says how to get through the gate of a repository."""
    return (
        f"{weights.hub} is gated: accept its licence on {endpoint()}/{weights.hub}, write `gated: true` in the model's entry, and give a "
        "token of that account in the environment variable HF_TOKEN or by `hf auth login`"
    )


@dataclass(frozen=True)
class Commit:
    """One commit of a repository, and the folder for its files."""

    weights: HubWeights
    folder: Path
    digests: dict[str, str]
    """`sha256:...` or `git:...` of each JSON and safetensors file. If the Hub could not be reached: the names of the files
    in the folder, without digests."""
    fault: str = ""
    """Why the Hub could not be reached."""
    gated: bool = False
    """Whether the user's token is sent."""

    def get(self, name: str) -> bool:
        """Make sure that a file is in the folder and is the published one; return whether it was downloaded.

        Raises:
            HistoBenchError: the commit has no such file, it cannot be downloaded, or it is another file.
        """
        path, commit = self.folder / name, f"{self.weights.hub} at {self.weights.revision}"
        if name not in self.digests:
            if not self.fault:
                raise HistoBenchError(
                    f"{commit} has no {name}, which is needed to load the model; choose another revision"
                )
            raise HistoBenchError(
                f"{path} is missing and {endpoint()} cannot be reached ({self.fault}): download the .json and .safetensors "
                f"files (an encoder's may be {PICKLED}) of {page(self.weights)} on another machine and put them into {self.folder}, or run the same command "
                "again later"
            )
        if self.fault:
            log.warning("%s: could not be compared with %s (%s)", path, commit, self.fault)
            return False
        url = f"{endpoint()}/{self.weights.hub}/resolve/{self.weights.revision}/{name}"
        key = token() if self.gated and not path.exists() else ""
        try:
            return http.fetch(url, path, self.digests[name].removeprefix("sha256:"), token=key)
        except HistoBenchError as error:
            if getattr(error.__cause__, "status", 0) in (401, 403):
                raise HistoBenchError(gate(self.weights)) from error
            raise


def resolve(weights: HubWeights, folder: Path, gated: bool = False) -> Commit:
    """Return a commit as `hub.json` in `folder` describes it or, if there is no such file, as the Hub does.

    Raises:
        HistoBenchError: the Hub has no such repository or revision, or does not give the files' digests.
    """
    record = folder / RECORD
    recorded = record.exists()
    try:
        digests = read_json(record).get("files") if recorded else _listing(weights, gated)
    except http.Unavailable as error:
        return Commit(
            weights, folder, {path.name: "" for path in folder.glob("*") if path.is_file()}, str(error), gated
        )
    if not isinstance(digests, dict) or not all(_DIGEST.fullmatch(str(digest)) for digest in digests.values()):
        raise HistoBenchError(
            f"{record if recorded else endpoint()}: does not give a digest of every file of {weights.hub} at "
            f"{weights.revision}; choose another mirror, or delete {RECORD} to have it made again"
        )
    if not recorded:
        known = {"hub": weights.hub, "revision": weights.revision, "files": digests}
        with atomic_path(record) as temporary:
            temporary.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    return Commit(weights, folder, digests, gated=gated)


def _listing(weights: HubWeights, gated: bool) -> dict[str, str]:
    """Ask the Hub for the digests of the files of a commit that may be downloaded; those in folders are left out."""
    try:
        address = f"{endpoint()}/api/models/{weights.hub}/tree/{weights.revision}"
        entries = json.loads(http.get(address, token() if gated else ""))
        files = {entry["path"]: entry for entry in entries if entry["type"] == "file" and is_plain(entry["path"])}
        return {
            name: f"sha256:{file['lfs']['oid']}" if file.get("lfs") else f"git:{file['oid']}"
            for name, file in files.items()
            if name.endswith((".json", ".safetensors")) or name == PICKLED
        }
    except http.Unavailable as error:
        if error.status not in (401, 403, 404):
            raise
        if gated and error.status != 404:
            raise HistoBenchError(gate(weights)) from error
        raise HistoBenchError(
            f"{weights.hub}: {endpoint()} has no public revision {weights.revision} of such a repository "
            f"({error.status}); correct `hub` or `revision` in the model's weights"
        ) from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise http.Unavailable(f"its list of files cannot be read: {error}") from error


def fetch_files(
    weights: HubWeights | FolderWeights,
    downloads: Path,
    check: Callable[[Path], None],
    encoder: bool = False,
    gated: bool = False,
) -> tuple[Path, list[str], bool]:
    """Make sure that the files of a model that loading needs are there, and are the published ones.

    Files that are there already are only verified. Where the Hub cannot be reached and never was, files put there by hand are used
    with a warning. The files in a folder of the user's own must have the SHA-256 in the settings.

    Args:
        weights: a commit of a repository, or a folder.
        downloads: where folders of repositories are.
        check: is given the model's folder once the small files are there, before gigabytes are downloaded; raises HistoBenchError.
        encoder: whether the model is an encoder, which may have no tokenizer.
        gated: whether the user's token is sent.

    Returns:
        Their folder, their names, and whether any was downloaded.

    Raises:
        HistoBenchError: a file is missing and cannot be downloaded, or is not the published one; or by `check`.
    """
    if isinstance(weights, FolderWeights):
        folder, names = Path(weights.folder), verify_folder(weights, encoder)
        check(folder)
        return folder, names, False
    folder = downloads / folder_name(weights)
    commit = resolve(weights, folder, gated)
    names = small_files(set(commit.digests), encoder)
    downloaded = [commit.get(name) for name in names]
    check(folder)
    names.append(main_file(set(commit.digests), encoder))
    downloaded.append(commit.get(names[-1]))
    if names[-1] == INDEX:
        parts = shards(folder / INDEX)
        downloaded += [commit.get(name) for name in parts]
        names += parts
    return folder, names, any(downloaded)


def fetch_config(weights: HubWeights | FolderWeights, downloads: Path, output: Path, gated: bool = False) -> None:
    """Write the published architecture of a model to `output`: the config.json of its repository, or of the user's folder.

    Repositories are downloaded into folders in `downloads`, `gated` ones with the user's token.

    Raises:
        HistoBenchError: config.json is missing and cannot be downloaded, is not the published one, or no JSON object.
    """
    folder = _with_file(weights, downloads, CONFIG, gated)
    config = canonical_json(read_json(folder / CONFIG))
    with atomic_path(output) as temporary:
        temporary.write_text(config + "\n", encoding="utf-8")


def fetch_tokenizer(
    weights: HubWeights | FolderWeights, downloads: Path, output: Path, encoder: bool = False, gated: bool = False
) -> None:
    """Write the published tokenizer.json of a model to `output`, verified as its weights are; arguments as of :func:`fetch_files`.

    Raises:
        HistoBenchError: it is missing and cannot be downloaded, or is not the published one.
    """
    name = TOKENIZER[0]
    if isinstance(weights, FolderWeights):
        check_own(weights, encoder, text=True)
        verify_folder(weights, encoder)
    with atomic_path(output) as temporary:
        temporary.write_bytes((_with_file(weights, downloads, name, gated) / name).read_bytes())


def _with_file(weights: HubWeights | FolderWeights, downloads: Path, name: str, gated: bool = False) -> Path:
    """Return the folder of a model's files; of a repository `name` is downloaded, where it is not there, and verified."""
    if isinstance(weights, FolderWeights):
        return Path(weights.folder)
    folder = downloads / folder_name(weights)
    resolve(weights, folder, gated).get(name)
    return folder
