"""The names of all architectures, kept in a file so that a configuration is checked without the slow imports."""

import json


def catalogue() -> dict[str, list[str]]:
    """Return the classification architectures of torchvision and the models of timm, sorted."""
    import timm
    import torchvision.models

    return {
        "torchvision": sorted(torchvision.models.list_models(module=torchvision.models)),
        "timm": sorted(timm.list_models()),
    }


def text() -> str:
    """Return the content of workflow/schemas/architectures.json."""
    return json.dumps(catalogue(), indent=1) + "\n"


if __name__ == "__main__":
    print(text(), end="")
