"""Names and numbers in the cells of other people's tables."""

import re


def plain(name: str) -> str:
    """Return a name in lower case, with an underscore for everything but letters and digits: `img_name` for `Img. name`."""
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")


def number(text: str) -> float | None:
    """Return the number that a cell holds, perhaps with a decimal comma or a percent sign; None where it holds none."""
    text = text.strip()
    share = text.endswith("%")
    text = text.removesuffix("%").strip()
    if not re.fullmatch(
        r"[+-]?(\d+[.,]?\d*|[.,]\d+)(e[+-]?\d{1,4})?|[+-]?(nan|inf|infinity)", text, re.IGNORECASE | re.ASCII
    ):
        return None
    return float(text.replace(",", ".")) / (100 if share else 1)
