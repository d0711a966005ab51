"""Get the pretrained weights of a model, verify them, and write them as safetensors.

--model is the model's settings as JSON. Downloads are kept beside the output (those from the Hugging Face Hub in a folder
named after repository and commit) and used again. With --gated, the user's token is sent to the Hub. The environment variable
HISTOBENCH_TORCHVISION_URL names a mirror of https://download.pytorch.org/models/, HF_ENDPOINT one of https://huggingface.co. With
--text, what the other weights lack is written alone: a vision-language model's language-model head, or a CLIP's text tower.
"""

import logging

from histobench.io.errors import run_script
from histobench.study import arguments
from histobench.study.spec import model_settings


def main() -> None:
    given = arguments.parse(__doc__, "output", model=model_settings, text=False, licence="", citation="", gated=False)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    output = given.output

    from histobench.fetch.http import show_terms
    from histobench.training import pretrained_cnn, pretrained_encoder, pretrained_vlm

    if given.model.family == "encoder":
        convert = pretrained_encoder.convert_text_tower if given.text else pretrained_encoder.convert
        downloaded = convert(given.model, output.parent, output, given.gated)
    else:
        convert = pretrained_cnn.convert if given.model.family == "cnn" else pretrained_vlm.convert
        if given.text:
            convert = pretrained_vlm.convert_language_head
        downloaded = convert(given.model, output.parent, output)
    if downloaded:
        show_terms(output.with_suffix(""), given.licence, given.citation)
    print(f"{output}: written")


if __name__ == "__main__":
    run_script(main)
