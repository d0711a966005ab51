"""Names, letters and numbers of the classes benign and malignant, and of subtypes, as other people write them."""

import re
from functools import cache

from histobench.audit.table_text import plain
from histobench.datasets.bach import CLASSES as BACH_CLASSES
from histobench.datasets.breakhis import SUBTYPES

_AFFIXES = r"(?:votes?|voti|p|prob|proba|probability|score|class|pred|n|share|logit)"
_POSITIVE = {"1", "m", "malignant", "malign", "positive", "pos", "cancer", "true"}
_NEGATIVE = {"0", "b", "benign", "negative", "neg", "false"}


def class_of(text: str, positive: str = "") -> int | None:
    """Return 0 or 1 for the name, letter, number or subtype of a benign or malignant class; None where it is none."""
    name = plain(text)
    if positive:
        return int(name == plain(positive)) if name else None
    name = re.sub(r"_?(tumou?r|carcinoma)$", "", name) or name
    return _classes().get(re.sub(r"^([01])_0+$", r"\1", name))  # 1.0 is 1


@cache
def _classes() -> dict[str, int]:
    known = dict.fromkeys(_NEGATIVE, 0) | dict.fromkeys(_POSITIVE, 1) | {"in_situ": 1}
    for code, (label, name) in SUBTYPES.items():
        short = re.sub(r"_(tumor|carcinoma)$", "", name)
        known[code.lower()] = known[short] = int(label == "malignant")
    for name, (label, code) in BACH_CLASSES.items():
        known[plain(name)] = known[code] = int(label == "malignant")
    return known | {"n": 0, "is": 1, "iv": 1}


def vote_class(column: str, positive: str) -> int | None:
    """Return the class that a column of votes or probabilities is of."""
    base = re.sub(rf"(^|_){_AFFIXES}(?=_)|_{_AFFIXES}$", "", column).strip("_")
    if base in ("true", "false", "n", "p", ""):
        return None
    return class_of(base, positive) if not positive or class_of(base) is not None or base == plain(positive) else None
