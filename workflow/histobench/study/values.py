"""Kinds of values that settings have, and the base of every settings block."""

import json
import re
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticKnownError

Magnification = Literal[0, 40, 100, 200, 400]
"""Optical magnification (x) as BreakHis has it, or 0 for images of which none is known."""
MAGNIFICATIONS: tuple[int, ...] = get_args(Magnification)

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=80)]
"""A name that is also a folder: lower case letters, digits, dot, dash and underscore."""


PathText = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^{}<>]+$")]
"""A path without braces: Snakemake replaces `{wildcards}` and `<pathvars>` in an input, and they cannot be escaped."""


def canonical_json(value: object) -> str:
    """Return `value` as JSON with sorted keys and no spaces, so that equal values give equal strings."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def distinct(values: list[Any]) -> list[Any]:
    """Return a list as it is, if no value occurs twice in it."""
    for number, value in enumerate(values):
        if value in values[:number]:
            raise ValueError(f"{value!r} is named twice; name it once")
    return values


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse what JSON cannot hold, for example dates."""
    try:
        canonical_json(value)
    except (TypeError, ValueError, RecursionError):
        raise ValueError(
            "holds a value that is no finite number, text, true, false, null, list or keys and values; correct it"
        ) from None
    return value


Plain = Annotated[dict[str, Any], AfterValidator(_plain)]
"""Keys and values that are passed on to a library, as JSON can hold them."""

Transform = dict[str, Plain]
"""One Albumentations transform: its class name, and its keyword arguments."""

EXPONENT = r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+"
"""Numbers that YAML 1.1 reads as text, for want of a dot or sign: 1e-4, 1.0e4."""

Number = Annotated[float, Field(strict=True)]
"""A number in a list, which text or a truth value is not."""


def _digits(count: int) -> BeforeValidator:
    """Return what turns a number of `count` digits into text: so YAML reads a hash that has no letter."""
    least = 10 ** (count - 1)
    return BeforeValidator(lambda value: str(value) if type(value) is int and least <= value < 10 * least else value)


Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$"), _digits(64)]
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$"), _digits(40)]


class Settings(BaseModel):
    """Base of every settings block: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _of_its_type(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse what pydantic would turn into numbers or truth values: yes for 1, "20" for 20, "on" for true.

        Keys are text: where YAML reads a whole number, such as a class 0, its digits are.
        """
        if isinstance(value, dict):
            # Python prints no number of more than 4300 digits
            return {str(k) if type(k) is int and abs(k) < 10**30 else k: item for k, item in value.items()}
        annotation = cls.model_fields[str(info.field_name)].annotation
        kinds = {*get_args(annotation), annotation}
        if value is None and type(None) in kinds:
            return value
        if bool in kinds and not isinstance(value, bool):
            raise PydanticKnownError("bool_type")
        exponent = float in kinds and isinstance(value, str) and re.fullmatch(EXPONENT, value)
        if kinds & {int, float} and bool not in kinds and isinstance(value, bool | str) and not exponent:
            raise PydanticKnownError("int_type" if int in kinds else "float_type")
        return value
