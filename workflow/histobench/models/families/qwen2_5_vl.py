"""Qwen2.5-VL (Bai et al., arXiv:2502.13923): as Qwen2-VL, but most layers of the tower attend within windows."""

from typing import Any

from histobench.models.families.qwen2_vl import Qwen2VL


class Qwen25VL(Qwen2VL):
    """`Qwen2_5_VLModel`, for example of Qwen/Qwen2.5-VL-3B-Instruct.

    transformers orders patches by window inside the tower, and its tokens by row and column again.
    """

    def classes(self, config: dict[str, Any]) -> tuple[type, type, type]:
        from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLModel

        return Qwen2_5_VLConfig, Qwen2_5_VLModel, Qwen2_5_VLForConditionalGeneration


FAMILY = Qwen25VL()
