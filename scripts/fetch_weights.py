"""Get the pretrained weights of a model, check them, and write them as safetensors.

Downloads stand beside the output and are used again. The environment variable HISTOBENCH_TORCHVISION_URL names a mirror
of https://download.pytorch.org/models/.
"""

import argparse
import logging
import os
from pathlib import Path

from histobench.study.errors import run_script
from histobench.study.spec import ModelSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=ModelSettings.model_validate_json, required=True, help="ModelSettings as JSON")
    parser.add_argument("--output", type=Path, required=True, help="MODEL.safetensors")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    from histobench.models import weights

    mirror = os.environ.get("HISTOBENCH_TORCHVISION_URL")
    weights.convert(arguments.model, arguments.output.parent, mirror, arguments.output)
    print(f"{arguments.output}: weights of {arguments.model.architecture}")


if __name__ == "__main__":
    run_script(main)
