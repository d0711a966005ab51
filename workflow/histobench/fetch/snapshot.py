"""Weights on this machine: the files of a repository of the Hugging Face Hub in a folder, and files of the user's own."""

import hashlib
import re
from pathlib import Path

from histobench.io.errors import HistoBenchError
from histobench.io.files import read_json, sha256_of
from histobench.study.spec import FolderWeights, WeightsFile

CONFIG, SINGLE, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
PREPROCESSOR, PICKLED = "preprocessor_config.json", "pytorch_model.bin"
"""What only encoders have: normalisation, which is optional; and weights where there are no safetensors."""

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "added_tokens.json")
"""Tokenizer files that give the ids of added tokens; a vision-language model's repository has at least one of them."""


def small_files(offered: set[str], encoder: bool = False) -> list[str]:
    """Return the names of config and tokenizer files that loading needs, of those offered; of an encoder the first is enough."""
    if encoder:
        return [CONFIG, *(name for name in (PREPROCESSOR, TOKENIZER[0]) if name in offered)]
    return [CONFIG, *([name for name in TOKENIZER if name in offered] or TOKENIZER[:1])]


def main_file(offered: set[str], encoder: bool = False) -> str:
    """Return the name of the weights file or of the index of several, of the files offered."""
    return next((name for name in (SINGLE, INDEX, *[PICKLED] * encoder) if name in offered), SINGLE)


def files(folder: Path, encoder: bool = False) -> list[str]:
    """Return the names of the files in `folder` that loading needs: config, tokenizer and weights.

    Raises:
        HistoBenchError: the folder does not exist, or a file is missing.
    """
    if not folder.is_dir():
        raise HistoBenchError(f"{folder}: there is no such folder; put the model's files there, or correct its path")
    offered = {path.name for path in folder.iterdir() if path.is_file()}
    names = [*small_files(offered, encoder), main_file(offered, encoder)]
    names += shards(folder / INDEX) if INDEX in names else []
    if missing := [name for name in names if name not in offered]:
        raise HistoBenchError(
            f"{folder / missing[0]}: there is no such file, which loading needs; put it there, or correct the path of the "
            "folder"
        )
    return names


def shards(index: Path) -> list[str]:
    """Return the names of the weights files that an index lists.

    Raises:
        HistoBenchError: the index is damaged, or lists a file outside its folder or of another format.
    """
    listed = read_json(index).get("weight_map")
    names = sorted(set(map(str, listed.values()))) if isinstance(listed, dict) else []
    if not names or not all(is_plain(name) and name.endswith(".safetensors") for name in names):
        raise HistoBenchError(
            f"{index}: lists {names or 'nothing'}, expected .safetensors files beside it; choose another revision or mirror"
        )
    return names


def verify_folder(weights: FolderWeights, encoder: bool = False) -> list[str]:
    """Require that the files in the user's own folder have the expected SHA-256; return their names.

    It is the SHA-256 of the sorted lines `SHA-256, two spaces, name, newline` of the files that loading needs.

    Raises:
        HistoBenchError: it is another one, or a file is missing.
    """
    folder = Path(weights.folder)
    names = files(folder, encoder)
    lines = sorted(f"{sha256_of(folder / name)}  {name}\n" for name in names)
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    if digest != weights.sha256:
        raise HistoBenchError(
            f"{folder}: the SHA-256 of its files ({', '.join(names)}) is {digest}, expected {weights.sha256}; put "
            "the right files there, or correct `folder` or `sha256` in the model's weights"
        )
    return names


def check_own(weights: object, encoder: bool = False, text: bool = False) -> None:
    """Raise :class:`HistoBenchError` where the user's own weights, a file or a folder, or the tokenizer for `text`, do not exist."""
    if isinstance(weights, FolderWeights) and TOKENIZER[0] not in files(Path(weights.folder), encoder) and text:
        raise HistoBenchError(
            f"{Path(weights.folder) / TOKENIZER[0]}: there is no such file, which prompts need; put it there"
        )
    if isinstance(weights, WeightsFile) and not weights.package and not is_url(weights.file):
        if Path(weights.file).is_dir():
            raise HistoBenchError(
                f"{weights.file}: is a folder, but the weights of a CNN are one file; give the .safetensors or .pth file "
                "in it as `file`"
            )
        if not Path(weights.file).is_file():
            raise HistoBenchError(f"{weights.file}: there is no such weights file; correct `file`, or put it there")


def is_url(file: str) -> bool:
    """Return whether a configured file is an address to download from."""
    return file.startswith(("http://", "https://"))


def is_plain(name: str) -> bool:
    """Return whether a name is that of a file in the folder itself, on any system."""
    return re.fullmatch(r"[^/\\:\0]+", name) is not None and name not in (".", "..")
