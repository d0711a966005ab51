"""Checks of a configuration that would otherwise fail in a job, made from plain data: no library is imported for them.

What libraries know stands in workflow/schemas/, which tests hold to the installed ones.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from histobench.io.errors import HistoBenchError
from histobench.study.messages import at, shown
from histobench.study.spec import EXPONENT

SCHEMAS = Path(__file__).parents[2] / "schemas"


@cache
def catalogue(name: str) -> dict[str, Any]:
    """Return what a library knows, without importing it: `architectures`, `sizes`, `transforms` or `vlm`."""
    return json.loads((SCHEMAS / f"{name}.json").read_text())


def distinct(values: list[Any]) -> list[Any]:
    """Return a list as it is, if no value occurs twice in it."""
    for number, value in enumerate(values):
        if value in values[:number]:
            raise ValueError(f"{shown(value)} is named twice; name it once")
    return values


def no_truth_value(value: Any) -> Any:
    """Refuse true and false, which Python takes for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError(f"expected a number, found {shown(value)}")
    return value


def finds_one_group(pattern: str) -> None:
    """Require a regular expression with one group that cannot run for ever."""
    try:
        compiled = re.compile(pattern)
        parsed = re._parser.parse(pattern)  # type: ignore[attr-defined]
    except (re.error, OverflowError, RecursionError) as error:
        raise at("patient", f"is no regular expression, {error}: {shown(pattern)}") from None
    if compiled.groups != 1:
        raise at("patient", f"must have one group in parentheses, found {compiled.groups} in {shown(pattern)}")
    if _runs_away(parsed):
        raise at("patient", f"repeats what repeats itself, which can take for ever; simplify {shown(pattern)}")
    if (found := compiled.fullmatch("")) and found[1] == "":
        raise at("patient", f"matches the empty text, so that it finds no patient: {shown(pattern)}")


def _runs_away(parsed: Any) -> bool:
    """Tell whether an unbounded repeat holds, beside what may be empty, nothing but another one: `(a+)+`, `(a*b?)*`."""
    for operation, argument in parsed:
        for part in _parts(argument):
            if _runs_away(part):
                return True
            if str(operation) in ("MAX_REPEAT", "MIN_REPEAT") and argument[1] > 1000:
                while len(part) == 1 and str(part[0][0]) == "SUBPATTERN":
                    part = part[0][1][-1]
                needed = [item for item in part if _least(item)]
                repeats = [item for item in part if str(item[0]) in ("MAX_REPEAT", "MIN_REPEAT") and item[1][1] > 1000]
                if any(all(item is inner for item in needed) for inner in repeats):
                    return True
    return False


def _parts(argument: Any) -> Iterator[Any]:
    """Yield the expressions inside an operation's argument."""
    if isinstance(argument, re._parser.SubPattern):  # type: ignore[attr-defined]
        yield argument
    elif isinstance(argument, tuple | list):
        for item in argument:
            yield from _parts(item)


def _least(item: Any) -> int:
    """Return the length of the shortest text that one operation matches."""
    single = re._parser.SubPattern(re._parser.State(), [item])  # type: ignore[attr-defined]
    return single.getwidth()[0]


def known_size(architecture: str, image_size: int) -> None:
    """Require that a network takes images of a size, as far as workflow/schemas/sizes.json tells."""
    least, most = catalogue("sizes").get(architecture, (image_size, image_size))
    if not least <= image_size <= most:
        wanted = f"images of {least} px alone" if least == most else f"no images below {least} px"
        raise at("image_size", f"{architecture} takes {wanted}, found {image_size}; change it or the architecture")


def weights_file(file: str, package: str | None) -> None:
    """Require that a weights file is named by a path or http(s) address, and one of a package by a path inside it."""
    if package is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", package):
        raise at("weights.package", f"expected the importable name of a package, found {shown(package)}")
    if package is not None and ("://" in file or Path(file).is_absolute() or ".." in Path(file).parts):
        raise at("weights.file", f"expected a path inside the package {package!r}, found {shown(file)}")
    if "://" in file and not file.startswith(("http://", "https://")):
        raise at("weights.file", f"expected a path, or an address by http or https, found {shown(file)}")


def number_of(value: Any) -> float | None:
    """Return a value as a finite number; None where it is none, true and false included."""
    if isinstance(value, str) and re.fullmatch(EXPONENT, value):
        value = float(value)
    good = isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300
    return float(value) if good else None


def distinct_keys(path: Path) -> None:
    """Require that no key stands twice in one place of a YAML file: whoever reads it takes the last, silently.

    Raises:
        HistoBenchError: one does.
    """
    import yaml

    try:
        with Path(path).open(encoding="utf-8") as file:
            top = yaml.compose(file, yaml.SafeLoader)
    except yaml.YAMLError:  # a JSON file with tabs: Snakemake has read it
        return
    seen: set[int] = set()
    waiting = [("", top)]
    while waiting:
        place, node = waiting.pop()
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):  # an alias is the node that it stands for
            continue
        seen.add(id(node))
        lines: dict[str, int] = {}
        for number, item in enumerate(node.value):
            key, value = item if isinstance(node, yaml.MappingNode) else (None, item)
            name = str(number if key is None else key.value)
            where = f"{place}.{name}".strip(".")
            if key is not None and name in lines and name != "<<":
                raise HistoBenchError(
                    f"{path}: {where} is there twice, in lines {lines[name]} and {key.start_mark.line + 1}; remove one of them"
                )
            lines[name] = 0 if key is None else key.start_mark.line + 1
            waiting.append((where, value))
