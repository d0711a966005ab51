"""One sentence for each mistake that pydantic finds in a configuration."""

import re
from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

TYPES = ("CNN", "VLM", "HubWeights", "WeightsFile")
"""Names of types that pydantic adds to a place, and that no key has."""

PATTERNS = {
    r"^[a-z0-9][a-z0-9._-]*$": "lower case letters, digits, dot, dash and underscore, beginning with a letter or digit",
    r"^[0-9a-f]{64}$": "64 hex digits in lower case",
    r"^[0-9a-f]{40}$": "a commit of 40 hex digits in lower case",
    r"^(torchvision|timm)/[A-Za-z0-9_.]+$": "torchvision/NAME or timm/NAME",
    r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$": "a repository, OWNER/NAME",
    r"^(auto|cpu|mps|cuda(:\d+)?)$": "auto, cpu, mps, cuda or cuda:N",
    r"^https?://[^\s/]+/\S+$": "an address http://HOST/FILE or https://HOST/FILE",
    r"^[^\r\n]*\S[^\r\n]*$": "a single line of text",
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
"""What the first word of one of pydantic's error types says that it expects."""


def at(key: str, reason: str) -> PydanticCustomError:
    """Return the exception that a validator raises about `key`, a dotted place below the one that it checks."""
    return PydanticCustomError("at", "{reason}", {"key": key, "reason": reason})


def sentences(error: ValidationError, place: str = "") -> Iterator[str]:
    """Yield a sentence for each mistake: `KEY: what is wrong`, the key being dotted and below `place`."""
    items = error.errors(include_url=False)
    keys = [_key(place, item["loc"]) for item in items]
    for number, (key, item) in enumerate(zip(keys, items, strict=True)):
        # Where one of several types is allowed, each complains: the first speaks, or the one that got furthest.
        if key in keys[:number] or any(other.startswith(f"{key}.") for other in keys):
            continue
        # What else a model must have follows from its family.
        if f"{key.rpartition('.')[0]}.family" in keys and not key.endswith(".family"):
            continue
        context = item.get("ctx", {})
        if item["type"] == "at":
            key = ".".join(filter(None, (key, context["key"])))
        yield ": ".join(filter(None, (key, _reason(item["type"], item["msg"], context, item["input"], item["loc"]))))


def meant(name: str, known: Collection[str]) -> str:
    """Return the end of a sentence about an unknown name: the one that was probably meant, or some that there are."""
    close = get_close_matches(name, list(known), n=1) or [key for key in known if key.lower() == name.lower()]
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(sorted(known))}" if len(known) <= 30 else "; correct its spelling"


def shown(value: Any) -> str:
    """Return a value as a short text, in the words of YAML."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case dict():
            names = ", ".join(map(str, list(value)[:4])) + (", …" if len(value) > 4 else "")
            return f"keys and values ({names})" if value else "{}"
        case list() | tuple():
            text = f"[{', '.join(map(shown, value[:8]))}{', …' if len(value) > 8 else ''}]"
        case int() if abs(value) >= 10**30:
            return "a number of more than 30 digits"  # those of more than 4300 cannot be printed at all
        case _:
            text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def options(names: Sequence[Any]) -> str:
    """Return names as a list in prose: 'a', 'b' or 'c'."""
    *first, last = map(repr, names)
    return f"{', '.join(first)} or {last}" if first else last


def _key(place: str, location: tuple[int | str, ...]) -> str:
    """Return the dotted key of a place, without the names that pydantic adds for types it tried."""
    parts = (str(part) for part in (*place.split("."), *location))
    added = ("function-", "literal[", "[key]", "constrained-")
    return ".".join(part for part in parts if part and not part.startswith(added) and part not in TYPES)


def _reason(kind: str, message: str, context: dict[str, Any], value: Any, location: tuple[int | str, ...]) -> str:
    first = kind.partition("_")[0]
    match kind:
        case "extra_forbidden":
            return "unknown key; remove it or correct its spelling (config/README.md lists every key)"
        case "missing" if isinstance(location[-1], int):
            return f"the list is too short, {location[-1] + 1} items or more are expected"
        case "missing":
            return "this key is required (config/README.md explains it)"
        case "value_error" | "at":
            return message.removeprefix("Value error, ")
        case "string_pattern_mismatch":
            expected = PATTERNS.get(context["pattern"], f"text like {context['pattern']}")
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            words = {"gt": "a number above", "ge": "at least", "lt": "a number below", "le": "at most"}
            ((bound, limit),) = ((name, limit) for name, limit in context.items() if name in words)
            expected = f"{words[bound]} {limit}"
        case "too_short" | "too_long" | "string_too_short" | "string_too_long":
            least = kind.endswith("short")
            count = context["min_length" if least else "max_length"]
            unit = "character" if first == "string" else "item"
            expected = f"{'at least' if least else 'at most'} {count} {unit}{'s' if count != 1 else ''}"
        case "literal_error" | "enum":
            expected = re.sub(r"'(\d+)'", r"\1", context["expected"])
        case _ if first in EXPECTED:
            expected = EXPECTED[first]
        case _:
            return f"{message[0].lower()}{message[1:]}, found {shown(value)}"
    return f"expected {expected}, found {shown(value)}"
