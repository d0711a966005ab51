"""Get the pretrained weights of a model, verify them, and write them as safetensors.

Downloads are kept beside the output (those from the Hugging Face Hub in a folder named after repository and commit) and
used again. The environment variable HISTOBENCH_TORCHVISION_URL names a mirror of https://download.pytorch.org/models/,
HF_ENDPOINT one of https://huggingface.co.
"""

import argparse
import logging
import sys
from pathlib import Path

from histobench.io.errors import run_script
from histobench.study.spec import CnnSettings, model_settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=model_settings, required=True, help="settings of the model as JSON")
    parser.add_argument("--licence", default="", help="shown when weights have been downloaded")
    parser.add_argument("--citation", default="", help="shown when weights have been downloaded")
    parser.add_argument("--output", type=Path, required=True, help="MODEL.safetensors")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    model, output = arguments.model, arguments.output

    from histobench.fetch.http import notices
    from histobench.training import pretrained_cnn, pretrained_vlm

    if isinstance(model, CnnSettings):
        downloaded = pretrained_cnn.convert(model, output.parent, output)
    else:
        downloaded = pretrained_vlm.convert(model, output.parent, output)
    for line in notices(output.stem, arguments.licence, arguments.citation) if downloaded else []:
        print(line, file=sys.stderr)
    print(f"{output}: written")


if __name__ == "__main__":
    run_script(main)
