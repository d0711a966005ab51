"""CNNs of which the last block, or adapters, are trained: what changes, what stays, and how many parameters it is."""

import pytest
import torch
from torch import nn

from histobench.io.state_dicts import load_trained, save_trained
from histobench.models import arm_check
from histobench.models.build import build
from histobench.models.cnn import network, normalises_over_batch
from histobench.models.parameters import size
from histobench.models.partial_training import last_block
from histobench.study.recipes import Lora, Recipe
from histobench.study.spec import CnnSettings, RunSpec
from tests.models.test_arm_check import resolved_study

LAST = Recipe(trainable="last")
ADAPTERS = Recipe(trainable="lora", lora=Lora(rank=2, dropout=0, projections=["conv"]))


def spec(architecture: str, recipe: Recipe) -> RunSpec:
    model = CnnSettings(architecture=architecture, weights="random", width=0.125, image_size=64)
    return RunSpec(model=model, recipe=recipe, augmentation=[], magnification=200, fold=1, seed=3)


def images() -> torch.Tensor:
    return torch.randint(0, 256, (4, 64, 64, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("architecture", "block"),
    [
        ("torchvision/resnet34", "layer4"),
        ("torchvision/vgg19", "features.28"),  # after the fourth of five poolings
        ("torchvision/alexnet", "features.6"),  # after the second of three
        ("torchvision/densenet121", "features.denseblock4"),
        ("torchvision/efficientnet_b0", "features.7"),
        ("timm/tf_efficientnet_lite0", "blocks.6"),
        ("timm/vit_tiny_patch16_224", "blocks.11"),
    ],
)
def test_the_last_block(architecture, block):
    with torch.device("meta"):
        assert last_block(network(architecture, empty=True)) == block


def conv(inputs: int, outputs: int, kernel: int) -> int:
    """A convolution and its batch normalisation, without a bias."""
    return inputs * outputs * kernel**2 + 2 * outputs


def test_how_many_parameters_are_trained():
    """He et al. 2016 (table 1), Simonyan and Zisserman 2015 (table 1, E) and Tan and Le 2019 (table 1), by hand."""
    resnet34, vgg19, lite0 = (
        CnnSettings(architecture=name, image_size=224)
        for name in ("torchvision/resnet34", "torchvision/vgg19", "timm/tf_efficientnet_lite0")
    )
    layer4 = conv(256, 512, 3) + 5 * conv(512, 512, 3) + conv(256, 512, 1)
    assert size(resnet34, LAST).trainable == layer4 + 513 == 13_114_881
    stage5, linear = 4 * (512 * 512 * 9 + 512), 25088 * 4096 + 4096 + 4096 * 4096 + 4096
    assert size(vgg19, LAST).trainable == stage5 + linear + 4097
    stage7 = conv(192, 1152, 1) + 11 * 1152 + conv(1152, 320, 1)
    assert size(lite0, LAST).trainable == stage7 + conv(320, 1280, 1) + 1281

    # Rank r of a k x k convolution: r filters of k x k over all inputs, and 1 x 1 from r to all outputs.
    stages = [(64, 3), (128, 4), (256, 6), (512, 3)]
    adapters = 3 * 49 + 64
    for number, (width, blocks) in enumerate(stages):
        before = stages[number - 1][0] if number else width
        adapters += before * 9 + width + (2 * blocks - 1) * (width * 9 + width)
        adapters += before + width if number else 0
    counted = size(resnet34, Recipe(trainable="lora", lora=Lora(rank=64, projections=["conv"])))
    assert (counted.lora, counted.trainable) == (64 * adapters, 64 * adapters + 513)
    assert counted.total == size(resnet34, Recipe()).total + 64 * adapters


def state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def step(module: nn.Module) -> tuple[set[str], set[str]]:
    """Train on one batch, twice; return the names of all tensors of the state, and of those that changed."""
    before = state(module)
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=1e-3)
    for _ in range(2):  # the second factor of an adapter starts from zeros, so that the first one has no gradient
        optimizer.zero_grad()
        module.train()(images()).sum().backward()
        optimizer.step()
    assert all(parameter.grad is None for parameter in module.parameters() if not parameter.requires_grad)
    after = module.state_dict()
    return set(before), {name for name in before if not torch.equal(before[name], after[name])}


def test_only_the_last_block_changes_and_batch_normalisation_before_it_keeps_its_statistics():
    module = build(spec("torchvision/resnet18", LAST), None, "fp32")
    names, changed = step(module)
    assert changed == {name for name in names if name.startswith(("backbone.layer4.", "head."))}
    assert "backbone.layer4.0.bn1.running_mean" in changed
    assert normalises_over_batch(module)
    modes = {name: part.training for name, part in module.named_modules() if isinstance(part, nn.BatchNorm2d)}
    assert {name for name, training in modes.items() if training} == {name for name in modes if "layer4" in name}
    assert not any(part.training for part in module.eval().modules())


def test_only_adapters_and_head_change(tmp_path):
    of = spec("torchvision/resnet18", ADAPTERS)
    module, plain = build(of, None, "fp32"), build(spec("torchvision/resnet18", Recipe()), None, "fp32")
    assert not normalises_over_batch(module)  # so that a batch may be cut
    assert torch.equal(module.eval()(images()), plain.eval()(images()))
    names, changed = step(module)
    adapters = {name for name in names if ".lora_" in name}
    assert len(adapters) == 2 * 20
    assert changed == adapters | {"head.weight", "head.bias"}
    save_trained(tmp_path / "weights.safetensors", module, of.canonical())
    again = build(of, None, "fp32")
    assert not torch.equal(again.eval()(images()), module.eval()(images()))
    load_trained(tmp_path / "weights.safetensors", again, of.canonical())
    assert torch.equal(again(images()), module(images()))
    assert module(images()).isfinite().all()


def test_adapters_follow_from_the_seed_and_leave_the_callers_random_state_alone():
    torch.manual_seed(7)
    states = [state(build(of, None, "fp32")) for of in [spec("torchvision/resnet18", ADAPTERS)] * 2]
    drawn = torch.rand(1)
    torch.manual_seed(7)
    assert torch.equal(drawn, torch.rand(1))
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    assert states[0]["backbone.conv1.lora_A.default.weight"].any()


def test_grouped_convolutions_have_no_adapters():
    module = build(spec("torchvision/mobilenet_v2", ADAPTERS), None, "fp32")
    adapted = {name.split(".lora_")[0] for name, _ in module.named_parameters() if ".lora_" in name}
    layers = {
        name: part for name, part in module.named_modules() if isinstance(part, nn.Conv2d) and ".lora_" not in name
    }
    assert {layers[f"{name}.base_layer"].groups for name in adapted} == {1}
    assert {part.groups for name, part in layers.items() if not name.endswith(".base_layer")} == {
        4,
        12,
        18,
        24,
        48,
        72,
        120,
    }


def test_a_network_without_known_blocks_is_named_by_the_first_job():
    study = resolved_study("tiny")
    model = {"family": "cnn", "architecture": "torchvision/googlenet", "weights": "imagenet", "image_size": 64}
    study |= {"models": {"g": model}, "recipes": {"g": {"some": LAST.model_dump(mode="json")}}, "augmentations": {}}
    sizes, faults = arm_check.check(arm_check.Study(**study), {})
    assert (sizes, len(faults)) == ({}, 1)
    assert faults[0].startswith("modes.some of models.g: GoogLeNet has no last block that is known (no modules layer1,")
