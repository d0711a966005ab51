"""Published weights of encoders: from a commit on the Hub, or a folder, to one safetensors file."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from histobench.fetch import hub
from histobench.fetch.snapshot import CONFIG, PICKLED, PREPROCESSOR, SINGLE
from histobench.io.errors import HistoBenchError
from histobench.io.files import atomic_path, read_json
from histobench.io.state_dicts import State, read
from histobench.models import encoder
from histobench.models.encoder import Tower
from histobench.models.text_embeddings import SCALE, text_tower
from histobench.study.spec import EncoderSettings
from histobench.study.values import canonical_json
from histobench.training import pretrained_vlm

OTHER: dict[Tower, tuple[str, ...]] = {
    "vision": ("text_model.", "text_projection.", SCALE, "pooler.", "classifier.", "embeddings.mask_token"),
    "text": ("vision_model.", "visual_projection.", SCALE),
}
"""Parameters of a published model of transformers that a tower does not need: CLIP's other one, heads, pretraining."""


def convert(settings: EncoderSettings, downloads: Path, output: Path, gated: bool = False) -> bool:
    """Write a model's published parameters, without classifier, in their published type, as one safetensors file to `output`.

    Its metadata hold the published config.json and preprocessor_config.json, and repository and commit, or the SHA-256 of a
    folder. Repositories are downloaded into folders in `downloads`, `gated` ones with the user's token; return whether
    anything was.

    Raises:
        HistoBenchError: as :func:`histobench.fetch.hub.fetch_files`; the config cannot be used, or a parameter is missing, of another shape, or unknown.
    """
    return _convert(settings, downloads, output, gated, "vision")


def convert_text_tower(settings: EncoderSettings, downloads: Path, output: Path, gated: bool = False) -> bool:
    """Write a CLIP's published text tower with projection and the logit scale alone, as :func:`convert` writes the rest.

    Raises:
        HistoBenchError: as :func:`convert`, or the model is no CLIP of transformers.
    """
    return _convert(settings, downloads, output, gated, "text")


def _convert(settings: EncoderSettings, downloads: Path, output: Path, gated: bool, tower: Tower) -> bool:
    from safetensors.torch import save_file

    assert not isinstance(settings.weights, str)
    check = partial(_check, settings, tower)
    folder, names, downloaded = hub.fetch_files(settings.weights, downloads, check, encoder=True, gated=gated)
    config = read_json(folder / CONFIG)
    state = _of_timm(settings, folder, names) if "architecture" in config else _of_transformers(folder, names, tower)
    metadata = settings.weights.model_dump(exclude={"folder"})
    metadata[encoder.CONFIG] = canonical_json(config)
    if PREPROCESSOR in names:
        metadata[encoder.PREPROCESSOR] = canonical_json(read_json(folder / PREPROCESSOR))
    with atomic_path(output) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, temporary, metadata)
    return downloaded


def _check(settings: EncoderSettings, tower: Tower, folder: Path) -> None:
    try:
        (encoder.network if tower == "vision" else text_tower)(settings, read_json(folder / CONFIG), empty=True)
    except HistoBenchError as error:
        raise HistoBenchError(str(error) if str(folder) in str(error) else f"{folder / CONFIG}: {error}") from error


def _published(folder: Path, names: list[str]) -> dict[str, torch.Tensor]:
    return {
        key: tensor
        for name in names
        if name.endswith((".safetensors", ".bin"))
        for key, tensor in read(folder / name).items()
    }


def _of_timm(settings: EncoderSettings, folder: Path, names: list[str]) -> State:
    """Return the state of a model of timm, under its own names."""
    state = _published(folder, names)
    model = encoder.network(settings, read_json(folder / CONFIG), empty=True)
    classifier = model.pretrained_cfg.get("classifier") or ()
    heads = tuple(f"{name}." for name in ([classifier] if isinstance(classifier, str) else classifier))
    own = model.state_dict().keys()
    state = {key: tensor for key, tensor in state.items() if key in own or not key.startswith(heads)}
    encoder.fill(model, state, f"{folder}: the weights", "choose another revision or folder, or correct `arguments`")
    return state


def _of_transformers(folder: Path, names: list[str], tower: Tower) -> State:
    """Return the state of a tower of a model of transformers, under the names that it has today."""
    from safetensors.torch import save_file

    configuration, model, arguments = encoder.of_transformers(read_json(folder / CONFIG), tower)
    with TemporaryDirectory() as verified:  # transformers also looks for files that were not verified, such as adapters
        for name in names:
            if name == PICKLED:  # read without running the code that a pickle may hold
                tensors = {key: tensor.clone() for key, tensor in read(folder / name).items()}
                save_file(tensors, Path(verified, SINGLE), {"format": "pt"})
            else:
                Path(verified, name).symlink_to((folder / name).absolute())
        ignored = partial(_is_ignored, tower)
        state = pretrained_vlm.load(model, configuration, folder, Path(verified), ignored, **arguments).state_dict()
    if tower == "text":
        published = _published(folder, names)
        if SCALE not in published or published[SCALE].numel() != 1:
            raise HistoBenchError(
                f"{folder}: the weights lack parameter {SCALE}, one number; choose another revision or folder"
            )
        state[SCALE] = published[SCALE].reshape(())
    return state


def _is_ignored(tower: Tower, name: str) -> bool:
    return name.startswith(OTHER[tower]) or name.endswith(".position_ids")
