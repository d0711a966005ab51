"""Names that libraries know, kept in files so that a configuration is checked without the slow imports."""

import json
import sys

NOT_ARCHITECTURE = {
    *("architectures", "chunk_size_feed_forward", "dtype", "id2label", "is_encoder_decoder", "label2id"),
    *("output_hidden_states", "problem_type", "return_dict", "transformers_version", "use_cache"),
}
"""Keys of every transformers config that decide nothing here."""


def architectures() -> dict[str, list[str]]:
    """Return the classification architectures of torchvision and the models of timm, sorted."""
    import timm
    import torchvision.models

    return {
        "torchvision": sorted(torchvision.models.list_models(module=torchvision.models)),
        "timm": sorted(timm.list_models()),
    }


def vlm() -> dict[str, dict[str, list[str]]]:
    """Return, for each family of vision-language models, the keys of its config: at the top ("") and in its two parts."""
    import dataclasses

    from transformers import AutoConfig, LlamaConfig

    from histobench.models.vlm import family
    from histobench.study.spec import families

    def keys(config: type) -> list[str]:
        names = {field.name for field in dataclasses.fields(config)}
        return sorted(names - NOT_ARCHITECTURE | {"model_type", "rope_theta", "rope_scaling"})

    known = {}
    for name in families():
        config, *_ = family(name).classes({})
        parts = {
            part: LlamaConfig if kind is AutoConfig else kind  # of all decoders that AutoConfig knows, the one in use
            for part, spec in config.sub_configs_defaults.items()
            for kind in [getattr(spec, "config_class", spec)]
        }
        known[name] = {"": keys(config), **{part: keys(kind) for part, kind in parts.items()}}
    return known


def text(name: str) -> str:
    """Return the content of workflow/schemas/NAME.json, `architectures` or `vlm`."""
    return json.dumps({"architectures": architectures, "vlm": vlm}[name](), indent=1) + "\n"


if __name__ == "__main__":
    print(text(sys.argv[1]), end="")
