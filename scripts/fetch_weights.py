"""Get the pretrained weights of a model, verify them, and write them as safetensors.

--model is the model's settings as JSON. Downloads are kept beside the output (those from the Hugging Face Hub in a folder named after repository and commit) and
used again. The environment variable HISTOBENCH_TORCHVISION_URL names a mirror of https://download.pytorch.org/models/,
HF_ENDPOINT one of https://huggingface.co.
"""

import logging
import sys

from histobench.io.errors import run_script
from histobench.study import arguments
from histobench.study.spec import CnnSettings, model_settings


def main() -> None:
    given = arguments.parse(__doc__, "output", model=model_settings, licence="", citation="")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    model, output = given.model, given.output

    from histobench.fetch.http import notices
    from histobench.training import pretrained_cnn, pretrained_vlm

    if isinstance(model, CnnSettings):
        downloaded = pretrained_cnn.convert(model, output.parent, output)
    else:
        downloaded = pretrained_vlm.convert(model, output.parent, output)
    for line in notices(output.stem, given.licence, given.citation) if downloaded else []:
        print(line, file=sys.stderr)
    print(f"{output}: written")


if __name__ == "__main__":
    run_script(main)
