"""Checks of single values of a configuration, and of keys that a YAML file gives twice."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from histobench.io.errors import HistoBenchError
from histobench.study.messages import at, shown


def not_boolean(value: Any) -> Any:
    """Refuse true and false, which Python takes for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError(f"expected a number, found {shown(value)}")
    return value


def one_group(pattern: str) -> None:
    """Require a regular expression with exactly one group, which does not match the empty text."""
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise at("patient", f"is no regular expression, {error}: {shown(pattern)}") from None
    if compiled.groups != 1:
        raise at("patient", f"must have one group in parentheses, found {compiled.groups} in {shown(pattern)}")
    if (found := compiled.fullmatch("")) and found[1] == "":
        raise at("patient", f"matches the empty text, so it cannot find a patient: {shown(pattern)}")


def weights_file(file: str, package: str | None) -> None:
    """Require that a weights file is a path or http(s) address and, in a package, a path inside it."""
    if package is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", package):
        raise at("weights.package", f"expected the importable name of a package, found {shown(package)}")
    if package is not None and ("://" in file or Path(file).is_absolute() or ".." in Path(file).parts):
        raise at("weights.file", f"expected a path inside the package {package!r}, found {shown(file)}")
    if "://" in file and not file.startswith(("http://", "https://")):
        raise at("weights.file", f"expected a path, or an address by http or https, found {shown(file)}")


def distinct_keys(path: Path) -> None:
    """Require that a YAML file gives no key of a mapping twice: a YAML reader would silently take the last one.

    Raises:
        HistoBenchError: a key occurs twice.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
            node = super().compose_mapping_node(anchor)
            lines: dict[str, int] = {}
            for key, _ in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                if name in lines and name != "<<":
                    where = f"{name} is there twice, in lines {lines[name]} and {line}"
                    raise HistoBenchError(f"{path}: {where}; remove one of them")
                lines[name] = line
            return node

    # Snakemake reads what is no YAML, such as JSON with tabs, in another way.
    with suppress(yaml.YAMLError), Path(path).open(encoding="utf-8") as file:
        yaml.compose(file, Loader)
