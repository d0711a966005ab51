"""Checks of single values of a configuration, and of what a YAML file says otherwise than it looks."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from histobench.io.errors import HistoBenchError
from histobench.study.messages import at, shown

YAML = "tag:yaml.org,2002:"
READ_AS = {"bool": "true or false", "float": "a number", "int": "a number", "null": "nothing", "timestamp": "a date"}
"""What YAML reads words as that are not in quotes, by the end of its tag; every other word is text."""


def not_boolean(value: Any) -> Any:
    """Refuse true and false, which Python takes for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError(f"expected a number, found {shown(value)}")
    return value


def digits(value: Any) -> Any:
    """Return a key of digits as a number; :class:`histobench.study.values.Settings` makes all keys text."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


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


def unambiguous(path: Path) -> None:
    """Require that a YAML file gives no key of a mapping twice, and nothing that YAML 1.1 reads as something else.

    A YAML reader takes the last of equal keys. It reads 010 as 8, 12:30:00 as 45000 and `no` as false.

    Raises:
        HistoBenchError: there is such a key or value.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
            node = super().compose_scalar_node(anchor)
            number = node.tag in (f"{YAML}int", f"{YAML}float")
            if number and re.match(r"[-+]?0_*[0-7]+$|.*:", node.value):
                refuse(node, shown(self.construct_object(node)))
            if node.tag == f"{YAML}timestamp":  # no key has a date for its value
                refuse(node, "a date")
            return node

        def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
            node = super().compose_mapping_node(anchor)
            lines: dict[str, int] = {}
            for key, _ in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                if name in lines and name != "<<":
                    where = f"{name} is there twice, in lines {lines[name]} and {line}"
                    raise HistoBenchError(f"{path}: {where}; remove one of them")
                lines[name] = line
                meaning = READ_AS.get(key.tag.removeprefix(YAML))
                # A number is its digits; `external` has a key `on`.
                if meaning and not name.isdecimal() and name != "on":
                    refuse(key, meaning)
            return node

    def refuse(node: yaml.ScalarNode, meaning: str) -> None:
        where = f"{path}, line {node.start_mark.line + 1}"
        raise HistoBenchError(f"{where}: YAML reads {node.value} as {meaning}; if it is text, put it in quotes")

    # Snakemake reads what is no YAML, such as JSON with tabs, in another way.
    with suppress(yaml.YAMLError), Path(path).open(encoding="utf-8") as file:
        yaml.compose(file, Loader)
