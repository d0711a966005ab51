"""What a family of vision-language models is, and the architecture of one of its models by a config of transformers."""

import importlib
import json
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from histobench.io.errors import HistoBenchError
from histobench.study.spec import VlmSettings, family_module

_IGNORED = ("attn_implementation", "auto_map", "dtype", "model_type", "quantization_config", "torch_dtype")
"""Keys of a config that do not describe an architecture, or that name code to download; with those that begin with `_`."""


class Family(ABC):
    """What is specific to one family of vision-language models; see `histobench.models.families`."""

    MEAN: Sequence[float]
    """Mean per colour channel that the family's image processor subtracts, on the scale 0 to 1."""
    STD: Sequence[float]
    """Standard deviation per colour channel that it divides by."""
    VISION: tuple[str, ...]
    """Submodules of the model that turn pixels into visual tokens."""
    DECODER: str
    """The submodule that the visual tokens are passed to."""
    CONNECTOR: tuple[str, ...]
    """Submodules between the two, which project into the decoder's space."""
    VISION_ATTENTION: str
    """Regular expression of the attention projections inside the first submodule of `VISION`."""
    MARKER_TOKENS: tuple[str, str, str]
    """Texts of the tokens before, in place of and after an image, as in the tokenizer's files."""

    @abstractmethod
    def classes(self, config: Mapping[str, Any]) -> tuple[type, type, type]:
        """Return the transformers classes of configuration, model, and model with language-model head."""

    @abstractmethod
    def marker_ids(self, config: Any) -> tuple[int, int, int]:
        """Return the ids of `MARKER_TOKENS`."""

    @abstractmethod
    def patch(self, config: Any) -> tuple[int, int]:
        """Return the side of a patch in pixels, and how many patches along a side are merged into one visual token."""

    def loaded(self, model: Any) -> None:  # noqa: B027  # most families need nothing
        """Replace parts of a model, or of one of its two parts, once its parameters are loaded, by equivalent faster ones."""

    def deepstack(self, config: Any) -> int:
        """Return after how many of the decoder's first layers further features of each visual token are added to it."""
        return 0

    @abstractmethod
    def tokens(self, model: Any, images: torch.Tensor) -> torch.Tensor:
        """Return the visual tokens (N, T, D) of normalised images (N, 3, S, S).

        With `deepstack` layers they have the further features behind their own: (N, T, (1 + layers) * D).
        """

    @abstractmethod
    def positions(self, side: int, text: int = 0) -> torch.Tensor | None:
        """Return the decoder's position ids for `side` x `side` visual tokens between their markers, and `text` tokens after
        them; None for 0, 1, 2..."""


def family(name: str) -> Family:
    """Return a family by its name in the configuration."""
    return importlib.import_module(family_module(name)).FAMILY


@dataclass(frozen=True)
class Architecture:
    """A model's transformers classes and configuration, checked; no model is built yet."""

    family: Family
    config: Any
    model: type
    generator: type
    """The class with language-model head."""
    side: int
    """Visual tokens along a side of the image."""

    @property
    def tokens(self) -> tuple[int, int]:
        """Shape (T, D) of an image's visual tokens; D includes the features of `Family.deepstack`."""
        return self.side**2, self.hidden_size * (1 + self.family.deepstack(self.config))

    @property
    def hidden_size(self) -> int:
        """Width of the decoder."""
        return self.config.text_config.hidden_size


def architecture(settings: VlmSettings, config: Mapping[str, Any] | None = None) -> Architecture:
    """Return the architecture of a model by `config`, the content of the repository's config.json, or that in `settings`.

    Raises:
        HistoBenchError: transformers rejects the config, it is another family's, or the image size is not a multiple of
            the side of a visual token.
    """
    config = settings.config if config is None else config
    if config is None:
        raise HistoBenchError(f"{settings.family}: the model has no config; give `config` in the model's settings")
    kind = family(settings.family)
    config_class, model, generator = kind.classes(config)
    own = getattr(config_class, "model_type", None)
    if (found := config.get("model_type", own)) != own:
        raise HistoBenchError(
            f"{settings.family}: the model's config has the model_type {reprlib.repr(found)}, expected {own}; correct "
            "`family`, or choose another model"
        )
    with config_errors(settings):
        made = config_class(**_architecture_keys(config))
        patch, merge = kind.patch(made)
        side, rest = divmod(settings.image_size, patch * merge)
    if rest or not side:
        raise HistoBenchError(
            f"{settings.family}: image_size {settings.image_size} is not a multiple of {patch * merge} px, the side of a "
            f"visual token (patches of {patch} px, {merge} x {merge} of them merged); choose another image_size"
        )
    return Architecture(kind, made, model, generator, side)


def _architecture_keys(config: Mapping[str, Any], nested: bool = False) -> dict[str, Any]:
    """Return a copy of a config (transformers changes nested mappings) without the keys that are ignored."""
    kept = {}
    for key, value in config.items():
        # Only nested configs choose their class by their model_type.
        if not key.startswith("_") and (key not in _IGNORED or (nested and key == "model_type")):
            is_config = not nested and key.endswith("_config") and isinstance(value, Mapping)
            kept[key] = _architecture_keys(value, nested=True) if is_config else json.loads(json.dumps(value))
    return kept


@contextmanager
def config_errors(settings: VlmSettings) -> Iterator[None]:
    """Turn the errors that transformers raises about a config, or a model built by it, into one message."""
    try:
        yield
    except Exception as error:  # it checks little, so that nonsense can raise anything anywhere
        reason = " ".join(str(error).split())[:200]
        raise HistoBenchError(
            f"{settings.family}: transformers does not accept the model's config ({reason}); correct it, or choose another "
            "model"
        ) from error
