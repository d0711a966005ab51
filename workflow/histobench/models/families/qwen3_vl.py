"""Qwen3-VL (Bai et al., arXiv:2511.21631): as Qwen2-VL, with learned positions in the tower, and DeepStack."""

from types import MethodType
from typing import Any

import torch
from torch.nn.functional import pad

from histobench.models.families.qwen2_vl import Qwen2VL


def _add(self: Any, hidden: torch.Tensor, _: None, features: torch.Tensor) -> torch.Tensor:
    """Add `features` (N, T, D) to the hidden states of the visual tokens, which follow the first marker.

    The method of transformers looks for them in a mask, and waits for the GPU to know how many there are.
    """
    after = hidden.shape[1] - 1 - features.shape[1]
    return hidden + pad(features.to(hidden.dtype), (0, 0, 1, after))


class Qwen3VL(Qwen2VL):
    """`Qwen3VLModel`, for example of Qwen/Qwen3-VL-2B-Instruct."""

    MEAN = (0.5, 0.5, 0.5)
    STD = (0.5, 0.5, 0.5)
    CONNECTOR = ("visual.merger", "visual.deepstack_merger_list")

    def classes(self, config: dict[str, Any]) -> tuple[type, type, type]:
        from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration, Qwen3VLModel

        return Qwen3VLConfig, Qwen3VLModel, Qwen3VLForConditionalGeneration

    def loaded(self, model: Any) -> None:
        super().loaded(model)
        if (decoder := getattr(model, "language_model", None)) is not None:
            decoder._deepstack_process = MethodType(_add, decoder)

    def deepstack(self, config: Any) -> int:
        tower = config.vision_config
        return len(set(tower.deepstack_visual_indexes) & set(range(tower.depth)))

    def learned_positions(self, tower: Any, grid: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return which four learned positions of the tower surround a patch's place in the image, and their weights."""
        from transformers.vision_utils import get_vision_interpolation_indices_and_weights

        indices, weights = get_vision_interpolation_indices_and_weights(
            grid,
            num_grid_per_side=tower.num_grid_per_side,
            mode=tower.interpolation_mode,
            align_corners=tower.interpolation_align_corners,
            spatial_merge_size=tower.spatial_merge_size,
        )
        return {"interp_indices": indices, "interp_weights": weights}


FAMILY = Qwen3VL()
