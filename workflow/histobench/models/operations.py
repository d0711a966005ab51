"""Floating-point operations that an image costs: one multiplication or one addition each, of matrix products alone.

A layer of W weights takes 2 W operations for each position forward, as many again for the gradient of its input, and as many
for that of its weights: whichever is needed. Attention of width D over T positions takes 4 T^2 D forward. CNNs are counted by
PyTorch on the true network without memory, vision-language models by their shapes. Counting imports PyTorch, the results of
it do not.
"""

import math
import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from histobench.study.spec import CnnSettings, Recipe, VlmSettings

if TYPE_CHECKING:
    from torch import nn

_BATCH = 2  # batch normalisation needs more than one image


@dataclass(frozen=True)
class Operations:
    """Operations for one image, and the sizes that storage depends on."""

    training: float
    """Forward and back, from what the training job reads: pixels, visual tokens or embeddings."""
    evaluation: float
    """Forward, from the same."""
    tower: float
    """From pixels to visual tokens; 0 for a CNN."""
    embedding: float
    """From visual tokens, or a CNN's pixels, to an embedding."""
    dimensions: int
    """Length of an embedding."""
    tokens: int
    """Visual tokens, each as long as an embedding; 0 for a CNN."""
    published: int
    """Parameters of the model as published, with its original classifier or language-model head."""
    total: int
    """Parameters of the model as trained here."""
    trainable: int
    """Of `total`, those that training changes."""

    @property
    def prediction(self) -> float:
        """From pixels to the logit, by the whole trained model."""
        return self.tower + self.embedding + 2 * self.dimensions


def operations(
    settings: CnnSettings | VlmSettings, recipe: Recipe, live: bool = False, recompute: bool = False
) -> Operations:
    """Count the operations of a model that is trained by `recipe`, as `Config.recipe` gives it.

    Args:
        settings: the model.
        recipe: what is trained.
        live: a vision-language model computes its visual tokens in each pass, instead of reading stored ones.
        recompute: its decoder's activations are computed again in the backward pass.
    """
    from histobench.models import vlm
    from histobench.models.parameters import size

    counted = size(settings, recipe)
    sizes = counted.published_form, counted.total, counted.trainable
    if isinstance(settings, CnnSettings):
        forward, back, dimensions = _cnn(settings)
        head = 2 * dimensions
        passes = (2 * head, head) if recipe.trainable == "head" else (forward + back, forward)
        return Operations(*passes, 0, forward - head, dimensions, 0, *sizes)
    made = vlm.architecture(settings)
    count, dimensions = made.tokens
    decoder, tower = _vlm(settings, recipe)
    head = 2 * dimensions
    passes = 2 * head, head
    if recipe.trainable != "head":
        passes = decoder.forward + decoder.back + 3 * head, decoder.forward + head
        if recompute:
            passes = passes[0] + decoder.again, passes[1]
        if live:
            passes = passes[0] + tower.forward + tower.back, passes[1] + tower.forward
    plain = recipe.model_copy(update={"trainable": "head", "lora": None})
    frozen, eyes = (decoder, tower) if recipe.lora is None else _vlm(settings, plain)
    return Operations(*passes, eyes.forward, frozen.forward, dimensions, count, *sizes)


def _cnn(settings: CnnSettings) -> tuple[float, float, int]:
    """Return operations forward and back of training all of a CNN, and the length of its embedding."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from histobench.models import cnn

    original = cnn.network(settings.architecture, empty=True)
    if settings.width < 1:
        cnn.narrow(original, settings)
    # Given the empty network's own state, the classifier is as empty as that.
    classifier = cnn.build(settings, 0, original.state_dict() if settings.width == 1 else None).to("meta")
    images = torch.empty(_BATCH, settings.image_size, settings.image_size, 3, dtype=torch.uint8, device="meta")
    with sdpa_kernel(SDPBackend.MATH):  # whose products are plain ones
        with FlopCounterMode(display=False) as forward:
            logits = classifier.head(classifier.embed(images))
        with FlopCounterMode(
            display=False, custom_mapping={torch.ops.aten.convolution_backward: _convolution_back}
        ) as back:
            logits.sum().backward()
    return forward.get_total_flops() / _BATCH, back.get_total_flops() / _BATCH, classifier.head.in_features


def _convolution_back(
    gradient: Sequence[int], images: Sequence[int], weights: Sequence[int], *arguments: Any, **_unused: Any
) -> int:
    """Return the operations of a convolution's backward pass; PyTorch's own count forgets that channels come in groups."""
    transposed, mask = arguments[4], arguments[7]  # after bias, stride, padding, dilation; and output padding, groups
    positions = math.prod((images if transposed else gradient)[2:])
    return 2 * images[0] * positions * math.prod(weights) * (mask[0] + mask[1])


@dataclass
class _Count:
    """Operations of a part of a network."""

    forward: float = 0
    back: float = 0
    again: float = 0
    """Of `forward`, what is repeated where activations are recomputed: the layers that gradients pass through."""

    def layer(self, operations: float, gradients: int) -> None:
        """Add products that take `operations` forward; and as many back for each of `gradients`."""
        self.forward += operations
        self.back += operations * gradients


def _vlm(settings: VlmSettings, recipe: Recipe) -> tuple[_Count, _Count]:
    """Return the operations of a decoder and of what comes before it: vision tower and connector."""
    from torch import nn

    from histobench.models import vlm
    from histobench.models.parameters import skeleton

    made, lora = vlm.architecture(settings), recipe.lora
    vision, connector = bool(lora and lora.vision), bool(lora and lora.connector)
    model = skeleton(settings, recipe).model
    decoder, tower = _Count(), _Count()
    projections = set(lora.projections) if lora else set()
    adapted = lora.layers if lora else None
    layers = list(_layers(model, (made.family.DECODER,)))
    _blocks(decoder, layers, made.side**2 + 2, adapted, projections, vision or connector)
    grid = settings.image_size // made.family.patch(made.config)[0]
    seen = list(_layers(model, made.family.VISION))
    eyes = [layer for layer in seen if not layer.name.startswith(made.family.CONNECTOR)]
    _blocks(tower, eyes, grid**2, None, set("qkvo") if vision else set(), False)
    reached = vision
    for name, module in _modules(model):
        if name.startswith(made.family.CONNECTOR):
            if isinstance(module, nn.Linear):
                tower.layer(2 * module.weight.numel() * made.side**2, reached + connector)
            # A norm that is trained needs the gradient of what comes after it.
            reached = reached or (connector and any(True for _ in module.parameters(recurse=False)))
    return decoder, tower


class _Layer(NamedTuple):
    """A layer with weights."""

    name: str
    weights: int
    takes: int
    """Numbers that go into one position's product."""


def _modules(model: "nn.Module") -> Iterator[tuple[str, "nn.Module"]]:
    """Yield every module with the name that it has without adapters."""
    for name, module in model.named_modules():
        yield name.replace("base_model.model.", ""), module


def _layers(model: "nn.Module", parts: tuple[str, ...]) -> Iterator[_Layer]:
    """Yield the layers with weights in some parts of a model."""
    from torch import nn

    for name, module in _modules(model):
        if name.startswith(parts) and isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d):
            yield _Layer(name, module.weight.numel(), module.weight[0].numel())


# What each projection of a transformer's layer is called, over all families; a fused one counts as its first.
_PROJECTIONS = {"qkv": "q", "q_proj": "q", "k_proj": "k", "v_proj": "v", "out_proj": "o", "o_proj": "o", "proj": "o"}
_PROJECTIONS |= {"gate_proj": "gate", "up_proj": "up", "fc1": "up", "down_proj": "down", "fc2": "down"}
_LAYER = re.compile(r"\.(?:layers|blocks)\.(\d+)\.(?:self_attn|attn|mlp)\.(\w+)(?:\.(base_layer|lora_A|lora_B)\b.*)?$")


def _blocks(
    count: _Count,
    layers: Sequence[_Layer],
    positions: int,
    adapted: Sequence[int] | None,
    projections: AbstractSet[str],
    reached: bool,
) -> None:
    """Add a transformer's layers, and what embeds the patches before them.

    Args:
        count: what to add to.
        layers: everything with weights.
        positions: how many positions go through each.
        adapted: numbers of the transformer's layers with adapters on `projections`; None for all.
        projections: q, k, v, o, gate, up or down.
        reached: gradients are needed for what comes in.
    """
    numbered: dict[int, list[tuple[str, str, _Layer]]] = {}
    for layer in layers:
        if match := _LAYER.search(layer.name):
            numbered.setdefault(int(match[1]), []).append((_PROJECTIONS[match[2]], match[3] or "", layer))
        else:
            count.layer(2 * layer.weights * positions, int(reached))
    for number, inside in sorted(numbered.items()):
        before, own = count.forward, projections if adapted is None or number in adapted else set()
        # Does what goes into these projections have a gradient, in the order of the layer?
        attends = reached or bool(own & {"q", "k", "v"})
        mixed = attends or "o" in own
        wide = mixed or bool(own & {"gate", "up"})
        gradient = dict.fromkeys("qkv", reached) | {"o": attends, "gate": mixed, "up": mixed, "down": wide}
        for projection, part, layer in inside:
            has = gradient[projection]
            gradients = {"lora_A": 1 + has, "lora_B": 2}.get(part, int(has))
            count.layer(2 * layer.weights * positions, gradients)
        # All heads' width is what their output projection takes; its adapters come after it.
        width = next(layer.takes for projection, _, layer in inside if projection == "o")
        products = 2 * positions**2 * width  # of queries and keys, and again of weights and values
        q, k, v = (reached or name in own for name in "qkv")
        count.forward += 2 * products
        count.back += products * (q + k + v + (q or k))
        reached = wide or "down" in own
        count.again += (count.forward - before) * reached
