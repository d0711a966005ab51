"""CLIP asked by captions: numbers of parameters, random models, and what cannot be asked. Nothing is downloaded."""

import pytest
import torch

from histobench.io.errors import HistoBenchError
from histobench.models import build, text_embeddings
from histobench.models.parameters import Size, size
from histobench.study.recipes import Answers, Recipe
from histobench.study.spec import EncoderSettings, RunSpec
from tests.models import test_encoder

TEXT = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
TEXT |= {"vocab_size": 40, "max_position_embeddings": 20, "bos_token_id": 5, "eos_token_id": 3}
ASKED = Recipe(trainable="none", prompts=["a", "bc"], answers={"malignant": [" m", "é"], "benign": [" b"]})


def clip(**text) -> EncoderSettings:
    vision = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    config = {"model_type": "clip", "projection_dim": 12, "vision_config": vision, "text_config": TEXT | text}
    return EncoderSettings(family="encoder", weights="random", config=config, image_size=32)


def with_scale(value) -> EncoderSettings:
    return clip().model_copy(update={"config": (clip().config or {}) | {"logit_scale_init_value": value}})


def classifier(settings=None, seed=0, **recipe):
    spec = RunSpec(
        model=settings or clip(), recipe=ASKED.model_copy(update=recipe), augmentation=[], magnification=40, fold=1, seed=seed
    )  # fmt: skip
    return build.zero_shot(spec, None, "fp32", True, None, None)


def test_a_vit_b_32_has_the_parameters_of_the_published_clip():
    """The text tower by hand: embeddings, twelve layers, last norm and projection; then the image tower and the logit scale."""
    width, hidden = 512, 2048
    layer = 4 * (width**2 + width) + 2 * width * hidden + hidden + width + 2 * 2 * width
    text = 49408 * width + 77 * width + 12 * layer + 2 * width + width * 512
    config = {"model_type": "clip", "vision_config": {}, "text_config": {}, "projection_dim": 512}
    settings = EncoderSettings(family="encoder", weights="random", config=config)
    tower = text_embeddings.text_tower(settings, config, empty=True)
    assert text == 63_428_096
    assert sum(parameter.numel() for parameter in tower.parameters()) == text + 1
    image = size(settings, test_encoder.HEAD).published_form
    assert size(settings, ASKED) == Size(image + text + 1, image + text + 1, 0, 0)
    assert image + text + 1 == 151_277_313


@torch.no_grad()
def test_a_random_model_reads_bytes_between_its_own_ends():
    ids = text_embeddings.caption_ids(
        text_embeddings.text_tower(clip(), clip().config or {}, empty=True).config, ["é!", ""], None
    )
    free = [token for token in range(40) if token not in (3, 5)]
    assert ids == [[5, free[0xC3 % 38], free[0xA9 % 38], free[0x21], 3], [5, 3]]
    before = torch.random.get_rng_state()
    images = torch.randn(4, 12, generator=torch.Generator().manual_seed(1))
    one, same, other = (classifier(seed=seed)(images) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert one.shape == (4, 2)
    assert torch.equal(one, same)
    assert (one - other).abs().max() > 1e-3
    torch.testing.assert_close(classifier(seed=1)(9 * images), one)
    exchanged = ASKED.answers.model_copy(update={"malignant": [" b"], "benign": [" m", "é"]})
    torch.testing.assert_close(classifier(seed=1, answers=exchanged)(images), -one)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: size(test_encoder.settings(arguments=test_encoder.SWIGLU), ASKED), "the config.json is of 'vit_tiny_patch16_224', which reads no text, but"),
        (lambda: size(clip(bos_token_id=40), ASKED), "the config's text_config has [40, 3] as bos_token_id and eos_token_id"),
        (lambda: size(clip(num_attention_heads=3), ASKED), "the config.json cannot be built (StrictDataclassClassValidation"),
        (lambda: classifier(prompts=["a" * 17]), f"the caption '{'a' * 17} m' has 21 tokens, more than the 20 that "),
        (lambda: size(clip(eos_token_id=5), ASKED), "the config's text_config has [5, 5] as bos_token_id and eos_token_id"),
        (lambda: size(clip(vocab_size=2, bos_token_id=0, eos_token_id=1), ASKED), "the config's text_config has [0, 1] as bos_token_id"),
        (lambda: size(with_scale("x"), ASKED), "the config has 'x' as logit_scale_init_value, expected a number; "),
        (lambda: size(with_scale(None), ASKED), "the config has None as logit_scale_init_value, expected a number; "),
        (lambda: classifier(clip(eos_token_id=2)), "the caption 'a m' ends with the token 2, but the model reads it out at the token "),
        (lambda: classifier(answers=Answers(malignant=["m"], benign=["b", "!"])), "'am' of malignant and 'a!' of benign have the same "),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_one_sentence(ask, said):
    with pytest.raises(HistoBenchError) as caught:
        ask()
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)
