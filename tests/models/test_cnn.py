"""Classifiers of true torchvision and timm networks."""

import numpy as np
import pytest
import torch
from torch import nn

from histobench.io.errors import HistoBenchError
from histobench.models.cnn import build, network
from histobench.study.spec import CnnSettings


def settings(architecture: str, image_size: int = 64, **more) -> CnnSettings:
    return CnnSettings(architecture=architecture, image_size=image_size, weights="random", **more)


def images(count: int, size: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8))


def published_state(architecture: str) -> dict[str, torch.Tensor]:
    """A state dict as a publisher has it: with the classifier of 1000 classes, and no two tensors alike."""
    state = network(architecture).state_dict()
    draws = torch.Generator().manual_seed(1)
    return {
        key: torch.rand(tensor.shape, generator=draws) + 0.5 if tensor.is_floating_point() else tensor
        for key, tensor in state.items()
    }


def test_logits_are_those_of_the_published_network_with_only_its_first_class(monkeypatch):
    """ResNet18 with its own classifier and pixels normalised here, and ours with one row of that classifier as its head."""
    import torchvision

    torch.manual_seed(3)
    reference = torchvision.models.resnet18().eval()
    mean, std = (0.7, 0.5, 0.6), (0.2, 0.25, 0.3)
    ours = build(settings("torchvision/resnet18", mean=mean, std=std), 0, reference.state_dict()).eval()
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)  # all in float64
    ours, reference = ours.double(), reference.double()
    with torch.no_grad():
        ours.head.weight.copy_(reference.fc.weight[:1])
        ours.head.bias.copy_(reference.fc.bias[:1])
        batch = images(3, 64)
        by_hand = (batch.numpy() / 255 - np.array(mean)) / np.array(std)
        expected = reference(torch.from_numpy(by_hand.transpose(0, 3, 1, 2)))[:, 0]
        logits = ours(batch)
    assert logits.shape == (3,)
    # `mean` and `std` are float32 in the module; 18 layers, of which none makes a relative error ten times as large.
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(logits, expected, rtol=0, atol=18 * 10 * torch.finfo(torch.float32).eps)


@pytest.mark.parametrize(
    ("architecture", "dimensions"),
    [
        ("torchvision/alexnet", 4096),
        ("torchvision/vgg19", 4096),
        ("torchvision/resnet34", 512),
        ("torchvision/squeezenet1_1", 512),
        ("torchvision/densenet121", 1024),
        ("torchvision/mnasnet0_5", 1280),
        ("torchvision/regnet_x_400mf", 400),
        ("torchvision/convnext_tiny", 768),
        ("torchvision/efficientnet_b0", 1280),
        ("torchvision/swin_t", 768),
    ],
)
def test_every_kind_of_torchvision_network_loses_its_classifier_and_loads_its_state(architecture, dimensions):
    """The state is left on the meta device: what is tested are names and shapes."""
    state = network(architecture, empty=True).state_dict()
    classifier = build(settings(architecture), 0, state)
    assert (classifier.head.in_features, classifier.head.out_features) == (dimensions, 1)
    assert "head.weight" in classifier.state_dict()
    assert not any(parameter.shape[:1] == (1000,) for parameter in classifier.parameters())


def test_the_second_classifiers_of_inception_networks_are_left_out():
    classifier = build(settings("torchvision/googlenet"), 0, network("torchvision/googlenet", empty=True).state_dict())
    assert classifier.head.in_features == 1024
    assert not any("aux" in name for name, _ in classifier.named_parameters())
    assert classifier.backbone.transform_input


@pytest.mark.parametrize(
    ("architecture", "dimensions"),
    [("timm/tf_efficientnet_lite0", 1280), ("timm/resnetv2_50", 2048), ("timm/deit_tiny_distilled_patch16_224", 192)],
)
def test_timm_networks(architecture, dimensions):
    size = 224 if "deit" in architecture else 64
    classifier = build(settings(architecture, size), 0, network(architecture).state_dict()).eval()
    with torch.inference_mode():
        embeddings = classifier.embed(images(2, size))
    assert embeddings.shape == (2, dimensions)
    assert embeddings.dtype == torch.float32


def test_a_pretrained_state_is_copied_tensor_by_tensor_and_its_classifier_left_out():
    state = published_state("torchvision/resnet18")
    before = {key: tensor.clone() for key, tensor in state.items()}
    classifier = build(settings("torchvision/resnet18"), 0, state)
    loaded = classifier.backbone.state_dict()
    assert set(state) - set(loaded) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(tensor, state[key]) for key, tensor in loaded.items())
    with torch.no_grad():
        for parameter in classifier.parameters():
            parameter.zero_()
    assert all(torch.equal(tensor, before[key]) for key, tensor in state.items())


@pytest.mark.parametrize("width", [1, 0.25])
def test_random_parameters_depend_on_the_seed_and_leave_the_callers_random_state_alone(width):
    torch.manual_seed(7)
    expected = torch.rand(3)
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(7)
        states.append(build(settings("torchvision/resnet18", width=width), seed, None).state_dict())
        assert torch.equal(torch.rand(3), expected)
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(tensor, states[1][key]) for key, tensor in states[0].items())
    assert not torch.equal(states[0]["backbone.conv1.weight"], states[2]["backbone.conv1.weight"])


def test_random_parameters_at_full_width_are_the_networks_own():
    import torchvision

    with torch.random.fork_rng():
        torch.manual_seed(5)
        own = torchvision.models.resnet18()
    ours = build(settings("torchvision/resnet18"), 5, None).backbone.state_dict()
    assert all(torch.equal(tensor, own.state_dict()[key]) for key, tensor in ours.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("layer1.0.conv1.weight"), "lack tensor layer1.0.conv1.weight;"),
        (lambda state: state.update(extra=torch.zeros(1)), "hold an unknown tensor extra;"),
        (lambda state: state.update({"bn1.bias": torch.zeros(3)}), r"have bn1.bias of shape \(3,\), expected \(64,\)"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_by_name(change, message):
    state = network("torchvision/resnet18", empty=True).state_dict()
    change(state)
    with pytest.raises(HistoBenchError, match=f"torchvision/resnet18: the pretrained weights {message}"):
        build(settings("torchvision/resnet18"), 0, state)


@pytest.mark.parametrize("architecture", ["alexnet", "vgg19", "resnet34"])
@pytest.mark.parametrize("size", [64, 336])
def test_narrow_networks_take_both_sizes_and_learn(architecture, size):
    classifier = build(settings(f"torchvision/{architecture}", size, width=0.125), 0, None)
    batch = images(2, size)
    logits = classifier(batch)
    assert logits.shape == (2,)
    logits.sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in classifier.parameters())
    first = next(parameter for parameter in classifier.parameters() if parameter.ndim == 4)
    assert first.grad.abs().max() > 0


def test_a_narrow_network_has_the_scaled_channels_everywhere():
    """ResNet34's channels, from the paper (He et al. 2016, table 1), divided by 4."""
    backbone = build(settings("torchvision/resnet34", width=0.25), 0, None).backbone
    convolutions = [module for module in backbone.modules() if isinstance(module, nn.Conv2d)]
    assert convolutions[0].weight.shape == (16, 3, 7, 7)
    outputs = [len(module.weight) for module in convolutions if module.kernel_size == (3, 3)]
    assert outputs == [16] * 6 + [32] * 8 + [64] * 12 + [128] * 6


def test_depthwise_convolutions_stay_depthwise():
    backbone = build(settings("torchvision/mobilenet_v2", width=0.5), 0, None).backbone
    grouped = [module for module in backbone.modules() if isinstance(module, nn.Conv2d) and module.groups > 1]
    assert [module.groups for module in grouped[:3]] == [16, 48, 72]
    assert all(module.groups == module.in_channels == module.out_channels for module in grouped)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (settings("torchvision/vit_b_16", 64), "torchvision/vit_b_16 does not take images of 64 px"),
        (settings("timm/swin_tiny_patch4_window7_224", 64), r"64 px \(Input height \(64\) doesn't match model \(224\)"),
        (
            settings("torchvision/convnext_tiny", width=0.5),
            "CNBlock layers cannot be narrowed|LayerNorm2d layers cannot",
        ),
        (settings("torchvision/alexnet", width=0.3), "torchvision/alexnet at width 0.3 does not take"),
        (settings("torchvision/resnext50_32x4d", width=0.1), "groups cannot be narrowed"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(given, message):
    with pytest.raises(HistoBenchError, match=message) as caught:
        build(given, 0, None)
    assert "\n" not in str(caught.value)


def test_on_the_cpu_the_network_never_sees_channels_last_batches():
    """Training narrow networks on them corrupts memory: oneDNN's backward pass of a strided convolution does."""
    classifier = build(settings("torchvision/resnet18", width=0.125), 0, None)
    seen = []
    classifier.backbone.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].is_contiguous()))
    classifier(images(2, 64))
    assert seen == [True]


def test_logits_are_float32_also_where_the_backbone_runs_in_bfloat16():
    classifier = build(settings("torchvision/resnet18", width=0.25), 0, None).eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        logits = classifier(images(16, 64))
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, logits.bfloat16().float())
