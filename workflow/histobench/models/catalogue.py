"""Names that libraries know, kept in files so that a configuration is checked without the slow imports."""

import json
import sys
from typing import Any

NOT_ARCHITECTURE = {
    *("architectures", "chunk_size_feed_forward", "dtype", "id2label", "is_encoder_decoder", "label2id"),
    *("output_hidden_states", "problem_type", "return_dict", "transformers_version", "use_cache"),
}
"""Keys of every transformers config that decide nothing here."""

SMALLEST, LARGEST = 16, 2048
"""Bounds of a configured image_size, in pixels."""


def architectures() -> dict[str, list[str]]:
    """Return the classification architectures of torchvision and the models of timm, sorted."""
    import timm
    import torchvision.models

    return {
        "torchvision": sorted(torchvision.models.list_models(module=torchvision.models)),
        "timm": sorted(timm.list_models()),
    }


def sizes() -> dict[str, tuple[int, int]]:
    """Return the least and the largest side in pixels of the images that a network takes, where not all will do.

    torchvision tells the least with its weights (not so for EfficientNetV2, MaxViT and Swin, which take smaller ones too);
    vision transformers of either library take one size (but for two families, whose positions are rotary).
    """
    import timm
    import torchvision.models

    known: dict[str, tuple[int, int]] = {}
    for name in architectures()["torchvision"]:
        least = min(max(each.meta.get("min_size", (0,))) for each in torchvision.models.get_model_weights(name))
        if least > SMALLEST and not name.startswith(("efficientnet", "maxvit", "swin")):
            known[f"torchvision/{name}"] = (least, least if name.startswith("vit_") else LARGEST)
    for name in timm.list_models("vit_*", exclude_filters=["*dinov3*", "*lingbot*"]):
        config = timm.get_pretrained_cfg(name)
        if config is not None and config.fixed_input_size:
            known[f"timm/{name}"] = (config.input_size[-1], config.input_size[-1])
    return known


def vlm() -> dict[str, Any]:
    """Return the activation functions that transformers knows and, of each family of vision-language models, its rules
    and the keys of its config, at the top ("") and in its two parts, with their defaults."""
    import dataclasses

    from transformers import AutoConfig, LlamaConfig
    from transformers.activations import ACT2FN

    from histobench.models.vlm import family
    from histobench.study.spec import families

    def defaults(config: type) -> dict[str, Any]:
        # Of a dictionary, a list or another config only the key is kept.
        plain = (bool, int, float, str)
        fields = {field.name: field.default for field in dataclasses.fields(config)}
        fields = dict.fromkeys(("model_type", "rope_theta", "rope_scaling")) | fields
        kept = {name: value if isinstance(value, plain) else None for name, value in sorted(fields.items())}
        return {name: value for name, value in kept.items() if name not in NOT_ARCHITECTURE}

    known: dict[str, Any] = {}
    for name in families():
        config, *_ = family(name).classes({})
        parts = {
            part: LlamaConfig if kind is AutoConfig else kind  # of all decoders that AutoConfig knows, the one in use
            for part, spec in config.sub_configs_defaults.items()
            for kind in [getattr(spec, "config_class", spec)]
        }
        keys = {"": defaults(config), **{part: defaults(kind) for part, kind in parts.items()}}
        known[name] = {"rules": family(name).RULES, "keys": keys}
    return {"activations": sorted(ACT2FN), "families": known}


def text(name: str) -> str:
    """Return the content of workflow/schemas/NAME.json, `architectures`, `sizes` or `vlm`."""
    made = {"architectures": architectures, "sizes": sizes, "vlm": vlm}[name]()
    if name == "sizes":  # a line for each
        return "{\n" + ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in made.items()) + "\n}\n"
    return json.dumps(made, indent=1) + "\n"


if __name__ == "__main__":
    print(text(sys.argv[1]), end="")
