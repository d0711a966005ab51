"""Get the pretrained weights of a model, check them, and write them as safetensors.

Downloads stand beside the output, those from the Hugging Face Hub in a folder named after repository and commit, and are used again.
The environment variable HISTOBENCH_TORCHVISION_URL names a mirror of https://download.pytorch.org/models/, HF_ENDPOINT one
of https://huggingface.co.
"""

import argparse
import logging
import os
from pathlib import Path

from histobench.study.errors import run_script
from histobench.study.spec import model_settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=model_settings, required=True, help="settings of the model as JSON")
    parser.add_argument("--output", type=Path, required=True, help="MODEL.safetensors")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    model, output = arguments.model, arguments.output

    if model.family == "cnn":
        from histobench.models import weights

        weights.convert(model, output.parent, os.environ.get("HISTOBENCH_TORCHVISION_URL"), output)
    else:
        from histobench.models import hub

        # Models that differ in other settings share the download.
        folder = f"{model.weights.hub.replace('/', '--')}-{model.weights.revision[:12]}"
        hub.convert(model, output.with_name(folder), output)
    print(f"{output}: weights of {model.architecture if model.family == 'cnn' else model.weights.hub}")


if __name__ == "__main__":
    run_script(main)
