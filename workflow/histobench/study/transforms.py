"""Whether Albumentations takes a transform's arguments, by workflow/schemas/transforms.json: without importing it."""

import math
from collections.abc import Mapping
from typing import Any

from histobench.study.checks import catalogue, number_of
from histobench.study.messages import at, meant, options, shown

OPENCV = {
    **dict.fromkeys(("BORDER_REFLECT_101", "BORDER_REFLECT101", "BORDER_DEFAULT"), 4),
    **{"BORDER_CONSTANT": 0, "BORDER_REPLICATE": 1, "BORDER_REFLECT": 2, "BORDER_WRAP": 3},
    **{"INTER_NEAREST": 0, "INTER_LINEAR": 1, "INTER_CUBIC": 2, "INTER_AREA": 3, "INTER_LANCZOS4": 4},
    **{"INTER_LINEAR_EXACT": 5, "INTER_NEAREST_EXACT": 6},
}
"""OpenCV's constants that arguments of transforms may name."""


def check(place: str, name: str, arguments: Mapping[str, Any]) -> None:
    """Require that Albumentations has a transform, and that it takes these arguments.

    Args:
        place: where the transform stands, for the sentence.
        name: its class.
        arguments: by name.

    Raises:
        PydanticCustomError: it has not, or does not.
    """
    known = catalogue("transforms")
    if name not in known:
        raise at(place, f"Albumentations has no transform {shown(name)}{meant(name, known)}")
    rules = known[name]
    for argument, value in arguments.items():
        if argument not in rules:
            raise at(place, f"{name} takes no argument {shown(argument)}{meant(str(argument), rules)}")
        rule = rules[argument]
        named = isinstance(value, str) and value.startswith(("BORDER_", "INTER_"))
        if named and value not in OPENCV:
            raise at(f"{place}.{name}.{argument}", f"OpenCV has no constant {value!r}{meant(value, OPENCV)}")
        if not fits(OPENCV[value] if named else value, rule):
            raise at(f"{place}.{name}.{argument}", f"expected {described(rule)}, found {shown(value)}")
    for argument, rule in rules.items():
        if rule.get("required") and argument not in arguments:
            raise at(place, f"{name} needs the argument {argument!r}, {described(rule)}")


def fits(value: Any, rule: Mapping[str, Any]) -> bool:
    """Tell whether a value is what a rule of transforms.json, a small part of JSON Schema, asks for."""
    if "anyOf" in rule:
        return any(fits(value, option) for option in rule["anyOf"])
    if "enum" in rule:
        return any(type(option) is type(value) and option == value for option in rule["enum"])
    match rule.get("type"):
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "object":
            return isinstance(value, dict)
        case "array":
            inside = isinstance(value, list | tuple) and all(fits(item, rule.get("items", {})) for item in value)
            return (
                inside
                and rule.get("minItems", 0) <= len(value) <= rule.get("maxItems", math.inf)
                and (not rule.get("ordered") or list(value) == sorted(value))
            )
        case "integer" | "number" as kind:
            number = number_of(value)
            return (
                number is not None
                and (kind == "number" or number == int(number))
                and rule.get("minimum", -math.inf) <= number <= rule.get("maximum", math.inf)
                and rule.get("exclusiveMinimum", -math.inf) < number < rule.get("exclusiveMaximum", math.inf)
            )
        case _:
            return True


def described(rule: Mapping[str, Any], many: bool = False) -> str:
    """Return in words what a rule of transforms.json asks for; of several such things where `many`."""
    if "anyOf" in rule:
        return " or ".join(dict.fromkeys(described(option, many) for option in rule["anyOf"]))
    if "enum" in rule:
        names = options(rule["enum"])
        constant = all(isinstance(option, int) for option in rule["enum"])
        return names + (", or OpenCV's constant by name" if constant else "")
    match rule.get("type"):
        case "null":
            return "null"
        case "boolean":
            return "true or false"
        case "string":
            return "text"
        case "object":
            return "keys and values"
        case "array":
            least, most = rule.get("minItems", 0), rule.get("maxItems")
            count = f"{least} " if least and least == most else ""
            items = described(rule["items"], many=True) if rule.get("items") else "items"
            return f"a list of {count}{items}{' in rising order' if rule.get('ordered') else ''}"
        case "integer" | "number" as kind:
            word = ("whole numbers" if many else "a whole number") if kind == "integer" else "a number"
            word = "numbers" if many and kind == "number" else word
            limits = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
            low, high, above, below = (None if rule.get(key) is None else f"{rule[key]:.12g}" for key in limits)
            if low is not None and high is not None:
                return f"{word} from {low} to {high}"
            limits = {"of at least": low, "of at most": high, "above": above, "below": below}
            return " ".join([word, *(f"{text} {value}" for text, value in limits.items() if value is not None)])
        case _:
            return "another value"
