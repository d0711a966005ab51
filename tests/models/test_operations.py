"""Operations against published figures, sums by hand, and PyTorch's own counter on models that really run."""

from pathlib import Path

import pytest
import torch
import yaml
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from histobench.models import vlm
from histobench.models.operations import operations
from histobench.study.config import VlmEntry
from histobench.study.spec import CnnSettings, Lora, Recipe
from tests.models import vlm_settings

ROOT = Path(__file__).parents[2]

both = pytest.mark.parametrize("family", vlm_settings.FAMILIES)


@pytest.mark.parametrize(
    ("architecture", "published", "embedding", "first"),
    [
        # GFLOPs as torchvision's documentation of its weights lists them: multiply-adds, at 224 px, with 1000 classes.
        ("torchvision/alexnet", 0.71, 4096, 64 * 3 * 11**2 * 55**2),
        ("torchvision/resnet34", 3.66, 512, 64 * 3 * 7**2 * 112**2),
        ("torchvision/vgg19", 19.63, 4096, 64 * 3 * 3**2 * 224**2),
    ],
)
def test_the_papers_networks(architecture, published, embedding, first):
    counted = operations(CnnSettings(architecture=architecture, image_size=224), Recipe())
    with_their_head = counted.evaluation / 2 + 999 * embedding
    assert round(with_their_head / 1e9, 2) == published
    # Back, each layer takes twice what it takes forward, but the first has no use for its input's gradient.
    assert counted.training == 3 * counted.evaluation - 2 * first
    assert counted.prediction == counted.evaluation
    assert counted.dimensions == embedding
    assert counted.published - counted.total == 999 * (embedding + 1)


def test_channels_in_groups_are_no_more_work_back_than_forward():
    """EfficientNet-Lite0, whose convolutions are mostly one channel deep; its authors give 407 million multiply-adds."""
    settings = CnnSettings(architecture="timm/tf_efficientnet_lite0", image_size=224)
    counted = operations(settings, Recipe())
    first = 32 * 3 * 3**2 * 112**2
    assert counted.training == 3 * counted.evaluation - 2 * first
    assert 0.36e9 < counted.evaluation / 2 < 0.41e9


def test_a_larger_image_is_more_work_and_a_linear_head_hardly_any():
    settings = CnnSettings(architecture="torchvision/resnet34", image_size=336)
    probe = operations(settings, Recipe(trainable="head"))
    small = operations(settings.model_copy(update={"image_size": 224}), Recipe(trainable="head"))
    assert probe.embedding / small.embedding == pytest.approx(1.5**2, rel=0.03)
    assert (probe.training, probe.evaluation) == (4 * 512, 2 * 512)


RECIPES = {
    "as the paper": Lora(rank=4, dropout=0),
    "one layer": Lora(rank=4, dropout=0, layers=[1], projections=["v"]),
    "queries of the first": Lora(rank=4, dropout=0, layers=[0], projections=["q"]),
    "output of the first": Lora(rank=4, dropout=0, layers=[0], projections=["o"]),
    "the MLP": Lora(rank=4, dropout=0, projections=["gate", "up", "down"]),
    "the last product alone": Lora(rank=4, dropout=0, layers=[1], projections=["down"]),
    "vision": Lora(rank=4, dropout=0, vision=True),
    "connector": Lora(rank=4, dropout=0, connector=True),
}


@both
@pytest.mark.parametrize(
    ("name", "live"),
    [(name, live) for name in RECIPES for live in (True, False) if live or name not in ("vision", "connector")],
)
def test_training_takes_what_pytorch_counts(family, name, live):
    lora = RECIPES[name]
    settings = vlm_settings.tiny(family)
    classifier = vlm.build(settings, 0, None, vlm.WHOLE if live else ("decoder",))
    classifier.adapt(lora, 0)
    side, shape = settings.image_size, vlm.architecture(settings).tokens
    batch = torch.zeros(2, side, side, 3, dtype=torch.uint8) if live else torch.zeros(2, *shape)
    with sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as forward:
            logits = classifier(batch)
        with FlopCounterMode(display=False) as back:
            logits.sum().backward()
    expected = operations(settings, Recipe(trainable="lora", lora=lora), live)
    assert expected.evaluation == forward.get_total_flops() / 2
    assert expected.training - expected.evaluation == back.get_total_flops() / 2


@both
def test_parts_take_what_pytorch_counts(family):
    settings = vlm_settings.tiny(family)
    whole = vlm.build(settings, 0, None).eval()
    images = torch.zeros(2, 64, 64, 3, dtype=torch.uint8)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as tower:
            tokens = whole.tokens(images)
        with FlopCounterMode(display=False) as decoder:
            whole.embed(tokens)
    counted = operations(settings, Recipe(trainable="head"))
    assert counted.tower == tower.get_total_flops() / 2
    assert counted.embedding == decoder.get_total_flops() / 2
    assert (counted.tokens, counted.dimensions) == tokens.shape[1:]
    assert counted.prediction == counted.tower + counted.embedding + 2 * 48


@both
def test_recomputed_activations_are_another_pass_through_the_decoder(family):
    settings, recipe = vlm_settings.tiny(family), Recipe(trainable="lora", lora=Lora())
    kept, again = (operations(settings, recipe, recompute=recompute) for recompute in (False, True))
    head = 2 * kept.dimensions
    assert again.training - kept.training == kept.evaluation - head
    assert again.evaluation == kept.evaluation


def test_a_true_decoder_by_hand():
    """Qwen2-VL-2B at 336 px: 24 x 24 patches, 144 tokens and two markers, through 1.31 billion weights of the decoder."""
    entry = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())["models"]["qwen2-vl-2b"]
    counted = operations(VlmEntry(**entry).settings, Recipe(trainable="head"))
    layer = 1536 * (1536 + 256 + 256 + 1536) + 3 * 1536 * 8960
    assert counted.embedding == 28 * (2 * layer * 146 + 4 * 146**2 * 1536)
    block = 1280 * 3 * 1280 + 1280 * 1280 + 2 * 1280 * 5120
    merger = 144 * (5120 * 5120 + 5120 * 1536)
    assert counted.tower == 2 * 576 * (3 * 2 * 14 * 14 * 1280 + 32 * block) + 32 * 4 * 576**2 * 1280 + 2 * merger
