"""Claims about architectures, numbers of parameters and the training recipe."""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from histobench.claims.evidence import Estimate, Results
from histobench.claims.published import KEYS, Paper
from histobench.claims.table_cells import Bound, Unavailable, arm_name, bounds, decimals, rounding, table_title
from histobench.claims.verdicts import CONTRADICTED, HOLDS, IMPOSSIBLE, SUPPORTED, Verdict, holds


def configured(paper: Paper, models: Sequence[str], key: str, value: int) -> Verdict:
    """Return whether each model's published configuration has this value, for example at `vision_config.patch_size`."""
    found = {model: _configured(paper, model, *key.split(".")) for model in models}
    text = ", ".join(f"{number} in {model}" for model, number in found.items())
    return holds(set(found.values()) == {value}, f"the true {key} is {text}.")


def trainable(paper: Paper, arms: Sequence[str], rank: int, at_least: Bound = None, at_most: Bound = None) -> Verdict:
    """Return whether LoRA of this rank on the decoder's attention trains so many parameters.

    A matrix from m to n features gets rank x (m + n) parameters (Hu et al. 2022); q, k, v and o of every layer are
    adapted, and the head adds one weight per feature and a bias.
    `arms` are `MODEL/MODE`, the bounds are in millions.
    """
    low, high = bounds(at_least, at_most)
    numbers = {arm: _lora_parameters(paper, arm.partition("/")[0], rank) for arm in arms}
    inside = all(low <= Fraction(number, 1_000_000) <= high for number in numbers.values())
    return holds(inside, f"rank {rank} gives {_listed(numbers)}.")


def trainable_in_study(
    study: Results, arms: Sequence[str], rank: int, at_least: Bound = None, at_most: Bound = None
) -> Verdict:
    """Return whether the exact numbers of trained parameters are within the bounds."""
    low, high = map(float, bounds(at_least, at_most))
    numbers = {arm: study.trainable(*arm.split("/")) for arm in arms}
    millions = [number / 1e6 for number in numbers.values()]
    outside = [value for value in millions if not low <= value <= high]
    shown = (outside or millions)[0]
    text = f"counted exactly: {_listed(numbers)} (effect in millions)."
    return Verdict(CONTRADICTED if outside else SUPPORTED, text, Estimate(shown, lambda cases: (shown, shown)))


def model_sizes(paper: Paper, table: str, smallest: str, lowest: str, highest: str) -> Verdict:
    """Return whether a table's models have `lowest` to `highest` million parameters, and `smallest` has fewest.

    They are in the column `parameters_millions`.
    """
    sizes = {row["model"]: Fraction(row["parameters_millions"]) for row in paper.table(table)}
    least = min(sizes, key=sizes.__getitem__)
    right = (least, sizes[least], max(sizes.values())) == (smallest, Fraction(lowest), Fraction(highest))
    text = ", ".join(f"{model} {decimals(size, 1)}" for model, size in sizes.items())
    return holds(right, f"{table_title(table)}: {text} million.")


def product(paper: Paper, factors: Sequence[int], result: str, unit: int = 1) -> Verdict:
    """Return whether numbers multiply to a result in units of `unit`, to its last digit."""
    value = math.prod(factors)
    right = abs(Fraction(value, unit) - Fraction(result)) < rounding(result)
    return holds(right, f"{' x '.join(map(str, factors))} = {value:,}.")


def crop_scale(paper: Paper, scale: Sequence[str]) -> Verdict:
    """Return whether a crop can have these shares of an image's area: it is a part of the image, so at most all of it."""
    largest = max(map(Fraction, scale))
    if largest > 1:
        return Verdict(IMPOSSIBLE, f"a crop of {decimals(largest, 1)} times the area is larger than the image.")
    return Verdict(HOLDS, "no crop is larger than the image.")


def always_augmented(paper: Paper, plain: str, augmented: str) -> Verdict:
    """Return whether there are no results of training without augmentation: the table `plain` beside `augmented`."""
    without, with_ = (
        {tuple(row.get(key) for key in KEYS): row for row in paper.table(name)} for name in (plain, augmented)
    )
    both = without.keys() & with_.keys()
    differ = sum(without[key] != with_[key] for key in both)
    return holds(
        not differ,
        f"{differ} of {len(both)} rows have one result without augmentation ({table_title(plain)}) and another with it "
        f"({table_title(augmented)}).",
    )


def not_checkable(source: Paper | Results, reason: str) -> Verdict:
    """Say that neither the tables nor a study can tell, and why."""
    raise Unavailable(reason)


def _listed(numbers: Mapping[str, int]) -> str:
    return " and ".join(f"{number:,} in {arm_name(arm)}" for arm, number in numbers.items())


def _configured(paper: Paper, model: str, *keys: str) -> Any:
    part: Any = paper.architectures.get(model, {})
    for key in keys:
        part = part.get(key, {})
    if part == {}:
        raise Unavailable(f"the configuration of {model} is not at hand or has no {'.'.join(keys)}")
    return part


def _lora_parameters(paper: Paper, model: str, rank: int) -> int:
    text = _configured(paper, model, "text_config")
    hidden, heads, key_heads = (text[key] for key in ("hidden_size", "num_attention_heads", "num_key_value_heads"))
    head = text.get("head_dim", hidden // heads)
    q = o = hidden + heads * head
    k = v = hidden + key_heads * head
    return rank * (q + k + v + o) * text["num_hidden_layers"] + hidden + 1
