"""SmolVLM2 (Marafioti et al., arXiv:2504.05299): the architecture of SmolVLM under a class of its own, trained on video too."""

from typing import Any

from histobench.models.families.smolvlm import SmolVLM


class SmolVLM2(SmolVLM):
    """`SmolVLMModel`, for example of HuggingFaceTB/SmolVLM2-2.2B-Instruct."""

    def classes(self, config: dict[str, Any]) -> tuple[type, type, type]:
        from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration, SmolVLMModel

        return SmolVLMConfig, SmolVLMModel, SmolVLMForConditionalGeneration


FAMILY = SmolVLM2()
