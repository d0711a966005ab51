"""What the light check of a config refuses cannot run in truth, and what it accepts can."""

import pytest
import torch
from pydantic_core import PydanticCustomError

from histobench.models import vlm
from histobench.study.vlm import check
from tests.models.vlm_settings import FAMILIES, tiny

IMAGES = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
FIXED = {"text_config": {"rope_parameters": {"rope_theta": 1e6, "type": "mrope", "mrope_section": [2, 2, 3]}}}


def runs(settings) -> bool:
    """Tell whether a model is built and gives a logit; whatever stops it is what a job would meet."""
    try:
        with torch.no_grad():
            return vlm.build(settings, 0, None).eval()(IMAGES).shape == (1,)
    except Exception:
        return False


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tiny_models_are_accepted_and_run(family):
    settings = tiny(family)
    check(family, settings.config, settings.image_size)
    assert runs(settings)


@pytest.mark.parametrize(
    ("family", "change", "size"),
    [
        ("qwen2-vl", {"text_config": {"num_attention_heads": 5}}, 64),
        ("qwen2-vl", {"text_config": {"num_key_value_heads": 3}}, 64),
        ("qwen2-vl", {"vision_config": {"num_heads": 3}}, 64),
        ("qwen2-vl", {"vision_config": {"embed_dim": 36, "num_heads": 6}}, 64),
        ("qwen2-vl", {"vision_config": {"hidden_size": 40}}, 64),
        ("qwen2-vl", {"vision_config": {"in_channels": 1}}, 64),
        ("qwen2-vl", FIXED, 64),
        ("qwen2-vl", {"text_config": {"rope_parameters": None}}, 64),
        ("qwen2-vl", {"vision_end_token_id": 64}, 64),
        ("qwen2-vl", {}, 72),
        ("smolvlm", {"text_config": {"num_attention_heads": 5}}, 64),
        ("smolvlm", {"text_config": {"num_key_value_heads": 3}}, 64),
        ("smolvlm", {"text_config": {"head_dim": 11}}, 64),
        ("smolvlm", {"text_config": {"pad_token_id": 64}}, 64),
        ("smolvlm", {"text_config": {"hidden_act": "relux"}}, 64),
        ("smolvlm", {"vision_config": {"num_attention_heads": 3}}, 64),
        ("smolvlm", {"vision_config": {"num_channels": 1}}, 64),
        ("smolvlm", {"vision_config": {"image_size": 4}}, 64),
        ("smolvlm", {"image_token_id": 64}, 64),
        ("smolvlm", {"scale_factor": 3}, 64),
    ],
)
def test_what_is_refused_would_not_have_run(family, change, size):
    settings = tiny(family, change, image_size=size)
    with pytest.raises(PydanticCustomError):
        check(family, settings.config, size)
    assert not runs(settings)
