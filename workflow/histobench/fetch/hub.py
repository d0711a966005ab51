"""The files of one commit on the Hugging Face Hub: downloaded where they are missing, and checked.

Only safetensors and JSON files are ever downloaded. What the Hub says about a commit's files (a commit never changes) is
kept beside them in `hub.json`: they are checked against it ever after, and the Hub is asked for nothing but what is missing.
"""

import hashlib
import json
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from histobench.fetch import http
from histobench.fetch.snapshot import is_plain, read_json
from histobench.io.errors import HistoBenchError
from histobench.io.files import atomic_path
from histobench.study.spec import HubWeights

log = logging.getLogger(__name__)

RECORD = "hub.json"


def _git_id(path: Path) -> str:
    """Return the id by which git knows a file's content, which it keeps in memory."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


GIT = http.Digest("git object id", _git_id)

_DIGEST = re.compile("sha256:[0-9a-f]{64}|git:[0-9a-f]{40}")


@dataclass(frozen=True)
class Commit:
    """One commit of a repository, and the folder where its files shall be."""

    weights: HubWeights
    folder: Path
    digests: dict[str, str] | None
    """`sha256:...` or `git:...` of each JSON and safetensors file; None where the Hub could not be asked."""
    reason: str = ""
    """Why it could not."""

    @property
    def name(self) -> str:
        """Repository and revision, for a sentence."""
        return f"{self.weights.hub} at {self.weights.revision}"

    @property
    def offered(self) -> set[str]:
        """Names of the files that can be had: by the Hub's word or, where it could not be asked, by what is there."""
        if self.digests is not None:
            return set(self.digests)
        return {path.name for path in self.folder.iterdir()} if self.folder.is_dir() else set()

    def get(self, name: str) -> bool:
        """Make sure that a file is there and is the published one, by SHA-256 or, for a file in git, its git object id.

        Returns:
            Whether it was downloaded.

        Raises:
            HistoBenchError: it is not; or the commit has no such file, or it is missing and cannot be had.
        """
        constants = _hub()
        from huggingface_hub import hf_hub_url

        path, hub, revision = self.folder / name, self.weights.hub, self.weights.revision
        if self.digests is None:
            if not path.is_file():
                raise HistoBenchError(
                    f"{path} is missing and {constants.ENDPOINT} cannot be reached ({self.reason}): get the .json and "
                    f".safetensors files of {constants.ENDPOINT}/{hub}/tree/{revision} in another way and put them into "
                    f"{self.folder}, or run the same command again later"
                )
            log.warning("%s: could not be compared with %s (%s)", path, self.name, self.reason)
            return False
        if name not in self.digests:
            raise HistoBenchError(f"{self.name} has no {name}, which loading needs; choose another revision")
        kind, expected = self.digests[name].split(":")
        # Not by the client, which begins large files again in each process, and gives small ones up at once.
        digest = http.SHA256 if kind == "sha256" else GIT
        return http.fetch(hf_hub_url(hub, name, revision=revision), path, expected, digest=digest)


def _hub() -> Any:
    """Return the constants of the Hub's client, after telling it what it may send, wait for and say."""
    # Read once, at import; the client's own bars would be about files of a few kB.
    for name in ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS", "HF_HUB_DISABLE_IMPLICIT_TOKEN"):
        os.environ.setdefault(name, "1")
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # a line for every request
    import huggingface_hub
    from huggingface_hub import constants

    logging.getLogger("huggingface_hub").propagate = False  # it has a handler of its own
    huggingface_hub.set_client_factory(_client)
    return constants


def _client() -> Any:
    """Return the client's own connections, but that none waits for ever, which is its default."""
    from huggingface_hub.utils._http import default_client_factory

    def bound(request: Any) -> None:
        asked = request.extensions.get("timeout") or {}
        kinds = ("connect", "read", "write", "pool")
        request.extensions["timeout"] = {kind: asked.get(kind) or http.PATIENCE.silence for kind in kinds}

    client = default_client_factory()
    client.event_hooks = {**client.event_hooks, "request": [*client.event_hooks["request"], bound]}
    return client


def folder_name(weights: HubWeights) -> str:
    """Return the name of the folder of a commit's files, which models that differ in other settings share."""
    return f"{weights.hub.replace('/', '--')}-{weights.revision[:12]}"


def resolve(weights: HubWeights, folder: Path) -> Commit:
    """Return a commit by what an earlier call kept in `folder`, else by what the Hub says.

    Raises:
        HistoBenchError: the Hub has no such repository or revision, or lists files that lead out of their folder; or
            `folder` holds files of another commit.
    """
    constants = _hub()
    record = folder / RECORD
    asked = not record.exists()
    if asked:
        try:
            known = {"hub": weights.hub, "revision": weights.revision, "files": _listing(weights)}
        except ConnectionError as error:
            return Commit(weights, folder, None, str(error))
    else:
        known = read_json(record)
    if (known.get("hub"), known.get("revision")) != (weights.hub, weights.revision):
        raise HistoBenchError(
            f"{folder}: holds files of {known.get('hub')} at {known.get('revision')}, not of {weights.hub} at "
            f"{weights.revision}; move the folder away, or correct the model's weights"
        )
    digests = known.get("files")
    if not isinstance(digests, dict) or not all(map(_DIGEST.fullmatch, map(str, digests.values()))):
        raise HistoBenchError(
            f"{constants.ENDPOINT if asked else record}: does not give a digest of every file of {weights.hub} at "
            f"{weights.revision}; choose another mirror, or delete {RECORD} to have it made again"
        )
    if asked:
        with atomic_path(record) as temporary:
            temporary.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    return Commit(weights, folder, digests)


def _listing(weights: HubWeights) -> dict[str, str]:
    """Ask the Hub for the digests of a commit's files; ConnectionError where it gives no answer."""
    constants = _hub()
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    if not constants.HF_HUB_OFFLINE:
        http.reach(constants.ENDPOINT)  # the client itself would try for half a minute
    try:
        entries = list(HfApi().list_repo_tree(weights.hub, revision=weights.revision))
    except Exception as error:  # the client passes on what its HTTP library raises, or a page that is no JSON
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403, 404):
            raise HistoBenchError(
                f"{weights.hub}: {constants.ENDPOINT} shows no revision {weights.revision} of such a repository "
                f"({status}); correct `hub` or `revision` in the model's weights"
            ) from error
        raise ConnectionError(cause(error)) from error
    files = [entry for entry in entries if isinstance(entry, RepoFile)]
    for file in files:
        if not is_plain(file.path):
            raise HistoBenchError(
                f"{weights.hub} at {weights.revision}: {constants.ENDPOINT} lists the file {file.path!r}, which leads "
                "out of its folder; choose another repository or mirror"
            )
    return {
        file.path: f"sha256:{file.lfs.sha256}" if file.lfs else f"git:{file.blob_id}"
        for file in files
        if file.path.endswith((".json", ".safetensors"))
    }


def cause(error: BaseException) -> str:
    """Return in one line what lies at the bottom of an error."""
    while error.__cause__:
        error = error.__cause__
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
