"""CNNs of which a part is trained: the last block with all that follows it, or low-rank adapters on convolutions."""

import re

import torch
from torch import nn

from histobench.io.errors import HistoBenchError
from histobench.models.cnn import BATCH_NORMS, Classifier
from histobench.study.recipes import Recipe

SEQUENCES = ("stages", "blocks", "features", "layers")
"""Names of the module that holds a network's blocks, where its blocks are not named layer1, layer2..."""
_POOLING = (nn.MaxPool2d, nn.AvgPool2d)


def freeze(classifier: Classifier, recipe: Recipe, seed: int) -> None:
    """Freeze what a recipe does not train; the head is always trained, and `trainable: all` changes nothing.

    - `last`: the last block (:func:`last_block`) and everything after it are trained. Everything before it stays in evaluation
      mode: its batch normalisation keeps the running statistics, and nothing is dropped.
    - `lora`: PEFT's adapters (Hu et al., ICLR 2022) on every convolution but grouped ones are trained. All batch normalisation
      stays in evaluation mode. Adapters change nothing before the first step; the `seed` decides their first values.

    Raises:
        HistoBenchError: the network has no blocks that this module knows.
    """
    backbone = classifier.backbone
    if recipe.trainable == "last":
        first = last_block(backbone)
        for name, parameter in backbone.named_parameters():
            if name.startswith(f"{first}."):
                break
            parameter.requires_grad_(False)
        names = [name for name, _ in backbone.named_modules()]
        before = [name for name in names[1 : names.index(first)] if not first.startswith(f"{name}.")]
        classifier.fixed = [backbone.get_submodule(name) for name in before]
    elif recipe.trainable == "lora":
        from peft import LoraConfig, inject_adapter_in_model

        lora = recipe.lora
        assert lora is not None
        targets = [name for name, part in backbone.named_modules() if isinstance(part, nn.Conv2d) and part.groups == 1]
        config = LoraConfig(
            r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets, bias="none"
        )
        backbone.requires_grad_(False)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            inject_adapter_in_model(config, backbone)
        classifier.fixed = [part for part in backbone.modules() if isinstance(part, BATCH_NORMS)]
    classifier.train()


def last_block(backbone: nn.Module) -> str:
    """Return the name of the first module of a network's last block.

    Blocks are the network's modules layer1, layer2... (ResNet), or else the children of the first of :data:`SEQUENCES` that it
    has. The last block is the last of them that holds several layers with weights. Where the children are single layers (AlexNet,
    VGG), a block is what lies between two of its poolings.

    Raises:
        HistoBenchError: it has none of these modules.
    """
    children = dict(backbone.named_children())
    if stages := [name for name in children if re.fullmatch(r"layer\d+", name)]:
        return stages[-1]
    parent = next((name for name in SEQUENCES if name in children), None)
    if parent is None:
        known = ", ".join(SEQUENCES)
        raise HistoBenchError(
            f"{type(backbone).__name__} has no last block that is known (no modules layer1, layer2..., nor one of {known}); "
            "write `trainable: all`, `lora` or `head`"
        )
    parts = list(children[parent].named_children())
    weights = [sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in part.modules()) for _, part in parts]
    several = [place for place, count in enumerate(weights) if count > 1]
    if several:
        return f"{parent}.{parts[several[-1]][0]}"
    last = max(place for place, count in enumerate(weights) if count)
    pools = [place for place, (_, part) in enumerate(parts[:last]) if isinstance(part, _POOLING)]
    return f"{parent}.{parts[pools[-1] + 1 if pools else 0][0]}"
