"""Heat maps: which parts of an image a trained classifier's logit depends on. Nothing is trained.

A map is signed evidence of malignant on a coarse grid: positive where the image is evidence for malignant, negative for benign.
"""

from typing import Any

import numpy as np
import torch
from torch import nn

from histobench.models import cnn
from histobench.models.build import FrozenBackbone

GRID = 8
"""Patches along a side that occlusion covers, one after the other: 64 forward passes for each image."""
AT_ONCE = 16
"""Images on the device at once."""

SOURCES = {
    "Grad-CAM": "Grad-CAM (Selvaraju et al. 2017) of the last feature map",
    "occlusion": "Occlusion (Zeiler and Fergus 2014): the fall of the logit when a patch has the mean colour",
}
"""What each method is, in print."""


def maps(classifier: nn.Module, images: torch.Tensor, method: str = "auto") -> tuple[str, np.ndarray]:
    """Return the method and the maps, (N, h, w) float32, of images (N, S, S, 3) uint8 on the classifier's device.

    `auto` is `Grad-CAM` for a convolutional network, trained or with a linear head, else `occlusion`: a network with
    attention mixes all places of the image, so that its feature maps have no place of their own.
    """
    classifier.eval()
    place = _last_feature_map(classifier, images[:1]) if method == "auto" else None
    parts = images.split(AT_ONCE)
    if place is None:
        return "occlusion", np.concatenate([occlusion(classifier, part) for part in parts])
    return "Grad-CAM", np.concatenate([grad_cam(classifier, part, place) for part in parts])


def grad_cam(classifier: nn.Module, images: torch.Tensor, place: nn.Module) -> np.ndarray:
    """Return the sum of the channels of the output of `place`, each weighted by the mean gradient of the logit with respect to it.

    Selvaraju et al., ICCV 2017, equations 1 and 2, before its ReLU: for one logit the map of benign is the negative one of
    malignant, and maps of several networks can be averaged. (N, h, w) float32, of the size of the feature map.
    """
    kept: list[torch.Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[-1].clone()  # the next layer may work in place

    hook = place.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(classifier(images).sum(), kept[-1:])
    finally:
        hook.remove()
    return (gradient.mean((2, 3), keepdim=True) * kept[-1].detach()).sum(1).float().cpu().numpy()


@torch.no_grad()
def occlusion(classifier: nn.Module, images: torch.Tensor, grid: int = GRID) -> np.ndarray:
    """Return by how much the logit falls when a patch has the mean colour of the model's inputs: (N, grid, grid) float32.

    Zeiler and Fergus, ECCV 2014, section 4.2, with patches side by side: `grid` x `grid` forward passes for each image. On a
    processor the parameters of a convolutional network are laid out as channels_last, and stay so.
    """
    network = _network(classifier)
    if images.device.type == "cpu" and isinstance(network, cnn.Classifier):
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # convolutions take a quarter less time
    colour = network.mean.flatten().round().to(images.dtype)
    edges = np.linspace(0, images.shape[1], grid + 1).round().astype(int)
    places = list(np.ndindex(grid, grid))
    before = classifier(images).float().cpu()
    drops = torch.empty(len(images), len(places))
    for number, image in enumerate(images):
        covered = image.repeat(len(places), 1, 1, 1)
        for copy, (row, column) in zip(covered, places, strict=True):
            copy[edges[row] : edges[row + 1], edges[column] : edges[column + 1]] = colour
        # Copies of one image make full batches, however few images there are.
        after = torch.cat([classifier(part).float() for part in covered.split(AT_ONCE)])
        drops[number] = before[number] - after.cpu()
    return drops.view(-1, grid, grid).numpy()


@torch.no_grad()
def shuffle_parameters(classifier: nn.Module, seed: int = 0) -> None:
    """Shuffle the values of every parameter among themselves: the same architecture with random parameters of the same size.

    A map that stays as it was does not show what was learned (Adebayo et al., NeurIPS 2018).
    """
    generator = torch.Generator().manual_seed(seed)
    for parameter in classifier.parameters():
        order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
        parameter.copy_(parameter.flatten()[order].view_as(parameter))


def _network(classifier: nn.Module) -> Any:
    """Return the part of a classifier that takes images."""
    return classifier.backbone if isinstance(classifier, FrozenBackbone) else classifier


@torch.no_grad()
def _last_feature_map(classifier: nn.Module, image: torch.Tensor) -> nn.Module | None:
    """Return the module of a convolutional network with the last output (1, C, h, w), before global pooling; None without one."""
    network = _network(classifier)
    parts = list(network.modules())
    if not isinstance(network, cnn.Classifier) or any("attention" in type(part).__name__.lower() for part in parts):
        return None
    last = None

    def note(module: nn.Module, _inputs: object, output: object) -> None:
        nonlocal last
        if isinstance(output, torch.Tensor) and output.ndim == 4 and min(output.shape[2:]) > 1:
            last = last if isinstance(module, nn.AdaptiveAvgPool2d) else module

    hooks = [part.register_forward_hook(note) for part in parts]
    try:
        classifier(image)
    finally:
        for hook in hooks:
            hook.remove()
    return last
