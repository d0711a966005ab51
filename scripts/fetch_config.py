"""Get the architecture of a vision-language model or encoder: the config.json of its repository, some kilobytes, without weights.

--model is the model's settings as JSON. The file is verified and kept beside the output, in a folder that is named after
repository and commit. With --gated, the user's token is sent to the Hub. The environment variable HF_ENDPOINT names a mirror of https://huggingface.co.
"""

import logging

from histobench.io.errors import run_script
from histobench.study import arguments
from histobench.study.spec import model_settings


def main() -> None:
    given = arguments.parse(__doc__, "output", model=model_settings, gated=False)
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    from histobench.fetch.hub import fetch_config

    fetch_config(given.model.weights, given.output.parent, given.output, given.gated)


if __name__ == "__main__":
    run_script(main)
