"""Get the pretrained weights of a model, check them, and write them as safetensors.

Downloads stand beside the output, those from the Hugging Face Hub in a folder named after repository and commit, and are used again.
The environment variable HISTOBENCH_TORCHVISION_URL names a mirror of https://download.pytorch.org/models/, HF_ENDPOINT one
of https://huggingface.co.
"""

import argparse
import logging
import os
import sys
from pathlib import Path

from histobench.io.errors import run_script
from histobench.study.spec import CnnSettings, FolderWeights, HubWeights, model_settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=model_settings, required=True, help="settings of the model as JSON")
    parser.add_argument("--licence", default="", help="shown when weights have been downloaded")
    parser.add_argument("--citation", default="", help="shown when weights have been downloaded")
    parser.add_argument("--output", type=Path, required=True, help="MODEL.safetensors")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    model, output = arguments.model, arguments.output

    from histobench.fetch.http import terms

    if isinstance(model, CnnSettings):
        from histobench.training import pretrained_cnn

        downloaded = pretrained_cnn.convert(model, output.parent, os.environ.get("HISTOBENCH_TORCHVISION_URL"), output)
        of = model.architecture
    else:
        from histobench.fetch import hub
        from histobench.training import pretrained_vlm

        if isinstance(model.weights, FolderWeights):
            folder = Path(model.weights.folder)
        elif isinstance(model.weights, HubWeights):
            folder = output.with_name(hub.folder_name(model.weights))
        else:  # random: refused
            folder = output.parent
        downloaded = pretrained_vlm.convert(model, folder, output)
        of = model.weights.hub if isinstance(model.weights, HubWeights) else folder
    for sentence in terms(output.stem, arguments.licence, arguments.citation) if downloaded else []:
        print(sentence, file=sys.stderr)
    print(f"{output}: weights of {of}")


if __name__ == "__main__":
    run_script(main)
