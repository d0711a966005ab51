"""Networks whose parameters will be replaced, against filled ones."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import Qwen2VLConfig, Qwen2VLModel

from benchmarks.vlm import entry
from histobench.models import cnn
from histobench.models.unfilled import Unfilled


def test_only_tensors_on_the_meta_device_are_left_as_they_are():
    def built():
        layers = nn.Linear(3, 4), nn.Conv2d(3, 4, 5)
        nn.init.trunc_normal_(layers[0].bias)
        return torch.cat([parameter.detach().flatten() for layer in layers for parameter in layer.parameters()])

    torch.manual_seed(1)
    expected, following = built(), torch.rand(3)
    torch.manual_seed(1)
    with Unfilled():
        with torch.device("meta"):
            assert built().is_meta
        assert torch.equal(built(), expected)
    assert torch.equal(torch.rand(3), following)


class Draws(TorchDispatchMode):
    """Keeps the operators that draw random numbers."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.found += [name for name in ("normal_", "uniform_") if func.__name__.startswith(name)]
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("architecture", ["resnet18", "alexnet", "vgg11"])
def test_an_empty_network_draws_nothing(architecture):
    """For the meta device PyTorch draws in Python: half of the time in which a network is built."""
    with Draws() as filling:
        torch.empty(3).normal_()
    assert filling.found == ["normal_"]
    with Draws() as draws:
        network = cnn.network(f"torchvision/{architecture}", empty=True)
    assert all(parameter.is_meta for parameter in network.parameters())
    assert not draws.found


def test_a_vision_language_model_on_the_meta_device_draws_nothing():
    config = Qwen2VLConfig(**entry("qwen2-vl-tiny", "demo.yaml").config)
    with Draws() as draws, Unfilled(), torch.device("meta"):
        Qwen2VLModel(config)
    assert not draws.found
