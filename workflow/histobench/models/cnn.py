"""Convolutional (and other torchvision or timm) networks as classifiers of uint8 images.

torchvision and timm are imported only when a network of theirs is built: either takes seconds.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import torch
from torch import nn
from torch.func import functional_call

from histobench.io.errors import HistoBenchError
from histobench.io.state_dicts import require_shapes, shapes
from histobench.models.unfilled import Unfilled
from histobench.study.spec import CnnSettings

# The auxiliary classifiers of these networks are only for training from scratch and are left out. Their published weights
# expect inputs with another normalisation, which `transform_input` computes from one with ImageNet's mean and deviation.
_INCEPTION = {"aux_logits": False, "transform_input": True, "init_weights": True}
_OPTIONS = {"torchvision/googlenet": _INCEPTION, "torchvision/inception_v3": _INCEPTION}

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def normalises_over_batch(module: nn.Module) -> bool:
    """Tell whether a module, in its present mode, uses batch statistics: then cutting a batch changes the result."""
    return any(isinstance(part, BATCH_NORMS) and part.training for part in module.modules())


class Classifier(nn.Module):
    """A backbone without its classifier, and a linear `head`: the logit of malignant or, with several outputs, of each class."""

    mean: torch.Tensor
    std: torch.Tensor
    fixed: Sequence[nn.Module] = ()
    """Frozen parts of the backbone (:mod:`histobench.models.partial_training`), which stay in evaluation mode."""

    def __init__(self, backbone: nn.Module, head: nn.Linear, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.backbone = backbone
        self.head = head
        # On the scale of bytes. Not part of the state: they are in the settings.
        self.register_buffer("mean", 255 * torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the logits, (N,) or (N, K) float32, of RGB images (N, H, W, 3) uint8 on the module's device."""
        embeddings = self.embed(batch)
        # bf16 logits have 8 significant bits: many would be tied
        with torch.autocast(batch.device.type, enabled=False):
            return self.head(embeddings).squeeze(1)

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the input of the head, (N, D) float32, of images (N, H, W, 3) uint8; call `eval()` before."""
        images = batch.permute(0, 3, 1, 2)  # channels_last without a copy, which is fast with CUDA
        if batch.device.type != "cuda":
            # With fewer than 16 channels, oneDNN 3.13 writes outside the gradient of strided channels_last convolutions.
            images = images.contiguous()
        images = (images.float() - self.mean) / self.std
        return self.backbone(images).flatten(1).float()

    def train(self, mode: bool = True) -> "Classifier":
        """Set training mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        for part in self.fixed:
            part.eval()
        return self


def build(settings: CnnSettings, seed: int, state: Mapping[str, torch.Tensor] | None, outputs: int = 1) -> Classifier:
    """Build a classifier on the CPU, in training mode; no random state of the caller changes.

    The pretrained `state`, under the architecture's own names, is copied: all of it is required but the original
    classifier, which is left out. None is for random parameters: the architecture's own initialisation or, at a `width`
    below 1, that of He et al. (ICCV 2015). The `seed` determines the new head of `outputs` logits and all random parameters.

    Raises:
        HistoBenchError: the architecture does not exist, does not fit the image size, or cannot be narrowed to the
            width; a tensor of the state is missing, unknown or of another shape.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the caller's GPUs as well
        backbone = network(settings.architecture, empty=state is not None or settings.width < 1)
        if settings.width < 1:
            narrow(backbone, settings)
            _initialise(backbone)
        original = backbone.state_dict().keys()
        _remove_classifier(backbone, settings.architecture)
        if state is not None:
            _load(backbone, state, original - backbone.state_dict().keys(), settings.architecture)
        narrowed = f" at width {settings.width}" if settings.width < 1 else ""
        head = nn.Linear(dimensions(backbone, settings.image_size, settings.architecture, narrowed), outputs)
    return Classifier(backbone, head, settings.mean, settings.std)


def network(architecture: str, empty: bool = False) -> nn.Module:
    """Return the true network of `torchvision/NAME` or `timm/NAME`, with its original classifier, randomly initialised.

    With `empty`, parameters that will be replaced are left on the meta device, which saves time (3 s for VGG19); but
    networks of timm are always filled, since they may have constants outside their state.

    Raises:
        HistoBenchError: the library has no such architecture.
    """
    library, name = architecture.split("/")
    options = _OPTIONS.get(architecture, {})
    if library == "torchvision":
        import torchvision.models

        if name not in torchvision.models.list_models(module=torchvision.models):
            raise HistoBenchError(
                f"{architecture}: torchvision has no such classifier; correct the model's architecture"
            )
        if empty:
            # RegNets compute their sizes with tensors, which the meta device cannot.
            with suppress(NotImplementedError), Unfilled(), torch.device("meta"):
                return torchvision.models.get_model(name, weights=None, **options)
        return torchvision.models.get_model(name, weights=None, **options)
    import timm

    if not timm.is_model(name):
        raise HistoBenchError(f"{architecture}: timm has no such model; correct the model's architecture")
    return timm.create_model(name, pretrained=False)


def narrow(network: nn.Module, settings: CnnSettings) -> None:
    """Scale the channels of every layer, except the 3 of the image and the classifier's outputs; parameters are not filled.

    Raises:
        HistoBenchError: the network has other layers with parameters than convolutions, linear layers and batch
            normalisation, or groups of channels that cannot be scaled.
    """

    def scaled(channels: int) -> int:
        return max(1, round(channels * settings.width))

    classifier = _classifier(network, settings.architecture)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            module.in_features = scaled(module.in_features)
            module.out_features = module.out_features if module is classifier else scaled(module.out_features)
            shape: tuple[int, ...] = (module.out_features, module.in_features)
        elif isinstance(module, nn.Conv2d):
            depthwise = module.groups == module.in_channels
            module.in_channels = 3 if module.in_channels == 3 else scaled(module.in_channels)
            module.out_channels = module.out_channels if module is classifier else scaled(module.out_channels)
            module.groups = module.in_channels if depthwise else module.groups
            if module.in_channels % module.groups or module.out_channels % module.groups:
                raise HistoBenchError(
                    f"{settings.architecture}: a convolution of {module.groups} groups cannot be narrowed to "
                    f"{module.in_channels} channels; choose a width closer to 1 than {settings.width}"
                )
            shape = (module.out_channels, module.in_channels // module.groups, *module.kernel_size)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.num_features = scaled(module.num_features)
            shape = (module.num_features,)
        elif any(True for _ in [*module.parameters(recurse=False), *module.buffers(recurse=False)]):
            raise HistoBenchError(
                f"{settings.architecture}: its {type(module).__name__} layers cannot be narrowed, only convolutions, "
                "linear layers and batch normalisation can; set width to 1 or choose another architecture"
            )
        else:
            continue
        for name, parameter in module.named_parameters(recurse=False):
            empty = torch.empty(shape if name == "weight" else shape[:1], device=parameter.device)
            setattr(module, name, nn.Parameter(empty))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, buffer.new_empty(shape if buffer.ndim else ()))


def _initialise(network: nn.Module) -> None:
    """Allocate and fill a narrowed network: fan-in He normal weights, zero biases, neutral normalisation."""
    network.to_empty(device="cpu")
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_parameters()


def _classifier(network: nn.Module, architecture: str) -> nn.Module:
    """Return the layer that computes class scores: in torchvision always the last linear or convolutional one."""
    if architecture.startswith("timm/"):
        return network.get_classifier()  # type: ignore[operator]
    return [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]


def _remove_classifier(network: nn.Module, architecture: str) -> None:
    """Remove the classifier, so that the network's output is the classifier's input.

    In SqueezeNet the classifier is a 1x1 convolution before the pooling, which commutes with it; the ReLU between them does
    not change features, which are never negative.
    """
    if architecture.startswith("timm/"):
        network.reset_classifier(0)  # type: ignore[operator]
        return
    classifier = _classifier(network, architecture)
    path = next(name for name, module in network.named_modules() if module is classifier)
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, nn.Identity())


def _load(network: nn.Module, state: Mapping[str, torch.Tensor], ignored: set[str], architecture: str) -> None:
    """Copy a pretrained state, without the `ignored` keys of the original classifier, into a network without classifier."""
    own = network.state_dict()
    given = {key: tensor for key, tensor in state.items() if key not in ignored}
    what, remedy = f"{architecture}: the pretrained weights", "give a state dict of this architecture"
    require_shapes(shapes(given), shapes(own), what, remedy)
    for key, tensor in given.items():
        if tensor.is_floating_point() != own[key].is_floating_point():
            raise HistoBenchError(f"{what} have {key} of {tensor.dtype}, expected {own[key].dtype}; {remedy}")
        own[key] = tensor.to(own[key].dtype, copy=True)
    network.load_state_dict(own, assign=True)  # `own` has the version number that MNASNet requires


def dimensions(backbone: nn.Module, side: int, about: str, narrowed: str = "") -> int:
    """Return the length of an embedding of images of `side` px, from a forward pass of shapes alone (on the meta device)."""
    tensors = {name: tensor.to("meta") for name, tensor in [*backbone.named_parameters(), *backbone.named_buffers()]}
    images = torch.empty(2, 3, side, side, device="meta")
    backbone.eval()
    try:
        with torch.no_grad():
            output = functional_call(backbone, tensors, images)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise HistoBenchError(
            f"{about}{narrowed} does not take images of {side} px ({reason}); "
            f"choose another image_size{' or width' if narrowed else ''}"
        ) from error
    finally:
        backbone.train()
    return output.flatten(1).shape[1]
