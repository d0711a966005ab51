"""Vision-language models as binary classifiers of uint8 images: visual tokens between two image markers, then text or none.

The models are those of transformers without their language-model head. The visual tokens of a frozen vision tower may be
computed before training (`tokens`) and passed to the classifier later, with the same result as images. transformers and
PEFT are imported only when a model is built: they take seconds.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn

from histobench.io.errors import HistoBenchError
from histobench.io.state_dicts import require_shapes, shapes
from histobench.models.unfilled import Unfilled
from histobench.models.vlm_architecture import Architecture, architecture, config_errors
from histobench.study.recipes import Lora
from histobench.study.spec import VlmSettings

Part = Literal["vision", "decoder"]
WHOLE: tuple[Part, ...] = ("vision", "decoder")

CONFIG = "config"
"""Key of the architecture, as JSON, in the metadata of converted weights."""


class VisionLanguageClassifier(nn.Module):
    """A vision-language model, or one part of it, and a linear `head`: the logit of malignant or, with several outputs, of each class."""

    mean: torch.Tensor
    std: torch.Tensor
    markers: torch.Tensor
    positions: torch.Tensor | None

    def __init__(self, made: Architecture, model: nn.Module, markers: torch.Tensor, readout: str, outputs: int = 1):
        """`markers` are the embeddings (2 + n, D) of the two image markers, and of the tokens of a text after them."""
        super().__init__()
        self.family = made.family
        self.model = model
        self.readout = readout
        self.head = nn.Linear(made.hidden_size, outputs)
        self.frozen_vision = True
        self.token_shape = made.tokens
        # These are not part of the state: settings and weights hold them. Bytes are normalised in one step.
        self.register_buffer("mean", 255 * torch.tensor(made.family.MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(made.family.STD).view(3, 1, 1), persistent=False)
        self.register_buffer("markers", markers, persistent=False)
        self.register_buffer("positions", made.family.positions(made.side, len(markers) - 2), persistent=False)
        made.family.loaded(model)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the logits, (N,) or (N, K) float32, of images (N, S, S, 3) uint8, or of their visual tokens (see `tokens`).

        bf16 tokens may be given as uint16 with the same bits.
        """
        hidden = self.embed(batch)
        with torch.autocast(batch.device.type, enabled=False):
            return self.head(hidden).squeeze(1)

    def embed(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the input of the head, h_T (N, D) float32, of a batch as `forward` takes it."""
        hidden, tokens = self.hidden(batch, self.markers[2:]), self.token_shape[0]
        match self.readout:
            case "end_marker":
                return hidden[:, -1].float()
            case "last_image_token":
                return hidden[:, tokens].float()
            case _:
                return hidden[:, 1 : tokens + 1].float().mean(dim=1)

    def hidden(self, batch: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """Return the decoder's final hidden states (N, T + 2 + n, D) of a batch as `forward` takes it.

        `text` are the embeddings (n, D) of the tokens after the image, at most as many as were given at first.
        """
        if batch.dtype == torch.uint8:
            batch = self.tokens(batch)
        elif batch.dtype == torch.uint16:
            batch = batch.view(torch.bfloat16)
        tokens, *deepstack = batch.to(self.markers.dtype).split(self.markers.shape[-1], dim=-1)
        start, end = (marker.expand(len(tokens), 1, -1) for marker in self.markers[:2])
        embeds = torch.cat([start, tokens, end, text.expand(len(tokens), -1, -1)], dim=1)
        more: dict[str, Any] = {"deepstack_visual_embeds": deepstack} if deepstack else {}
        if self.positions is not None:
            more["position_ids"] = self.positions[..., : embeds.shape[1]].expand(-1, len(tokens), -1)
        decoder = getattr(self.model, self.family.DECODER)
        return decoder(inputs_embeds=embeds, use_cache=False, **more).last_hidden_state

    def tokens(self, images: torch.Tensor) -> torch.Tensor:
        """Return the visual tokens, (N, T, D) in the vision tower's precision, of images (N, S, S, 3) uint8."""
        with torch.no_grad() if self.frozen_vision else nullcontext():
            normalised = (images.permute(0, 3, 1, 2).float() - self.mean) / self.std
            return self.family.tokens(self.model, normalised)

    def adapt(self, lora: Lora, seed: int) -> None:
        """Add the adapters of `lora`; gradients reach these, the head, and of connector and vision tower what is trained whole.

        PEFT initialises them: an adapter changes nothing before its first step. They are fp32 in a model of any type.
        """
        from peft import LoraConfig, get_peft_model
        from peft.tuners.tuners_utils import BaseTunerLayer

        def wrap(part: str, targets: str) -> None:
            config = LoraConfig(
                r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets, bias="none"
            )
            setattr(self.model, part, get_peft_model(getattr(self.model, part), config))
            for module in self.model.get_submodule(part).modules():
                if isinstance(module, BaseTunerLayer):
                    # Under autocast the adapter computes in bf16: PEFT's fp32 copy of its input would only cost time.
                    module.cast_input_dtype_enabled = False  # type: ignore[assignment]

        whole = [self.model.get_submodule(name) for name in self.family.CONNECTOR] if lora.connector else []
        if lora.vision_blocks:
            tower = self.model.get_submodule(self.family.VISION[0])
            blocks = next(part for part in tower.modules() if isinstance(part, nn.ModuleList))
            if lora.vision_blocks > len(blocks):
                raise HistoBenchError(
                    f"lora.vision_blocks: the vision tower has {len(blocks)} blocks, not {lora.vision_blocks}; write fewer"
                )
            whole += blocks[-lora.vision_blocks :]
        layers = getattr(self.model, self.family.DECODER).layers
        chosen = range(len(layers)) if lora.layers is None else lora.layers
        if max(chosen) >= len(layers):
            raise HistoBenchError(
                f"lora.layers: there is no decoder layer {max(chosen)}, the last is {len(layers) - 1}; correct the list"
            )
        names = "|".join(map(str, chosen))
        projections = "|".join(lora.projections)
        with _seeded(seed):
            # The complete name inside the decoder: a list of suffixes would also match layers of a SigLIP tower.
            wrap(self.family.DECODER, rf"layers\.({names})\.(self_attn|mlp)\.({projections})_proj")
            if lora.vision:
                wrap(self.family.VISION[0], self.family.VISION_ATTENTION)
        for part in whole:  # not before: PEFT freezes all but its adapters
            part.float().requires_grad_(True)
        self.frozen_vision = not (lora.vision or whole)

    def checkpoint_activations(self) -> None:
        """Recompute the decoder's activations in the backward pass instead of keeping them; the result stays the same."""
        decoder = cast(Any, getattr(self.model, self.family.DECODER))
        decoder.activation_checkpointing_enable({"use_reentrant": False})

    def compile_layers(self) -> None:
        """Compile the decoder's layers by `torch.compile` when they first run: one kernel for several small operations.

        All layers are equal and share what is compiled. Results differ by rounding, and dropout draws other masks.
        """
        for layer in cast(Any, getattr(self.model, self.family.DECODER)).layers:
            layer.compile()

    def train(self, mode: bool = True) -> "VisionLanguageClassifier":
        """Set training mode; a frozen vision tower stays in evaluation mode."""
        super().train(mode)
        if self.frozen_vision:
            for part in self.family.VISION:
                if (tower := getattr(self.model, part, None)) is not None:
                    tower.eval()
        return self


def build(
    settings: VlmSettings,
    seed: int,
    weights: Path | None,
    parts: tuple[Part, ...] = WHOLE,
    dtype: torch.dtype = torch.float32,
    text: Sequence[int] = (),
    outputs: int = 1,
) -> VisionLanguageClassifier:
    """Build a classifier on the CPU of which only the head can be trained; no random state of the caller changes.

    `weights` were written by :func:`histobench.training.pretrained_vlm.convert`; their metadata hold the architecture where
    `settings` do not. The `seed` determines the head and, without weights, every other parameter. Of the `parts`, "vision"
    computes visual tokens and "decoder" takes them. `dtype` is that of the frozen parameters. `text` are the ids of the tokens
    that the decoder reads after the image. The head has `outputs` logits.

    Raises:
        HistoBenchError: the config cannot be used, or the weights are incomplete or those of another model.
    """
    from accelerate import init_empty_weights

    made = stored_architecture(settings, weights)
    kind = made.family
    names = {"vision": kind.VISION, "decoder": (kind.DECODER,)}
    unwanted = [name for part in WHOLE if part not in parts for name in names[part]]
    start, _, end = kind.marker_ids(made.config)
    looked_up = [start, end, *text]
    with _seeded(seed):
        # Parameters on the meta device; buffers, such as rotary frequencies, are computed.
        empty = init_empty_weights(include_buffers=False) if weights else nullcontext()
        with config_errors(settings), Unfilled(), empty:
            model = made.model(made.config)
        _attend_without_masks(model)
        decoder = getattr(model, kind.DECODER)
        # Only the two markers and the text are ever looked up.
        if weights is None:
            markers = decoder.embed_tokens.weight[looked_up].detach().clone()
        expected = shapes(model.state_dict())
        decoder.embed_tokens = nn.Identity()
        for name in unwanted:
            delattr(model, name)
        if weights is not None:
            with _opened(weights) as file:
                found = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
                require_shapes(found, expected, f"{weights}: the weights", "delete the file to have it made again")
                rows = file.get_slice(f"{kind.DECODER}.embed_tokens.weight")
                markers = torch.cat([rows[token : token + 1] for token in looked_up])
                state = {name: file.get_tensor(name).to(dtype) for name in model.state_dict()}
            model.load_state_dict(state, assign=True)
        for parameter in model.parameters():  # not buffers: transformers keeps rotary frequencies in fp32
            parameter.data = parameter.data.to(dtype)
        model.requires_grad_(False)
        return VisionLanguageClassifier(made, model, markers.to(dtype), settings.readout, outputs)


def stored_architecture(settings: VlmSettings, weights: Path | None) -> Architecture:
    """Return the :func:`architecture` that `settings` give, or else the metadata of converted `weights`."""
    return architecture(settings, None if weights is None or settings.config else _stored_config(weights))


def _attend_without_masks(model: Any) -> None:
    """Let a model compute attention as by default, but without masks: no image is padded, and to ask waits for the GPU."""
    from transformers import AttentionInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    # transformers makes no mask for an attention that it does not know. Without one, decoders are causal, towers are not.
    AttentionInterface.register("sdpa_without_mask", sdpa_attention_forward)
    model.set_attn_implementation("sdpa_without_mask")


@contextmanager
def compiler_errors() -> Iterator[None]:
    """Turn the errors that `torch.compile` raises where it cannot compile, such as without a compiler, into one message."""
    try:
        yield
    except RuntimeError as error:  # its classes cannot be named without importing it, which takes seconds
        if not type(error).__module__.startswith(("torch._dynamo.", "torch._inductor.")):
            raise
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise HistoBenchError(
            f"the decoder's layers cannot be compiled ({reason}); install what is missing, or leave `compile` out of the mode"
        ) from error


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the caller's GPUs as well
        yield


def _stored_config(weights: Path) -> dict[str, Any]:
    with _opened(weights) as file:
        config = (file.metadata() or {}).get(CONFIG)
    if config is None:
        raise HistoBenchError(f"{weights}: its metadata hold no config; delete the file to have it made again")
    return json.loads(config)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise HistoBenchError(
            f"{path}: cannot be read as safetensors ({error}); delete it to have it made again"
        ) from error
