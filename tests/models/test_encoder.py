"""Encoders: numbers of parameters against sums by hand, and settings that cannot be used. Nothing is filled or downloaded."""

import pytest
import torch

from histobench.io.errors import HistoBenchError
from histobench.models import encoder
from histobench.models.parameters import size
from histobench.study.recipes import Recipe
from histobench.study.spec import EncoderSettings

HEAD = Recipe(trainable="head")
SWIGLU = {"mlp_layer": "SwiGLUPacked", "act_layer": "SiLU"}
SMALL = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 2}


def settings(architecture="vit_tiny_patch16_224", model_args=SMALL, **changes) -> EncoderSettings:
    normalisation = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "input_size": [3, 224, 224]}
    config = {"architecture": architecture, "model_args": model_args, "pretrained_cfg": normalisation}
    keys = {"family": "encoder", "weights": "random", "config": config, "image_size": 32}
    return EncoderSettings(**keys | changes)


def vit(width: int, depth: int, patch: int, hidden: int, registers=0, swiglu=False, embedded_class=True) -> int:
    """Return the parameters of a ViT with LayerScale for images of 224 px; SwiGLU's first layer makes gate and value at once.

    Without `embedded_class`, class and register tokens have no positions.
    """
    positions = (224 // patch) ** 2 + (1 + registers) * embedded_class
    start = 3 * patch**2 * width + width + (1 + registers + positions) * width
    attention = 4 * (width**2 + width)
    mlp = hidden * (width + 1) + (hidden // 2 if swiglu else hidden) * width + width
    norms_and_scales = 2 * 2 * width + 2 * width
    return start + depth * (attention + mlp + norms_and_scales) + 2 * width


UNI2 = {"img_size": 224, "patch_size": 14, "depth": 24, "num_heads": 24, "init_values": 1e-5, "embed_dim": 1536}
UNI2 |= {"mlp_ratio": 5.33334, "no_embed_class": True, "reg_tokens": 8, "dynamic_img_size": True}
VIRCHOW2 = {"img_size": 224, "init_values": 1e-5, "num_classes": 0, "reg_tokens": 4, "mlp_ratio": 5.3375}
VIRCHOW2 |= {"global_pool": "", "dynamic_img_size": True}
GIGAPATH = {"img_size": 224, "in_chans": 3, "patch_size": 16, "embed_dim": 1536, "depth": 40, "num_heads": 24}
GIGAPATH |= {"init_values": 1e-5, "mlp_ratio": 5.33334, "num_classes": 0}


@pytest.mark.parametrize(
    ("name", "architecture", "model_args", "changes", "by_hand", "known", "dimensions"),
    [
        (
            "UNI", "vit_large_patch16_224", {"img_size": 224}, {"arguments": {"init_values": "1e-5", "dynamic_img_size": True}},
            vit(1024, 24, 16, 4096), 303_350_784, 1024,
        ),
        (
            "UNI2-h", "vit_giant_patch14_224", UNI2, {"arguments": SWIGLU},
            vit(1536, 24, 14, 8192, registers=8, swiglu=True, embedded_class=False), 681_394_176, 1536,
        ),
        (
            "H-optimus-0", "vit_giant_patch14_reg4_dinov2", {"img_size": 224}, {"arguments": {"init_values": 1e-5}},
            vit(1536, 40, 14, 8192, registers=4, swiglu=True, embedded_class=False), 1_134_774_272, 1536,
        ),
        (
            "Virchow2", "vit_huge_patch14_224", VIRCHOW2, {"arguments": SWIGLU, "pooling": "token+mean"},
            vit(1280, 32, 14, 6832, registers=4, swiglu=True), 631_239_424, 2560,
        ),
        (
            "Prov-GigaPath", "vit_giant_patch14_dinov2", GIGAPATH, {},
            vit(1536, 40, 16, 8192, swiglu=True), 1_134_953_984, 1536,
        ),
    ],
)  # fmt: skip
def test_published_encoders_have_their_known_numbers_of_parameters(
    name, architecture, model_args, changes, by_hand, known, dimensions
):
    found = size(settings(architecture, model_args, image_size=224, **changes), HEAD)
    assert (found.published_form, by_hand) == (known, known)
    assert (found.total, found.trainable, found.lora) == (known + dimensions + 1, dimensions + 1, 0)


def test_phikons_and_plip_have_their_known_numbers_of_parameters():
    """Of transformers: without LayerScale (ViT, CLIP); DINOv2 adds a mask token; CLIP a norm before, a projection, no patch bias."""
    wide = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
    phikon = {"model_type": "vit", **wide, "image_size": 224, "patch_size": 16}
    assert size(settings(config=phikon, image_size=224), HEAD).published_form == vit(768, 12, 16, 3072) - 12 * 2 * 768
    large = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
    phikon2 = {"model_type": "dinov2", **large, "image_size": 224, "patch_size": 16}
    assert size(settings(config=phikon2, image_size=224), HEAD).published_form == vit(1024, 24, 16, 4096) + 1024
    plip = {"model_type": "clip", "projection_dim": 512, "vision_config": {**wide, "image_size": 224, "patch_size": 32}}
    by_hand = vit(768, 12, 32, 3072) - 12 * 2 * 768 + 2 * 768 - 768 + 512 * 768
    assert size(settings(config=plip, image_size=224), HEAD).published_form == by_hand


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"model_args": SMALL | {"global_pool": ""}},
            "the model itself returns tokens, not one embedding; set `pooling` to ",
        ),
        (
            {"architecture": "resnet10t", "model_args": {}, "pooling": "token"},
            "the model has no tokens for `pooling: token`; ",
        ),
        (
            {"arguments": {"mlp_layer": "SwiGLU_"}},
            "`arguments` give mlp_layer as 'SwiGLU_', which neither timm.layers nor ",
        ),
        ({"arguments": {"bogus": 1}}, "the config.json cannot be built (TypeError: "),
        (
            {"architecture": "hf-hub:MahmoodLab/UNI"},
            "timm has no model 'hf-hub:MahmoodLab/UNI', the `architecture` of ",
        ),
        ({"image_size": 36}, "the encoder divides images into patches of 8 px, of which 36 px is no multiple; "),
        (
            {"config": {"model_type": "vit"}, "arguments": SWIGLU},
            "`arguments` are for models of timm, and this is one of ",
        ),
        (
            {"config": {"model_type": "coca"}},
            "the config.json has no `architecture` of timm, and the model_type 'coca', ",
        ),
    ],
)
def test_what_cannot_be_used_is_one_sentence(changes, said):
    with pytest.raises(HistoBenchError) as caught:
        size(settings(**changes), HEAD)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_the_seed_decides_random_parameters_and_all_can_be_trained():
    one, same, other = (encoder.build(settings(), seed, None) for seed in (1, 1, 2))
    images = torch.arange(2 * 32 * 32 * 3).remainder(251).to(torch.uint8).reshape(2, 32, 32, 3)
    with torch.no_grad():
        embeddings = [model.eval().embed(images) for model in (one, same, other)]
    assert torch.equal(embeddings[0], embeddings[1])
    assert not torch.allclose(embeddings[0], embeddings[2])
    one.train()(images).sum().backward()
    assert all(parameter.grad is not None for parameter in one.parameters())
    everything = size(settings(), Recipe())
    assert everything.trainable == everything.total == sum(parameter.numel() for parameter in one.parameters())
