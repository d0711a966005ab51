"""Whether a vision-language model can be built by its config, by workflow/schemas/vlm.json: without importing transformers."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from histobench.study.checks import catalogue, number_of
from histobench.study.messages import at, meant, options, shown

LARGEST = 10_000_000
"""Largest whole number in the config of a vision-language model; the vocabularies in use have 50,000 to 260,000."""


def depth(family: str, config: Mapping[str, Any]) -> int:
    """Return the number of decoder layers that a checked config gives."""
    return _Config(family, config)["text_config.num_hidden_layers"]


UNCHECKED = ("rope_scaling", "rope_parameters", "layer_types", "sliding_window")
"""Keys whose values have parts of their own, or need others to be judged."""


def check(family: str, config: Mapping[str, Any], image_size: int) -> None:
    """Require that a vision-language model can be built by its config, and that it takes images of a size.

    Rules of a family: `types` that `model_type` may have; image `markers`, whose ids must be in the vocabulary; `token`,
    the keys whose product is the side in pixels of a visual token; `divisible`, triples (key, divisor's key or null,
    factor); `equal`, pairs of a key and a key or number; `fits`, pairs of keys of which the second is not smaller;
    `least` values of keys; `sections`, whether rotary positions are divided into three.

    Raises:
        PydanticCustomError: it cannot be; the key is below that of the model.
    """
    known, rules = catalogue("vlm")["families"][family]["keys"], catalogue("vlm")["families"][family]["rules"]
    for place in ("", *filter(None, known)):
        part = config if not place else config.get(place)
        where = ".".join(filter(None, ("config", place)))
        if part is None and place not in config:
            raise at(where, "this key is required (config/README.md explains it)")
        if not isinstance(part, dict):
            raise at(where, f"expected keys and values, found {shown(part)}")
        for key, value in part.items():
            if key not in known[place]:
                raise at(f"{where}.{key}", f"{family} has no such key{meant(str(key), known[place])}")
            if not (not place and key in known):
                _plausible(f"{where}.{key}", key, value, known[place][key])
    given = _Config(family, config)
    if config.get("model_type", rules["types"][0]) not in rules["types"]:
        raise at("config.model_type", f"expected {options(rules['types'])}, found {shown(config['model_type'])}")
    _markers(given, rules["markers"])
    for key, least in rules.get("least", {}).items():
        if given[key] < least:
            raise at(f"config.{key}", f"expected at least {least}, found {given[key]}")
    for key, by, factor in rules["divisible"]:
        if (whole := given[key]) is None or (divisor := (given[by] if by else 1)) is None:
            continue
        if whole % (divisor * factor):
            parts = " x ".join(filter(None, (by and f"{by} {divisor}", str(factor) if factor > 1 or not by else "")))
            raise at(f"config.{key}", f"{whole} is not divisible by {parts}; correct {'one of them' if by else 'it'}")
    for key, other in rules["equal"]:
        wanted = given[other] if isinstance(other, str) else other
        if given[key] != wanted:
            raise at(
                f"config.{key}", f"expected {wanted}{f' as {other}' if other != wanted else ''}, found {given[key]}"
            )
    for key, other in rules.get("fits", []):
        if given[key] > given[other]:
            raise at(
                f"config.{other}", f"{given[other]} is less than {key}, which is {given[key]}; correct one of them"
            )
    if rules.get("sections"):
        _sections(given)
    side = math.prod(given[key] for key in rules["token"])
    if image_size % side:
        covers = " x ".join(f"{key.rpartition('.')[2]} {given[key]}" for key in rules["token"])
        raise at("image_size", f"{image_size} is no multiple of {side} px, which a visual token covers ({covers})")


class _Config:
    """The values of a config by dotted keys, with transformers' defaults where they are not given."""

    def __init__(self, family: str, config: Mapping[str, Any]):
        self.defaults, self.config = catalogue("vlm")["families"][family]["keys"], config

    def __getitem__(self, key: str) -> Any:
        place, _, name = key.rpartition(".")
        part = self.config.get(place, {}) if place else self.config
        return part.get(name, self.defaults[place].get(name))


def _plausible(where: str, key: str, value: Any, default: Any) -> None:
    """Require of a value the type of its default and a possible size; where there is none, what its name says."""
    identity = key.endswith("_token_id")
    count = re.search(r"^num_|_(size|dim|id|heads|layers|factor)$", key) or type(default) is int
    if (value is None and (identity or default is None)) or key in UNCHECKED:
        return
    if count:
        least = 0 if identity else 1
        good, expected = type(value) is int, "a whole number"
        if type(value) is int and not least <= value <= LARGEST:
            good, expected = False, f"{least} to {LARGEST}"
    elif key == "rope_theta":
        good, expected = (number_of(value) or 0) > 0, "a number above 0"
    elif type(default) is float:
        number = number_of(value)
        good, expected = number is not None and number >= 0, "a number, 0 or above"
    elif type(default) is bool:
        good, expected = isinstance(value, bool), "true or false"
    elif key == "hidden_act":
        good, expected = value in catalogue("vlm")["activations"], "a function that transformers knows, such as silu"
    else:
        good, expected = not isinstance(default, str) or isinstance(value, str), "a string"
    if not good:
        raise at(where, f"expected {expected}, found {shown(value)}")


def _markers(given: _Config, keys: Sequence[str]) -> None:
    """Require that the image markers, and the padding, are tokens of the vocabulary, and different ones."""
    size = given["text_config.vocab_size"]
    for key in (*keys, "text_config.pad_token_id"):
        if (token := given[key]) is not None and token >= size:
            raise at(f"config.{key}", f"token {token} is not in the vocabulary (text_config.vocab_size {size})")
        if token is None and key in keys:
            raise at(f"config.{key}", "expected a whole number, found null")
    if len({given[key] for key in keys}) < len(keys):
        raise at(f"config.{keys[1]}", f"{options(keys, 'and')} must be different tokens")


def _sections(given: _Config) -> None:
    """Require the three sections of rotary positions (frame, row, column), which fill half a head."""
    half = given["text_config.hidden_size"] // given["text_config.num_attention_heads"] // 2
    key = "rope_parameters" if given["text_config.rope_parameters"] else "rope_scaling"
    where, rope = f"config.text_config.{key}", given[f"text_config.{key}"]
    if not isinstance(rope, dict):
        raise at(where, f"expected keys and values with mrope_section, found {shown(rope)}")
    sections = rope.get("mrope_section")
    if not isinstance(sections, list) or [type(item) is int and item > 0 for item in sections] != [True] * 3:
        raise at(f"{where}.mrope_section", f"expected three whole numbers, found {shown(sections)}")
    if (total := sum(sections)) != half:
        raise at(f"{where}.mrope_section", f"{shown(sections)} add up to {total}, expected {half}, half a head")
