"""The JSON schema of the configuration: `python -m histobench.study.schema > workflow/schemas/config.schema.json`."""

import ast
import inspect
import json
from itertools import pairwise
from pathlib import Path

from histobench.study.config import Config

MODULES = ("spec", "synthetic_settings", "dataset_settings", "model_settings", "grid_settings", "config")
"""Modules that define settings, each after those of its base classes."""


def schema() -> str:
    """Return the JSON schema of the configuration, as the committed file holds it."""
    made, described = Config.model_json_schema(), _docstrings()
    for name, model in [("Config", made), *made["$defs"].items()]:
        for key, value in model.get("properties", {}).items():
            if key in described.get(name, {}):
                value["description"] = described[name][key]
    return json.dumps(made, indent=2, sort_keys=True) + "\n"


def _docstrings() -> dict[str, dict[str, str]]:
    """Return the docstring of each key of each class of settings, including those of its base classes."""
    found: dict[str, dict[str, str]] = {}
    for module in MODULES:
        tree = ast.parse(Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8"))
        for item in (item for item in tree.body if isinstance(item, ast.ClassDef)):
            own = found.setdefault(item.name, {})
            for base in item.bases:
                own |= found.get(ast.unparse(base), {})
            for key, text in pairwise(item.body):
                if isinstance(key, ast.AnnAssign) and isinstance(text, ast.Expr):
                    own[ast.unparse(key.target)] = inspect.cleandoc(ast.literal_eval(text.value))
    return found


if __name__ == "__main__":
    print(schema(), end="")
