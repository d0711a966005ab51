"""The files of a vision-language model's repository that loading uses, as they stand in a folder."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from histobench.io.errors import HistoBenchError
from histobench.io.files import sha256_of
from histobench.study.spec import FolderWeights, WeightsFile

CONFIG, SINGLE, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "added_tokens.json")
"""Files of a tokenizer that give the ids of added tokens; a repository has one of them or more."""


def files(folder: Path) -> list[str]:
    """Return the names of the files in `folder` that loading uses: config, tokenizer tables, and weights.

    Raises:
        HistoBenchError: there is no such folder, or one of them is missing.
    """
    if not folder.is_dir():
        raise HistoBenchError(f"{folder}: there is no such folder; put the model's files there, or correct its path")
    offered = {path.name for path in folder.iterdir() if path.is_file()}
    names = [CONFIG, *([name for name in TOKENIZER if name in offered] or TOKENIZER[:1])]
    names += [INDEX, *shards(folder / INDEX)] if INDEX in offered and SINGLE not in offered else [SINGLE]
    if missing := [name for name in names if name not in offered]:
        raise HistoBenchError(
            f"{folder / missing[0]}: there is no such file, which loading needs; put it there, or correct the path of the "
            "folder"
        )
    return names


def check_own(weights: object) -> None:
    """Require that weights of the user's own, a file or a folder, are where they are said to be; nothing of other weights.

    Raises:
        HistoBenchError: they are not.
    """
    if isinstance(weights, FolderWeights):
        files(Path(weights.folder))
    if isinstance(weights, WeightsFile) and not weights.package and "://" not in weights.file:
        if Path(weights.file).is_dir():
            raise HistoBenchError(
                f"{weights.file}: is a folder, but a CNN's weights are one file; name the .safetensors or .pth file in it "
                "as `file`"
            )
        if not Path(weights.file).is_file():
            raise HistoBenchError(f"{weights.file}: no such weights file; correct `file`, or put it there")


def shards(index: Path) -> list[str]:
    """Return the weights files that an index names."""
    named = read_json(index).get("weight_map")
    names = sorted(set(map(str, named.values()))) if isinstance(named, dict) else []
    if not names or not all(is_plain(name) and name.endswith(".safetensors") for name in names):
        raise HistoBenchError(
            f"{index}: names {names or 'nothing'}, expected .safetensors files beside it; choose another revision or mirror"
        )
    return names


@dataclass(frozen=True)
class Folder:
    """A folder of the user's own, with the face of a commit on the Hub: its files are there, or they are not."""

    weights: FolderWeights

    @property
    def name(self) -> str:
        """The folder's path, for a sentence."""
        return self.weights.folder

    @property
    def offered(self) -> set[str]:
        """Names of the files that loading uses."""
        return set(files(Path(self.weights.folder)))

    def get(self, name: str) -> bool:
        """Download nothing: :meth:`verify` has found every file."""
        return False

    def verify(self) -> None:
        """Require the files of the expected SHA-256.

        It is that of the sorted lines `SHA-256, two spaces, name, newline` of the files that loading uses.

        Raises:
            HistoBenchError: it is another one, or a file is missing.
        """
        folder = Path(self.weights.folder)
        names = files(folder)
        lines = sorted(f"{sha256_of(folder / name)}  {name}\n" for name in names)
        digest = hashlib.sha256("".join(lines).encode()).hexdigest()
        if digest != self.weights.sha256:
            raise HistoBenchError(
                f"{folder}: the SHA-256 of its files ({', '.join(names)}) is {digest}, expected {self.weights.sha256}; put "
                "the right files there, or correct `folder` or `sha256` in the model's weights"
            )


def is_plain(name: str) -> bool:
    """Tell whether a name is that of a file in the folder itself, on any system."""
    return re.fullmatch(r"[^/\\:\0]+", name) is not None and name not in (".", "..")


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object that a file holds."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise HistoBenchError(
            f"{path}: is not a JSON object ({error}); delete it to have it made or downloaded again"
        ) from error
