"""Published weights of vision-language models: from a commit on the Hub, or a folder, to one safetensors file."""

import reprlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from histobench.fetch import hub
from histobench.fetch.snapshot import CONFIG, TOKENIZER
from histobench.io.errors import HistoBenchError
from histobench.io.files import atomic_path, read_json
from histobench.models import prompts, vlm
from histobench.study.spec import VlmSettings
from histobench.study.values import canonical_json

LANGUAGE_HEAD = {"lm_head.weight"}
"""Parameters that a published file may lack (where they are those of the embedding) or hold without use."""


def convert(settings: VlmSettings, downloads: Path, output: Path) -> bool:
    """Write a model's published parameters, in their published type, as one safetensors file to `output`.

    It holds the state of the model without language-model head, under the names of transformers. Its metadata hold the
    architecture (the published config.json), and repository and commit, or the SHA-256 of a folder. Repositories are
    downloaded into folders in `downloads`; return whether anything was.

    Raises:
        HistoBenchError: as :func:`fetch`, or a parameter is missing, of another shape, or unknown.
    """
    from safetensors.torch import save_file

    generator, config, downloaded = _published(settings, downloads, LANGUAGE_HEAD)
    model = generator.model
    origin = {} if isinstance(settings.weights, str) else settings.weights.model_dump(exclude={"folder"})
    metadata = {**origin, vlm.CONFIG: canonical_json(config)}
    with atomic_path(output) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, temporary, metadata)
    return downloaded


def convert_language_head(settings: VlmSettings, downloads: Path, output: Path) -> bool:
    """Write a model's published language-model head alone, as :func:`convert` writes the rest; it may be that of the embedding.

    Raises:
        HistoBenchError: as :func:`convert`.
    """
    from safetensors.torch import save_file

    generator, _, downloaded = _published(settings, downloads, set())
    with atomic_path(output) as temporary:
        save_file({prompts.HEAD: generator.get_output_embeddings().weight.detach().contiguous()}, temporary)
    return downloaded


def _published(settings: VlmSettings, downloads: Path, optional: set[str]) -> tuple[Any, Any, bool]:
    """Return a model with language-model head and its config, and whether anything was downloaded.

    Its weights may lack the `optional` parameters, or hold them without use.
    """
    folder, names, downloaded = fetch(settings, downloads)
    config = read_json(folder / CONFIG)
    with TemporaryDirectory() as verified:  # transformers also looks for files that were not verified, such as adapters
        for name in names:
            Path(verified, name).symlink_to(folder.absolute() / name)
        made = vlm.architecture(settings, config)
        model = load(made.generator, made.config, folder, Path(verified), optional.__contains__)
        return model, config, downloaded


def fetch(settings: VlmSettings, downloads: Path) -> tuple[Path, list[str], bool]:
    """Return folder and names of a model's config, tokenizer files and weights, and whether any was downloaded.

    Raises:
        HistoBenchError: as :func:`histobench.fetch.hub.fetch_files`; the config cannot be used, or the tokenizer does not fit it.
    """
    assert not isinstance(settings.weights, str)
    return hub.fetch_files(settings.weights, downloads, partial(_check_description, settings))


def _check_description(settings: VlmSettings, folder: Path) -> None:
    """Require a config that can be used, and a tokenizer whose ids of the image markers are those of the config."""
    path = folder / CONFIG
    try:
        made = vlm.architecture(settings, read_json(path))
    except HistoBenchError as error:
        raise HistoBenchError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    tables = [_added_tokens(folder / name) for name in TOKENIZER if (folder / name).exists()]
    for token, expected in zip(made.family.MARKER_TOKENS, made.family.marker_ids(made.config), strict=True):
        found = sorted({table[token] for table in tables if token in table})
        if found != [expected]:
            raise HistoBenchError(
                f"{folder}: the tokenizer gives {token} the id {' and '.join(map(str, found)) or 'of no added token'}, the "
                f"model's config {reprlib.repr(expected)}; choose another revision or folder"
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


def load(
    model_class: Any, config: Any, folder: Path, verified: Path, is_ignored: Callable[[str], bool], **arguments: Any
) -> Any:
    """Return a model of transformers with every parameter as published, from safetensors in the folder `verified`.

    Raises:
        HistoBenchError: transformers cannot load it, or a parameter other than an ignored one is missing, unknown, or of
            another shape; the message names `folder`.
    """
    from safetensors import SafetensorError
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()  # its table of missing parameters would come before our message
    try:
        model, report = model_class.from_pretrained(
            verified,
            config=config,
            dtype="auto",
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are in the report, too
            use_safetensors=True,
            local_files_only=True,
            **arguments,
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError, SafetensorError) as error:
        reason = reprlib.repr(" ".join(str(error.__cause__ or error).split()))
        raise HistoBenchError(
            f"{folder}: transformers cannot load the weights ({reason}); choose another revision or folder"
        ) from error
    # transformers only warns of these, and leaves random numbers where something is missing.
    faults = {
        "lack": set(report["missing_keys"]),
        "have the unknown": set(report["unexpected_keys"]),
        "have in another shape the": {name for name, *_ in report["mismatched_keys"]},
    }
    found = [
        f"{fault} parameter {sorted(names)[0]} ({len(names)} such)"
        for fault, every in faults.items()
        if (names := {name for name in every if not is_ignored(name)})
    ]
    if found:
        raise HistoBenchError(f"{folder}: the weights {' and '.join(found)}; choose another revision or folder")
    return model
