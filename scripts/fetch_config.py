"""Get the architecture of a vision-language model: the config.json of its repository, some kilobytes, without weights.

It is kept in a folder beside the output that is named after repository and commit, and verified. The environment variable
HF_ENDPOINT names a mirror of https://huggingface.co.
"""

import argparse
import logging
from pathlib import Path

from histobench.io.errors import run_script
from histobench.study.spec import model_settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=model_settings, required=True, help="settings of the model as JSON")
    parser.add_argument("--output", type=Path, required=True, help="MODEL.config.json")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    from histobench.fetch.hub import fetch_config

    fetch_config(arguments.model.weights, arguments.output.parent, arguments.output)


if __name__ == "__main__":
    run_script(main)
