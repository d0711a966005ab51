"""Published image encoders as binary classifiers of uint8 images: models of timm, and ViT, DINOv2 and CLIP of transformers.

Their config.json says which they are. timm and transformers are imported only when a model is built: they take seconds.
"""

import importlib
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from torch import nn

from histobench.io.errors import HistoBenchError
from histobench.io.state_dicts import read, require_shapes, shapes
from histobench.models import cnn
from histobench.models.unfilled import Unfilled
from histobench.study.spec import IMAGENET_MEAN, IMAGENET_STD, EncoderSettings

CONFIG, PREPROCESSOR = "config", "preprocessor"
"""Keys of the published config.json and preprocessor_config.json, as JSON, in the metadata of converted weights."""

_KINDS = {
    "vit": ("ViTConfig", "ViTModel", {"add_pooling_layer": False}),
    "dinov2": ("Dinov2Config", "Dinov2Model", {}),
    "clip": ("CLIPVisionConfig", "CLIPVisionModelWithProjection", {}),
}
"""The `model_type` of a config.json; classes of configuration and model in transformers; further arguments of the model."""

Tower = Literal["vision", "text"]
"""A part of a CLIP; other encoders are a vision tower alone."""

_CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Mean and deviation that CLIP was trained with (Radford et al., ICML 2021)."""


class TimmBackbone(nn.Module):
    """A model of timm without classifier: from normalised images (N, 3, S, S) to embeddings (N, D)."""

    def __init__(self, model: Any, pooling: str):
        super().__init__()
        self.model, self.pooling = model, pooling

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the embeddings of images."""
        features = self.model.forward_features(images)
        if self.pooling == "model":
            pooled = self.model.forward_head(features, pre_logits=True)
            if pooled.ndim == 3:
                raise HistoBenchError(
                    "the model itself returns tokens, not one embedding; set `pooling` to token, mean or token+mean"
                )
            return pooled
        class_token = getattr(self.model, "cls_token", None) is not None
        if features.ndim != 3 or not (class_token or self.pooling == "mean"):
            raise HistoBenchError(f"the model has no tokens for `pooling: {self.pooling}`; leave `pooling` out")
        return _pooled(features, getattr(self.model, "num_prefix_tokens", 0), self.pooling)


class TransformersBackbone(nn.Module):
    """A ViT, DINOv2 or CLIP image tower of transformers: from normalised images (N, 3, S, S) to embeddings (N, D)."""

    def __init__(self, model: Any, pooling: str, side: int):
        super().__init__()
        self.model, self.pooling = model, pooling
        # DINOv2 adapts its positions to the image size unasked.
        resized = model.config.model_type != "dinov2" and model.config.image_size != side
        self.options = {"interpolate_pos_encoding": True} if resized else {}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the embeddings of images."""
        output = self.model(pixel_values=images, **self.options)
        if self.pooling == "model" and "image_embeds" in output:
            return output.image_embeds
        # The dense layer that a ViT may have after its class token is no part of published encoders, and is not used.
        return _pooled(output.last_hidden_state, 1, "token" if self.pooling == "model" else self.pooling)


def _pooled(tokens: torch.Tensor, prefix: int, pooling: str) -> torch.Tensor:
    """Return class token, mean of patch tokens, or both, of tokens (N, prefix + patches, D) after the last norm."""
    parts = {"token": tokens[:, 0], "mean": tokens[:, prefix:].mean(1)}
    return torch.cat([parts[name] for name in pooling.split("+")], dim=1)


def build(
    settings: EncoderSettings, seed: int, weights: Path | None, empty: bool = False, outputs: int = 1
) -> cnn.Classifier:
    """Build a classifier on the CPU, in training mode; no random state of the caller changes.

    `weights` were written by :func:`histobench.training.pretrained_encoder.convert`; their metadata hold the config.
    Without, it is in `settings`, and parameters are random or, if `empty`, on the meta device. The `seed` determines the
    new head and all random parameters.

    Raises:
        HistoBenchError: the config, pooling or image size cannot be used; the weights are not those of the model.
    """
    config, preprocessor = stored(weights) if weights else (settings.config or {}, {})
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the caller's GPUs as well
        model = network(settings, config, empty=empty or weights is not None)
        if weights:
            fill(model, read(weights), f"{weights}: the weights", "delete the file to have it made again")
        side, patches = settings.image_size, getattr(model, "patch_embed", None)
        of_timm = "architecture" in config
        patch = getattr(patches, "patch_size", (1,))[0] if of_timm else model.config.patch_size
        if side % patch:
            raise HistoBenchError(
                f"the encoder divides images into patches of {patch} px, of which {side} px is no multiple; choose another image_size"
            )
        if of_timm and getattr(patches, "img_size", (side, side)) != (side, side):
            model.set_input_size(img_size=(side, side))  # resamples the positions
        backbone = (
            TimmBackbone(model, settings.pooling) if of_timm else TransformersBackbone(model, settings.pooling, side)
        )
        head = nn.Linear(cnn.dimensions(backbone, side, "the encoder"), outputs)
    return cnn.Classifier(backbone, head, *_normalisation(model, preprocessor))


def network(settings: EncoderSettings, config: Mapping[str, Any], empty: bool = False, tower: Tower = "vision") -> Any:
    """Return a tower of the model that a config.json describes, without classifier; if `empty`, it is on the meta device.

    Raises:
        HistoBenchError: the config is of no known form, has no such tower, or the library does not accept it.
    """
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False) if empty else nullcontext(), Unfilled():
        try:
            if "architecture" in config and tower == "vision":
                return _of_timm(settings, config)
            return _of_transformers(settings, config, tower)
        except HistoBenchError:
            raise
        except Exception as error:  # whatever a library raises about values that it cannot use
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            what = "`arguments`" if "architecture" in config else "the config"
            raise HistoBenchError(
                f"the config.json cannot be built ({reason}); correct {what}, or choose another model"
            ) from error


def of_transformers(config: Mapping[str, Any], tower: Tower = "vision") -> tuple[Any, type, dict[str, Any]]:
    """Return configuration, class and further arguments of a tower of the model of transformers that a config.json describes.

    Raises:
        HistoBenchError: its `model_type` is not known here, or has no such tower.
    """
    kind = config.get("model_type")
    if tower == "text" and kind != "clip":
        raise HistoBenchError(
            f"the config.json is of {config.get('architecture', kind)!r}, which reads no text, but a mode with `trainable: none` "
            "compares images with captions; take the model out of the mode, or choose a CLIP of transformers"
        )
    if kind not in _KINDS:
        raise HistoBenchError(
            f"the config.json has no `architecture` of timm, and the model_type {str(kind)[:60]!r}, expected one of "
            f"{', '.join(_KINDS)}; choose another model"
        )
    configuration, model, arguments = _KINDS[kind]
    transformers: Any = importlib.import_module("transformers")
    if kind == "clip":  # only one tower is built
        config = (config.get(f"{tower}_config") or {}) | {"projection_dim": config.get("projection_dim", 512)}
        configuration, model = (name.replace("Vision", tower.capitalize()) for name in (configuration, model))
    unwanted = ("_", "auto_map", "dtype", "model_type", "quantization_config", "torch_dtype", "transformers_version")
    keys = {key: value for key, value in config.items() if not key.startswith(unwanted)}
    return getattr(transformers, configuration)(**keys), getattr(transformers, model), arguments


def fill(model: nn.Module, state: Mapping[str, torch.Tensor], what: str, remedy: str) -> None:
    """Replace every parameter and buffer of a model's state, in the model's own type.

    Raises:
        HistoBenchError: a tensor is missing, unknown or of another shape; `what` (a plural) and `remedy` are for the message.
    """
    own = model.state_dict()
    require_shapes(shapes(state), shapes(own), what, remedy)
    model.load_state_dict({name: state[name].to(tensor.dtype) for name, tensor in own.items()}, assign=True)


def _of_transformers(settings: EncoderSettings, config: Mapping[str, Any], tower: Tower) -> Any:
    configuration, model, arguments = of_transformers(config, tower)
    if settings.arguments:
        raise HistoBenchError("`arguments` are for models of timm, and this is one of transformers; leave them out")
    return model(configuration, **arguments)


def _of_timm(settings: EncoderSettings, config: Mapping[str, Any]) -> Any:
    import timm

    name = config["architecture"]
    if not isinstance(name, str) or not timm.is_model(name):
        raise HistoBenchError(
            f"timm has no model {str(name)[:60]!r}, the `architecture` of the config.json; choose another"
        )
    arguments = {key: _layer(key, value) for key, value in settings.arguments.items()}
    with TemporaryDirectory() as folder:  # timm itself reads the config, as it does with one of the Hub
        Path(folder, "config.json").write_text(json.dumps(config), encoding="utf-8")
        return timm.create_model(f"local-dir:{folder}", **arguments | {"pretrained": False, "num_classes": 0})


def _layer(key: str, value: Any) -> Any:
    """Return the class of timm or PyTorch that an argument names; other arguments as they are."""
    if key not in ("act_layer", "mlp_layer"):
        return value
    import timm.layers

    for library in (timm.layers, nn):
        found = getattr(library, str(value), None)
        if isinstance(found, type | partial):  # SwiGLUPacked is a partial
            return found
    raise HistoBenchError(
        f"`arguments` give {key} as {str(value)[:60]!r}, which neither timm.layers nor torch.nn has; correct the name"
    )


def _normalisation(model: Any, preprocessor: Mapping[str, Any]) -> tuple[Sequence[float], Sequence[float]]:
    """Return mean and deviation per colour channel, on the scale 0 to 1, that a model was published with."""
    if hasattr(model, "pretrained_cfg"):
        return model.pretrained_cfg["mean"], model.pretrained_cfg["std"]
    usual = _CLIP if model.config.model_type.startswith("clip") else (IMAGENET_MEAN, IMAGENET_STD)
    return preprocessor.get("image_mean", usual[0]), preprocessor.get("image_std", usual[1])


def stored(weights: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the config.json and preprocessor_config.json in the metadata of converted weights; the latter may be empty."""
    from safetensors import safe_open

    with safe_open(weights, framework="pt") as file:
        metadata = file.metadata() or {}
    return json.loads(metadata[CONFIG]), json.loads(metadata.get(PREPROCESSOR, "{}"))
