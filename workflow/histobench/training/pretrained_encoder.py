"""Published weights of encoders: from a commit on the Hub, or a folder, to one safetensors file."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from histobench.fetch import hub
from histobench.fetch.snapshot import CONFIG, PICKLED, PREPROCESSOR, SINGLE
from histobench.io.errors import HistoBenchError
from histobench.io.files import atomic_path, read_json
from histobench.io.state_dicts import State, read
from histobench.models import encoder
from histobench.study.spec import EncoderSettings
from histobench.study.values import canonical_json
from histobench.training import pretrained_vlm

OTHER = ("text_model.", "text_projection.", "logit_scale", "pooler.", "classifier.", "embeddings.mask_token")
"""Parameters of a published model of transformers that its embeddings do not need: CLIP's text tower, heads, pretraining."""


def convert(settings: EncoderSettings, downloads: Path, output: Path, gated: bool = False) -> bool:
    """Write a model's published parameters, without classifier, in their published type, as one safetensors file to `output`.

    Its metadata hold the published config.json and preprocessor_config.json, and repository and commit, or the SHA-256 of a
    folder. Repositories are downloaded into folders in `downloads`, `gated` ones with the user's token; return whether
    anything was.

    Raises:
        HistoBenchError: as :func:`histobench.fetch.hub.fetch_files`; the config cannot be used, or a parameter is missing, of another shape, or unknown.
    """
    from safetensors.torch import save_file

    assert not isinstance(settings.weights, str)
    check = partial(_check, settings)
    folder, names, downloaded = hub.fetch_files(settings.weights, downloads, check, encoder=True, gated=gated)
    config = read_json(folder / CONFIG)
    state = _of_timm(settings, folder, names) if "architecture" in config else _of_transformers(folder, names)
    metadata = settings.weights.model_dump(exclude={"folder"})
    metadata[encoder.CONFIG] = canonical_json(config)
    if PREPROCESSOR in names:
        metadata[encoder.PREPROCESSOR] = canonical_json(read_json(folder / PREPROCESSOR))
    with atomic_path(output) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, temporary, metadata)
    return downloaded


def _check(settings: EncoderSettings, folder: Path) -> None:
    try:
        encoder.network(settings, read_json(folder / CONFIG), empty=True)
    except HistoBenchError as error:
        raise HistoBenchError(str(error) if str(folder) in str(error) else f"{folder / CONFIG}: {error}") from error


def _of_timm(settings: EncoderSettings, folder: Path, names: list[str]) -> State:
    """Return the state of a model of timm, under its own names."""
    state = {
        key: tensor
        for name in names
        if name.endswith((".safetensors", ".bin"))
        for key, tensor in read(folder / name).items()
    }
    model = encoder.network(settings, read_json(folder / CONFIG), empty=True)
    classifier = model.pretrained_cfg.get("classifier") or ()
    heads = tuple(f"{name}." for name in ([classifier] if isinstance(classifier, str) else classifier))
    own = model.state_dict().keys()
    state = {key: tensor for key, tensor in state.items() if key in own or not key.startswith(heads)}
    encoder.fill(model, state, f"{folder}: the weights", "choose another revision or folder, or correct `arguments`")
    return state


def _of_transformers(folder: Path, names: list[str]) -> State:
    """Return the state of a model of transformers, under the names that it has today."""
    from safetensors.torch import save_file

    configuration, model, arguments = encoder.of_transformers(read_json(folder / CONFIG))
    with TemporaryDirectory() as verified:  # transformers also looks for files that were not verified, such as adapters
        for name in names:
            if name == PICKLED:  # read without running the code that a pickle may hold
                tensors = {key: tensor.clone() for key, tensor in read(folder / name).items()}
                save_file(tensors, Path(verified, SINGLE), {"format": "pt"})
            else:
                Path(verified, name).symlink_to((folder / name).absolute())
        loaded = pretrained_vlm.load(model, configuration, folder, Path(verified), _is_ignored, **arguments)
    return loaded.state_dict()


def _is_ignored(name: str) -> bool:
    return name.startswith(OTHER) or name.endswith(".position_ids")
