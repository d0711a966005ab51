"""Get the tokenizer.json of a vision-language model or CLIP, by which text is cut into tokens; some megabytes, without weights.

--model is the model's settings as JSON. The file is verified and kept beside the output, with --gated too, as by fetch_config.py.
"""

import logging

from histobench.io.errors import run_script
from histobench.study import arguments
from histobench.study.spec import model_settings


def main() -> None:
    given = arguments.parse(__doc__, "output", model=model_settings, gated=False)
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    from histobench.fetch.hub import fetch_tokenizer

    is_encoder = given.model.family == "encoder"
    fetch_tokenizer(given.model.weights, given.output.parent, given.output, is_encoder, given.gated)


if __name__ == "__main__":
    run_script(main)
