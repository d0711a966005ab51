"""Published weights of vision-language models: from a pinned commit on the Hugging Face Hub to one safetensors file."""

import reprlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from histobench.fetch.hub import cause, resolve
from histobench.fetch.snapshot import CONFIG, INDEX, SINGLE, TOKENIZER, Folder, files, read_json, shards
from histobench.io.errors import HistoBenchError
from histobench.io.files import atomic_path
from histobench.models.vlm import Architecture, architecture
from histobench.study.spec import FolderWeights, VlmSettings, canonical_json

LANGUAGE_HEAD = {"lm_head.weight"}
"""Parameters that a published file may lack (where they are the embedding's) or have in vain."""

_NO_EFFECT = (
    *("_name_or_path", "architectures", "dtype", "id2label", "label2id", "return_dict", "transformers_version"),
    *("_pad_token_id", "bos_token_id", "eos_token_id", "pad_token_id", "video_token_id", "tie_word_embeddings"),
    *("initializer_range", "max_position_embeddings", "max_window_layers", "pretraining_tp", "use_cache"),
)
"""Keys of a config that change nothing of what a loaded model makes of an image."""


def convert(settings: VlmSettings, folder: Path, output: Path) -> bool:
    """Write a model's published parameters, in their published type, as one safetensors file.

    It holds the state of the model without language-model head, under the names that transformers gives it, and tells
    repository and commit, or the SHA-256 of a folder, and config in its metadata. One copy of the parameters is in memory at a time.

    Args:
        settings: the model; its weights must not be `random`.
        folder: where the repository's files are kept, and looked for first; the folder of weights of the user's own.
        output: the safetensors file, written atomically.

    Returns:
        Whether anything was downloaded.

    Raises:
        HistoBenchError: as :func:`fetch`, or a parameter is missing, of another shape, or unknown.
    """
    from safetensors.torch import save_file

    downloaded, weights = fetch(settings, folder), settings.weights
    with TemporaryDirectory() as checked:  # transformers looks for more files than were checked, adapters for one
        for name in files(folder):
            Path(checked, name).symlink_to(folder.absolute() / name)
        model = _load(architecture(settings).generator, folder, Path(checked))
    origin = {} if isinstance(weights, str) else weights.model_dump(exclude={"folder"})
    metadata = {**origin, "config": canonical_json(settings.config)}
    with atomic_path(output) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, temporary, metadata)
    return downloaded


def fetch(settings: VlmSettings, folder: Path) -> bool:
    """Make sure that `folder` holds config, tokenizer tables and weights of a model, and that they are the published ones.

    Files that are there already, whoever put them there, are only checked: by SHA-256 or, where the Hub keeps a file in
    git itself, by its git object id. Config and tokenizer are compared with the settings before weights are downloaded.
    Where the Hub cannot be asked and never was, complete files are taken as they are, with a warning. The environment
    variable HF_ENDPOINT names a mirror of https://huggingface.co; HF_HUB_OFFLINE=1 spares waiting for it. For a folder of
    the user's own nobody is asked: its files must have the SHA-256 that its weights name.

    Returns:
        Whether anything was downloaded.

    Raises:
        HistoBenchError: a file is missing and cannot be had, is not the published one, or is damaged; or the published
            config or tokenizer is not what the settings say.
    """
    from safetensors import SafetensorError, safe_open

    if settings.weights == "random":
        raise HistoBenchError(f"{settings.family}: random weights are not fetched; leave out --weights")
    if isinstance(settings.weights, FolderWeights):
        commit = Folder(settings.weights)
        commit.verify()
    else:
        commit = resolve(settings.weights, folder)
    offered = commit.offered
    downloaded = False
    for name in (CONFIG, *([name for name in TOKENIZER if name in offered] or TOKENIZER[:1])):
        downloaded |= commit.get(name)
    made = architecture(settings)
    _require_config(made, settings, folder / CONFIG)
    _require_markers(made, folder)
    names = [SINGLE]
    if SINGLE not in offered:
        if (folder / SINGLE).exists():  # transformers would take it, index or not
            raise HistoBenchError(f"{folder / SINGLE}: {commit.name} has no such file; move it away")
        if INDEX in offered:
            downloaded |= commit.get(INDEX)
            names = shards(folder / INDEX)
    for name in names:
        downloaded |= commit.get(name)
        try:
            with safe_open(folder / name, framework="pt"):
                pass
        except (OSError, SafetensorError) as error:
            raise HistoBenchError(
                f"{folder / name}: is not a whole safetensors file ({error}); put a whole one there, or delete it to have it "
                "downloaded again"
            ) from error
    return downloaded


def _load(generator: Any, folder: Path, checked: Path) -> Any:
    """Load a model from files that are there; return it without language-model head, every parameter as published.

    Args:
        generator: the class with language-model head.
        folder: where the files are, for a sentence.
        checked: a folder with those files alone that loading needs.
    """
    from safetensors import SafetensorError
    from transformers.utils import logging as chatter

    chatter.set_verbosity_error()  # its table of missing parameters would stand before our sentence
    try:
        model, report = generator.from_pretrained(
            checked,
            dtype="auto",
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are in the report, too
            use_safetensors=True,
            local_files_only=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError, SafetensorError) as error:
        raise HistoBenchError(
            f"{folder}: transformers cannot load the weights ({cause(error)}); choose another revision or folder"
        ) from error
    # transformers only warns of these, and leaves random numbers where something is missing.
    faults = {
        "lack": set(report["missing_keys"]),
        "have the unknown": set(report["unexpected_keys"]),
        "have in another shape the": {name for name, *_ in report["mismatched_keys"]},
    }
    for fault, names in faults.items():
        if names := sorted(names - LANGUAGE_HEAD):
            raise HistoBenchError(
                f"{folder}: the weights {fault} parameter {names[0]} ({len(names)} such); choose another revision or folder"
            )
    return model.model


def _require_config(made: Architecture, settings: VlmSettings, path: Path) -> None:
    """Raise unless the published config makes the model that the settings make, key by key, defaults included."""
    from huggingface_hub.errors import StrictDataclassError

    published, own = read_json(path), type(made.config)
    if (found := published.get("model_type")) != own.model_type:
        raise HistoBenchError(
            f"{path}: its model_type is {found}, expected {own.model_type} for the family {settings.family}; correct "
            "`family`, or `model_type` in the model's config"
        )
    try:
        theirs = own.from_dict(published).to_dict()
    except (StrictDataclassError, TypeError, ValueError, AttributeError, KeyError) as error:
        raise HistoBenchError(
            f"{path}: transformers does not take it ({cause(error)}); choose another revision or folder"
        ) from error
    for key, value, other in _differences(made.config.to_dict(), theirs, settings.config):
        raise HistoBenchError(
            f"{path}: {key} is {reprlib.repr(other)}, but {reprlib.repr(value)} by the model's config; correct {key} there "
            "(absent keys have transformers' defaults), or choose another revision or folder"
        )


def _differences(own: Any, published: Any, given: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield key, own and published value where two complete configs differ; `given` are the keys written in YAML."""
    for key, value in own.items():
        named = key in given
        if isinstance(value, dict) and "model_type" in value and isinstance(published.get(key), dict):
            inner = given[key] if named and isinstance(given[key], dict) else {}
            yield from _differences(value, published[key], inner, f"{prefix}{key}.")
        elif named and key not in published:
            yield prefix + key, value, None
        elif (named or key not in _NO_EFFECT) and published.get(key, value) != value:
            yield prefix + key, value, published[key]


def _require_markers(made: Architecture, folder: Path) -> None:
    """Raise unless the tokenizer's tables of added tokens give the image markers the ids that the model is fed."""
    tables = [_added_tokens(folder / name) for name in TOKENIZER if (folder / name).exists()]
    for token, expected in zip(made.family.MARKER_TOKENS, made.family.marker_ids(made.config), strict=True):
        found = sorted({table[token] for table in tables if token in table})
        if found != [expected]:
            raise HistoBenchError(
                f"{folder}: the tokenizer gives {token} the id {' and '.join(map(str, found)) or 'of no added token'}, the "
                f"model's config {expected}; correct the token ids there, or choose another revision or folder"
            )


def _added_tokens(path: Path) -> dict[str, int]:
    content = read_json(path)
    try:
        if path.name == "added_tokens.json":
            return {token: int(number) for token, number in content.items()}
        tokens = {token["content"]: int(token["id"]) for token in content.get("added_tokens", [])}
        decoder = content.get("added_tokens_decoder", {})
        return tokens | {token["content"]: int(number) for number, token in decoder.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise HistoBenchError(f"{path}: its added tokens cannot be read; choose another revision or folder") from error
