"""Get the tokenizer.json of a vision-language model, by which text is cut into tokens; some megabytes, without weights.

--model is the model's settings as JSON. The file is verified and kept beside the output, as by fetch_config.py.
"""

import logging

from histobench.io.errors import run_script
from histobench.study import arguments
from histobench.study.spec import model_settings


def main() -> None:
    given = arguments.parse(__doc__, "output", model=model_settings)
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    from histobench.fetch.hub import fetch_tokenizer

    fetch_tokenizer(given.model.weights, given.output.parent, given.output)


if __name__ == "__main__":
    run_script(main)
