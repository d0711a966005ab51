"""The JSON schema of the configuration: `python -m histobench.study.schema > workflow/schemas/config.schema.json`."""

import json

from histobench.study.config import Config


def schema() -> str:
    """Return the JSON schema of the configuration, as the committed file holds it."""
    return json.dumps(Config.model_json_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(schema(), end="")
