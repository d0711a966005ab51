"""Heat maps against values worked out by hand, and on a network that was trained to find a bright square."""

import numpy as np
import pytest
import torch
from torch import nn

from histobench.models import heat_maps
from histobench.models.build import FrozenBackbone, backbone
from histobench.models.cnn import Classifier
from histobench.models.linear_head import LinearHead
from histobench.report.overlays import overlay, rank_correlation, towards_call
from histobench.study.recipes import Recipe
from histobench.study.spec import CnnSettings, RunSpec
from tests.models.vlm_settings import tiny

MEAN, STD = (0.4, 0.5, 0.6), (0.25, 0.25, 0.25)


def random_images(count: int, size: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8))


def small(*layers: nn.Module, dimensions: int) -> Classifier:
    return Classifier(nn.Sequential(*layers), nn.Linear(dimensions, 1), MEAN, STD).eval()


def test_grad_cam_of_pooled_features_is_the_class_activation_map() -> None:
    """Where features are averaged over the image and weighted by a linear head, the gradient is the head's weight over h x w."""
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 5, 3, stride=2)
    network = small(convolution, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), dimensions=5)
    images = random_images(3, 16)
    method, maps = heat_maps.maps(network, images)
    pixels = (images.permute(0, 3, 1, 2) / 255 - torch.tensor(MEAN)[:, None, None]) / 0.25
    features = torch.relu(nn.functional.conv2d(pixels, convolution.weight, convolution.bias, stride=2))
    expected = torch.einsum("nkhw,k->nhw", features, network.head.weight[0]) / 49
    assert method == "Grad-CAM"
    np.testing.assert_allclose(maps, expected.detach().numpy(), atol=1e-6)


def test_occlusion_is_the_fall_of_the_logit_under_a_patch_of_the_mean_colour() -> None:
    network = small(nn.AdaptiveAvgPool2d(1), dimensions=3)  # the logit is linear in the mean of the pixels
    images = random_images(2, 20)
    method, maps = heat_maps.maps(network, images, "occlusion")
    assert method == "occlusion"
    assert maps.shape == (2, 8, 8)
    colour, weight = np.round(255 * np.array(MEAN)), network.head.weight[0].detach().numpy()
    edges = [0, 2, 5, 8, 10, 12, 15, 18, 20]  # eighths of 20 pixels
    patch = images.numpy()[1, edges[3] : edges[4], edges[6] : edges[7]].astype(float) - colour
    assert maps[1, 3, 6] == pytest.approx((patch.sum((0, 1)) / 400 / (255 * 0.25)) @ weight, abs=1e-5)
    # Nothing changes in an image that has that colour already.
    grey = torch.from_numpy(np.broadcast_to(colour, (1, 20, 20, 3)).astype(np.uint8).copy())
    assert not heat_maps.occlusion(network, grey).any()


def squares(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Return noise (N, 32, 32, 3), of which every other image has a bright square of 8 px, labels and the squares' corners."""
    draw = np.random.default_rng(seed)
    images, corners = draw.integers(60, 140, (count, 32, 32, 3), dtype=np.uint8), draw.integers(0, 24, (count, 2))
    for image, (row, column) in zip(images[1::2], corners[1::2], strict=True):
        image[row : row + 8, column : column + 8] = 220
    return torch.from_numpy(images), torch.arange(count) % 2, corners


def test_maps_find_what_decides_the_label_and_depend_on_what_was_learned() -> None:
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU()]
    network = small(*layers, nn.AdaptiveMaxPool2d(1), dimensions=16).train()
    images, labels, _ = squares(128, 0)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(60):
        loss = nn.functional.binary_cross_entropy_with_logits(network(images), labels.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    images, labels, corners = squares(16, 5)
    images, corners = images[1::2], corners[1::2]
    logits = network.eval()(images).detach().numpy()
    assert (logits > 0).all()
    trained = {method: heat_maps.maps(network, images, method)[1] for method in ("auto", "occlusion")}
    for method, maps in trained.items():
        assert maps.shape[1:] == (8, 8)
        for heat, (row, column) in zip(towards_call(maps, logits), corners, strict=True):
            place = 4 * np.array(np.unravel_index(heat.argmax(), heat.shape)) + 2  # centre of the cell, in pixels
            assert (np.abs(place - [row + 4, column + 4]) <= 6).all(), method
    heat_maps.shuffle_parameters(network)
    for method, maps in trained.items():
        other = heat_maps.maps(network, images, method)[1]
        assert rank_correlation(maps, maps) == pytest.approx(1)
        assert rank_correlation(towards_call(maps, logits), towards_call(other, logits)) < 0.7, method


def test_each_kind_of_classifier_has_its_method() -> None:
    model = CnnSettings(architecture="torchvision/resnet18", weights="random", image_size=64, width=0.125)
    spec = RunSpec(model=model, recipe=Recipe(), augmentation=[], magnification=40, fold=1, seed=0)
    network = backbone(spec, None, "fp32")
    probe = FrozenBackbone(network, LinearHead(network.head.in_features, 0), autocast=False)
    images = random_images(2, 64)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    for classifier in (network, probe):
        method, maps = heat_maps.maps(classifier, images)
        assert (method, maps.shape) == ("Grad-CAM", (2, 2, 2))  # the last 2 x 2 features of 64 px
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    attentive = small(
        nn.Conv2d(3, 4, 8, 8), nn.Flatten(2), nn.TransformerEncoderLayer(64, 2, 8), nn.Flatten(), dimensions=256
    )
    assert heat_maps.maps(attentive, images)[0] == "occlusion"
    spec = spec.model_copy(update={"model": tiny("smolvlm")})
    method, maps = heat_maps.maps(backbone(spec, None, "fp32"), random_images(2, spec.model.image_size))
    assert (method, maps.shape) == ("occlusion", (2, 8, 8))
    assert np.abs(maps).max() > 0


def test_overlays_are_brightest_where_the_map_is_highest() -> None:
    pixels = np.full((32, 32, 3), 90, np.uint8)
    heat = np.zeros((4, 4))
    heat[0, 3] = 2
    drawn = overlay(pixels, heat)
    assert drawn.shape == (32, 32, 3)
    assert np.unravel_index(drawn.sum(2).argmax(), (32, 32)) >= (0, 24)
    assert (drawn[20:, :10] == 90).all()
    assert (overlay(pixels, np.zeros((4, 4))) == 90).all()
