"""One sentence for each mistake that pydantic finds in a configuration."""

import re
from collections.abc import Collection, Iterator
from datetime import date
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from histobench.study.values import Settings

TYPES = ("CNN", "Encoder", "VLM", "HubWeights", "FolderWeights", "WeightsFile", "word", "number", "mapping")
"""Names of types that pydantic adds to a key; no key is named so."""

PATTERNS = {
    r"^[a-z0-9][a-z0-9._-]*$": "lower case letters, digits, dot, dash and underscore, beginning with a letter or digit",
    r"^[0-9a-f]{64}$": "64 hex digits in lower case",
    r"^[0-9a-f]{40}$": "a commit of 40 hex digits in lower case",
    r"^(torchvision|timm)/[A-Za-z0-9_.]+$": "torchvision/NAME or timm/NAME",
    r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$": "a repository, OWNER/NAME",
    r"^(auto|cpu|mps|cuda(:\d+)?)$": "auto, cpu, mps, cuda or cuda:N",
    r"^https?://[^\s/]+/\S+$": "an address http://HOST/FILE or https://HOST/FILE",
    r"^[^{}<>]+$": "a path without {} and <>, which Snakemake would replace",
    r"^[^\r\n]*\S[^\r\n]*$": "a single line of text",
    r'^[^\s,"]+( [^\s,"]+)*$': "the name of a class, without comma and quotation mark",
}
"""What the patterns of the settings mean to a reader."""

EXPECTED = {
    "string": "a string",
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "dict": "keys and values",
    "model": "keys and values",
    "list": "a list",
    "tuple": "a list",
}
"""What is expected, by the first word of pydantic's error type."""


def at(key: str, reason: str) -> PydanticCustomError:
    """Return the exception that a validator raises about `key`, a dotted key below the one that it checks."""
    return PydanticCustomError("at", "{reason}", {"key": key, "reason": reason})


def messages(error: ValidationError, place: str = "") -> Iterator[str]:
    """Yield one sentence for each mistake, `KEY: what is wrong`; the key is dotted and below `place`."""
    items: dict[str, list[ErrorDetails]] = {}
    for item in error.errors(include_url=False):
        items.setdefault(_key(place, item), []).append(item)
    for key, found in items.items():
        # Where one of several types is allowed, each reports a mistake: the deepest one counts, or all together.
        if any(other.startswith(f"{key}.") for other in items):
            continue
        # Which other keys a model needs depends on its family.
        if f"{key.rpartition('.')[0]}.family" in items and not key.endswith(".family"):
            continue
        expected = list(dict.fromkeys(filter(None, map(_expected, found))))
        value = found[0]["input"]
        wrong = f"expected {', or '.join(expected)}, found {shown(value)}"
        if "string_type" in (item["type"] for item in found) and isinstance(value, bool | int | float | date):
            wrong += "; put it in quotes"
        wrong = wrong if expected else _fault(found[0], error.title)
        yield f"{key}: {wrong}" if key else wrong


def meant(name: str, known: Collection[str]) -> str:
    """Return the end of a sentence about an unknown name: the known name that is like it, or all if they are few."""
    close = get_close_matches(name, list(known), n=1) or [key for key in known if key.lower() == name.lower()]
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(sorted(known))}" if 0 < len(known) <= 15 else "; correct its spelling"


def shown(value: Any, inside: bool = False) -> str:
    """Return a value as a short text, as YAML writes it."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case dict() if value and not inside:
            return f"keys and values ({', '.join(key if isinstance(key, str) else shown(key, True) for key in list(value)[:4])}{', …' if len(value) > 4 else ''})"
        case list() | tuple() if value and not inside:
            text = f"[{', '.join(shown(item, True) for item in value[:8])}{', …' if len(value) > 8 else ''}]"
        case dict() | list() | tuple() if value:  # which may contain itself
            text = "{…}" if isinstance(value, dict) else "[…]"
        case date():
            text = str(value)
        case int() if abs(value) >= 10**30:
            return "a number of more than 30 digits"  # those of more than 4300 cannot be printed at all
        case _:
            text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _key(place: str, item: ErrorDetails) -> str:
    """Return the dotted key that a mistake is about, without the names that pydantic adds for the types that it tried."""
    location = item["loc"]
    if item["type"] == "missing" and isinstance(location[-1], int):  # an item that the list lacks
        location = location[:-1]
    below = item.get("ctx", {})["key"] if item["type"] == "at" else ""
    parts = [*filter(None, (place, *(str(part) or "''" for part in location), below))]
    added = ("function-", "literal[", "[key]", "constrained-")
    kept = [part for part in parts if not part.startswith(added) and part not in TYPES]
    pieces = ".".join(kept).split(".")
    return ".".join(ascii(part[:60])[1:-1] if len(part) > 60 or not part.isprintable() else part for part in pieces)


def _fault(item: ErrorDetails, root: str) -> str:
    """Return what is wrong, other than that another value was expected."""
    match item["type"]:
        case "extra_forbidden":
            close = get_close_matches(str(item["loc"][-1]), _keys(root, item["loc"]), n=1, cutoff=0.7)
            remedy = f"did you mean {close[0]!r}?" if close else "remove it or correct its spelling"
            return f"unknown key; {remedy} (config/README.md lists every key)"
        case "missing":
            return "this key is required (config/README.md explains it)"
        case "value_error" | "at":
            return re.sub(r"\S{101,}", lambda found: f"{found[0][:79]}…", item["msg"].removeprefix("Value error, "))
        case _:
            return f"{item['msg'][0].lower()}{item['msg'][1:]}, found {shown(item['input'])}"


def _expected(item: ErrorDetails) -> str | None:
    """Return what was expected instead of the value that was found; None where that is not the mistake."""
    kind, context = item["type"], item.get("ctx", {})
    first = kind.partition("_")[0]
    match kind:
        case "missing" if isinstance(item["loc"][-1], int):
            return "more items"
        case "string_pattern_mismatch":
            return PATTERNS.get(context["pattern"], f"text like {context['pattern']}")
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            words = {"gt": "a number above", "ge": "at least", "lt": "a number below", "le": "at most"}
            ((word, limit),) = ((words[bound], limit) for bound, limit in context.items() if bound in words)
            return f"{word} {limit if isinstance(limit, int) else f'{limit:g}'}"
        case "string_too_short" if context["min_length"] == 1:
            return "a string that is not empty"
        case "too_short" | "too_long" | "string_too_short" | "string_too_long":
            least = kind.endswith("short")
            count = context["min_length" if least else "max_length"]
            unit = "character" if first == "string" else "item"
            return f"{'at least' if least else 'at most'} {count} {unit}{'s' if count != 1 else ''}"
        case "literal_error":
            return context["expected"]
        case _:
            return EXPECTED.get(first)


def _keys(root: str, location: tuple[int | str, ...]) -> list[str]:
    """Return the known keys of the place where an unknown one was found, in the settings of class `root`."""
    kinds = [kind for kind in _below(Settings) if kind.__name__ == root]
    for part in map(str, location[:-1]):
        if part in TYPES:
            kinds = [kind for kind in kinds if kind.__name__.lower().startswith(part.lower())]
        inside = [kind.model_fields[part].annotation for kind in kinds if part in kind.model_fields]
        kinds = [kind for annotation in inside for kind in _settings(annotation)] or kinds  # else a name, or a number
    return sorted({key for kind in kinds for key in kind.model_fields})


def _below(kind: type[Settings]) -> Iterator[type[Settings]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


def _settings(annotation: Any) -> Iterator[type[Settings]]:
    """Yield the classes of settings that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
    for part in get_args(annotation):
        yield from _settings(part)
