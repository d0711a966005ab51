"""Small random encoders, written by the libraries as their repositories on the Hub hold them: images of 32 px, patches of 8."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers.pre_tokenizers import ByteLevel

ARGUMENTS = {"mlp_layer": "SwiGLUPacked", "act_layer": "SiLU"}
"""What config.json cannot hold of the timm model."""
MEAN, STD = (0.7, 0.5, 0.6), (0.2, 0.3, 0.25)
"""Normalisation of every model, unlike the usual ones."""
ENDS = ("<|startoftext|>", "<|endoftext|>")
"""Tokens that begin and end a text of CLIP."""

_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
# Ten times the usual spread: at 0.02 such narrow layers say so little that faults would hide in rounding.
_SPREAD = {"initializer_range": 0.2}


def timm_model() -> Any:
    """Return a ViT with two register tokens, as those of UNI2-h and Virchow2."""
    import timm
    from timm.layers import SwiGLUPacked

    arguments = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2, "reg_tokens": 2}
    arguments |= {"init_values": 0.5, "mlp_ratio": 4, "num_classes": 7}
    model = timm.create_model("vit_tiny_patch16_224", mlp_layer=SwiGLUPacked, act_layer=torch.nn.SiLU, **arguments)
    model.pretrained_cfg |= {"mean": MEAN, "std": STD, "input_size": (3, 32, 32), "crop_pct": 1.0}
    model.saved_arguments = arguments
    return model


def transformers_model(kind: str) -> Any:
    """Return a ViT, DINOv2 or whole CLIP of transformers."""
    import transformers

    if kind == "vit":
        return transformers.ViTModel(transformers.ViTConfig(**_SMALL, **_SPREAD, intermediate_size=64))
    if kind == "dinov2":
        return transformers.Dinov2Model(transformers.Dinov2Config(**_SMALL, **_SPREAD, layerscale_value=0.5))
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    start, end = (vocabulary()[0][token] for token in ENDS)
    text |= {"vocab_size": end + 1, "bos_token_id": start, "eos_token_id": end, "initializer_factor": 10.0}
    vision = _SMALL | {"intermediate_size": 64, "initializer_factor": 10.0}
    config = transformers.CLIPConfig(
        text_config=text, vision_config=vision, projection_dim=20, logit_scale_init_value=1.7
    )
    return transformers.CLIPModel(config)


def vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return ids and merges as CLIP has them: bytes, the same at the end of a word, what is merged, and the two special tokens."""
    letters = sorted(ByteLevel.alphabet())
    tokens, merges = [*letters, *(f"{letter}</w>" for letter in letters)], []
    for word in ("malignant", "benign", "tumour"):
        before, *rest = *word[:-1], f"{word[-1]}</w>"
        for letter in rest:
            merges.append((before, letter))
            before += letter
            tokens.append(before)
    return {token: number for number, token in enumerate([*tokens, *ENDS])}, merges


def save(kind: str, folder: Path) -> None:
    """Write a repository: config.json, weights and, of transformers, preprocessor_config.json, of CLIP also its tokenizer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = timm_model() if kind == "timm" else transformers_model(kind)
    if kind == "timm":
        from timm.models import save_for_hf

        absent = dict.fromkeys(ARGUMENTS)  # JSON cannot hold classes
        save_for_hf(model, folder, model_args=model.saved_arguments | absent, safe_serialization=True)
        config = json.loads((folder / "config.json").read_text())
        config["model_args"] = {key: value for key, value in config["model_args"].items() if key not in absent}
        (folder / "config.json").write_text(json.dumps(config))
        return
    import transformers

    model.save_pretrained(folder)
    size = {"height": 32, "width": 32}
    processor = {"clip": transformers.CLIPImageProcessor, "dinov2": transformers.BitImageProcessor}.get(
        kind, transformers.ViTImageProcessor
    )
    processor(size=size, crop_size=size, image_mean=MEAN, image_std=STD).save_pretrained(folder)
    if kind == "clip":
        vocab, merges = vocabulary()
        transformers.CLIPTokenizer(vocab=vocab, merges=merges).save_pretrained(folder)
    assert json.loads((folder / "preprocessor_config.json").read_text())["image_mean"] == list(MEAN)
