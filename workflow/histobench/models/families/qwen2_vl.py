"""Qwen2-VL (Wang et al., arXiv:2409.12191): visual tokens of merged patches, and a decoder with 3-D rotary positions."""

from types import MethodType
from typing import Any

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from histobench.models.vlm_architecture import Family


class _FlatProjection(nn.Linear):
    """The patch embedding as a matrix product, which it equals: its Conv3d is very slow on some GPUs."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return (P, D) of patches (P, 3, 2, side, side)."""
        return super().forward(input.flatten(1))


def _attend(
    self: Any, states: torch.Tensor, cu_seqlens: torch.Tensor, position_embeddings: tuple[torch.Tensor, ...], **_: Any
) -> torch.Tensor:
    """Forward pass of an attention layer of the tower, in one call for all images (or windows) of equally many patches.

    That of transformers takes any sizes: it calls attention for each image, and waits for the GPU to know its size. Takes and
    returns (P, D), where P counts the patches of all images; `cu_seqlens`, on the CPU, says where they begin and end.
    """
    from transformers.models.qwen2_vl.modeling_qwen2_vl import apply_rotary_pos_emb_vision

    if len(cu_seqlens.diff().unique()) > 1:  # windows at the edge of an image may be smaller
        return type(self).forward(self, states, cu_seqlens, position_embeddings)
    query, key, value = self.qkv(states).view(len(states), 3, self.num_heads, -1).unbind(1)
    query, key = apply_rotary_pos_emb_vision(query, key, *position_embeddings)
    images = len(cu_seqlens) - 1
    query, key, value = (part.unflatten(0, (images, -1)).transpose(1, 2) for part in (query, key, value))
    mixed = scaled_dot_product_attention(query, key, value, scale=self.scaling)
    return self.proj(mixed.transpose(1, 2).reshape(len(states), -1))


class Qwen2VL(Family):
    """`Qwen2VLModel`, for example of Qwen/Qwen2-VL-2B-Instruct."""

    MEAN = (0.48145466, 0.4578275, 0.40821073)  # CLIP's
    STD = (0.26862954, 0.26130258, 0.27577711)
    VISION = ("visual",)
    DECODER = "language_model"
    CONNECTOR = ("visual.merger",)
    VISION_ATTENTION = r"blocks\.\d+\.attn\.(qkv|proj)"
    MARKER_TOKENS = ("<|vision_start|>", "<|image_pad|>", "<|vision_end|>")

    def classes(self, config: dict[str, Any]) -> tuple[type, type, type]:
        from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLModel

        return Qwen2VLConfig, Qwen2VLModel, Qwen2VLForConditionalGeneration

    def marker_ids(self, config: Any) -> tuple[int, int, int]:
        return config.vision_start_token_id, config.image_token_id, config.vision_end_token_id

    def patch(self, config: Any) -> tuple[int, int]:
        return config.vision_config.patch_size, config.vision_config.spatial_merge_size

    def loaded(self, model: Any) -> None:
        if (tower := getattr(model, "visual", None)) is None:
            return
        convolution = tower.patch_embed.proj
        weight = convolution.weight
        flat = _FlatProjection(1, 1, bias=False, device="meta")
        flat.in_features, flat.out_features = weight[0].numel(), len(weight)
        flat.weight = nn.Parameter(weight.detach().flatten(1), weight.requires_grad)
        flat.bias = convolution.bias
        tower.patch_embed.proj = flat
        for block in tower.blocks:
            block.attn.forward = MethodType(_attend, block.attn)

    def tokens(self, model: Any, images: torch.Tensor) -> torch.Tensor:
        from transformers.vision_utils import get_vision_position_ids

        vision = model.config.vision_config
        pixels, grid = self.pixels(vision, images)
        places = {"position_ids": get_vision_position_ids(grid[:1], vision.spatial_merge_size)}
        places |= self.learned_positions(model.visual, grid[:1])
        places = {name: of.repeat(len(images), 1).to(images.device) for name, of in places.items()}
        found = model.get_image_features(pixels, image_grid_thw=grid, **places)
        features = (found.pooler_output, *getattr(found, "deepstack_features", ()))
        return torch.cat([torch.stack(tuple(part)) for part in features], dim=-1)

    def learned_positions(self, tower: Any, grid: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return what the tower is told of an image's patches (P, ...) besides row and column; `grid` as of `pixels`."""
        return {}

    @staticmethod
    def pixels(vision: Any, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the inputs that the family's image processor makes from normalised square images (N, 3, S, S).

        They are patches (N * grid**2, 3 * 2 * side * side), in which each image is repeated as two frames and patches that
        will be merged are next to each other; and the grid of each image (N, 3): 1 pair of frames, rows, columns. The grids
        stay on the CPU, where transformers reads them.
        """
        count, size, merge = len(images), vision.patch_size, vision.spatial_merge_size
        grid = images.shape[-1] // size
        patches = images.reshape(count, 3, grid // merge, merge, size, grid // merge, merge, size)
        patches = patches.permute(0, 2, 5, 3, 6, 1, 4, 7).unsqueeze(6)
        patches = patches.expand(-1, -1, -1, -1, -1, -1, vision.temporal_patch_size, -1, -1)
        return (patches.reshape(count * grid**2, -1), torch.tensor([[1, grid, grid]] * count))

    def positions(self, side: int, text: int = 0) -> torch.Tensor:
        """Return (3, 1, T + 2 + text): frame, row and column. The end marker has the largest of these plus 1, not T + 1, and the
        text goes on from there, equal in all three."""
        row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        visual = 1 + torch.stack([torch.zeros(side * side, dtype=torch.int64), row.flatten(), column.flatten()])
        start, after = torch.zeros(3, 1, dtype=torch.int64), torch.arange(1 + side, 2 + side + text).expand(3, -1)
        return torch.cat([start, visual, after], dim=1).unsqueeze(1)


FAMILY = Qwen2VL()
