"""SmolVLM (Marafioti et al., arXiv:2504.05299) and Idefics3: a SigLIP tower, pixel shuffle, and a Llama decoder."""

from typing import Any

import torch

from histobench.models.vlm_architecture import Family


class SmolVLM(Family):
    """`Idefics3Model`, for example of HuggingFaceTB/SmolVLM-Instruct; `SmolVLMModel` where the config says `smolvlm`."""

    MEAN = (0.5, 0.5, 0.5)
    STD = (0.5, 0.5, 0.5)
    VISION = ("vision_model", "connector")
    DECODER = "text_model"
    CONNECTOR = ("connector",)
    VISION_ATTENTION = r"encoder\.layers\.\d+\.self_attn\.(q_proj|k_proj|v_proj|out_proj)"
    MARKER_TOKENS = ("<fake_token_around_image>", "<image>", "<fake_token_around_image>")

    def classes(self, config: dict[str, Any]) -> tuple[type, type, type]:
        import transformers

        kind = "SmolVLM" if config.get("model_type") == "smolvlm" else "Idefics3"
        names = ("Config", "Model", "ForConditionalGeneration")
        return tuple(getattr(transformers, f"{kind}{name}") for name in names)  # type: ignore[return-value]

    def marker_ids(self, config: Any) -> tuple[int, int, int]:
        # The config gives only the image token. The marker around it has the id before, which `pretrained_vlm` verifies.
        image = config.image_token_id
        return image - 1, image, image - 1

    def patch(self, config: Any) -> tuple[int, int]:
        return config.vision_config.patch_size, config.scale_factor

    def tokens(self, model: Any, images: torch.Tensor) -> torch.Tensor:
        # Not `get_image_features`, which first looks for images that are padding, and waits for the GPU to know.
        return model.connector(model.vision_model(images.to(model.dtype).contiguous()).last_hidden_state)

    def positions(self, side: int, text: int = 0) -> None:
        """Return None: the decoder counts positions itself."""


FAMILY = SmolVLM()
