"""Tiny vision-language models of the true classes, of each family, for tests: 64 px in patches of 8, 4 x 4 visual tokens."""

from typing import Any

from histobench.study.spec import VlmSettings

FAMILIES = ("qwen2-vl", "smolvlm", "qwen2.5-vl", "qwen3-vl", "smolvlm2")

# Ten times the usual spread: at 0.02 such narrow layers say so little that faults would hide in rounding.
_SPREAD = {"initializer_range": 0.2}

_CONFIGS: dict[str, dict[str, Any]] = {
    "qwen2-vl": {
        "text_config": {
            "vocab_size": 64,
            "hidden_size": 48,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_theta": 1e6, "type": "mrope", "mrope_section": [2, 2, 2]},
            "max_position_embeddings": 128,
            "bos_token_id": None,
            "eos_token_id": None,
            **_SPREAD,
        },
        "vision_config": {
            "depth": 2,
            "embed_dim": 32,
            "num_heads": 2,
            "hidden_size": 48,
            "mlp_ratio": 2,
            "patch_size": 8,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            **_SPREAD,
        },
        "vision_start_token_id": 1,
        "vision_end_token_id": 2,
        "image_token_id": 3,
        "video_token_id": 4,
    },
    "smolvlm": {
        "text_config": {
            "model_type": "llama",
            "vocab_size": 64,
            "hidden_size": 48,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "max_position_embeddings": 128,
            "pad_token_id": 0,
            **_SPREAD,
        },
        "vision_config": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 96,  # larger than the input, as in the published model: positions fall into buckets
            "patch_size": 8,
            **_SPREAD,
        },
        "scale_factor": 2,
        "image_token_id": 3,  # the marker around it is token 2
    },
}
_QWEN = _CONFIGS["qwen2-vl"]
_TOWER = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_heads": 2,
    "out_hidden_size": 48,
    "patch_size": 8,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    **_SPREAD,
}
_CONFIGS["qwen2.5-vl"] = _QWEN | {
    # Windows of 2 x 2 visual tokens in the first layer.
    "vision_config": _TOWER | {"window_size": 32, "fullatt_block_indexes": [1]},
}
_CONFIGS["qwen3-vl"] = _QWEN | {
    "text_config": {
        **{key: value for key, value in _QWEN["text_config"].items() if key != "eos_token_id"},
        # One more than have features added to them: what is added after the last never reaches the end marker.
        "num_hidden_layers": 3,
        "head_dim": 12,
        "rope_parameters": {
            "rope_theta": 1e6,
            "rope_type": "default",
            "mrope_section": [2, 2, 2],
            "mrope_interleaved": True,
        },
    },
    # 6 x 6 learned positions for 8 x 8 patches.
    "vision_config": _TOWER | {"num_position_embeddings": 36, "deepstack_visual_indexes": [0, 1]},
}
_CONFIGS["smolvlm2"] = _CONFIGS["smolvlm"] | {"model_type": "smolvlm"}


def tiny(family: str, config: dict[str, Any] | None = None, **changes: Any) -> VlmSettings:
    """Return settings of a tiny model, by default with random parameters.

    Args:
        family: one of `FAMILIES`.
        config: keys of the transformers config to replace; those of a nested mapping are replaced one by one.
        changes: further settings; with `weights` that are not random, the settings have no config.
    """
    merged = dict(_CONFIGS[family])
    for key, value in (config or {}).items():
        merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    given = {"family": family, "weights": "random", "image_size": 64, **changes}
    return VlmSettings(**given, **({"config": merged} if given["weights"] == "random" else {}))
