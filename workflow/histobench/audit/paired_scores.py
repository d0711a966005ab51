"""Methods compared on the same images: differences with intervals, and tests."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from histobench.audit.findings import Cell, Section, Table
from histobench.audit.score_tables import Units, splits_of
from histobench.audit.scored_methods import Method
from histobench.evaluation.comparisons import analyse
from histobench.io.errors import HistoBenchError
from histobench.metrics import METRICS


@dataclass(frozen=True)
class Paired:
    """Methods with the same images in each fold, and what was left out for that."""

    methods: Sequence[Method]
    warnings: Sequence[str]


def paired(methods: Sequence[Method]) -> Paired:
    """Return the methods with only those images that all of them have, in the same folds and order.

    Raises:
        HistoBenchError: they have no folds, or no images of both classes, in common, or their labels differ.
    """
    names = list(methods[0].folds)
    if any(list(method.folds) != names for method in methods):
        raise HistoBenchError(
            f"{' and '.join(method.name for method in methods)}: their folds differ, so that they cannot be compared; give files with "
            "the same folds, or audit each on its own"
        )
    warnings: list[str] = []
    folds: list[dict[str, list]] = [{} for _ in methods]
    for fold in names:
        known = [{one.image.image: one for one in method.folds[fold]} for method in methods]
        common = sorted(set.intersection(*(set(one) for one in known)))
        for image in common:
            if len({one[image].label for one in known}) > 1:
                raise HistoBenchError(
                    f"{' and '.join(method.name for method in methods)}: the label of {image} differs between them; correct it"
                )
        if len({known[0][image].label for image in common}) < 2:
            raise HistoBenchError(
                f"{' and '.join(method.name for method in methods)}: have {len(common)} images in common"
                f"{f' in fold {fold}' * bool(fold)}, expected some of both classes; give predictions of the same images"
            )
        left = sum(len(one) - len(common) for one in known)
        if left:
            warnings.append(
                f"{left} predictions{f' of fold {fold}' * bool(fold)} are of images that not every method has; the comparison leaves "
                f"them out and has {len(common)} images"
            )
        for own, one in zip(folds, known, strict=True):
            own[fold] = [one[image] for image in common]
    return Paired([replace(method, folds=own) for method, own in zip(methods, folds, strict=True)], warnings)


def section(methods: Sequence[Method], units: Units, draws: int, seed: int) -> Section:
    """Return the comparison of every pair of methods.

    Raises:
        HistoBenchError: as :func:`paired`.
    """
    same = paired(methods)
    by_slide = _compared(same.methods, units.slide, False, draws, seed)
    # Accession numbers that divide the images as the slides do need no second table.
    first = same.methods[0]
    strict = bool(units.accession) and len(set(first.accession.tolist())) < len(set(first.slide.tolist()))
    by_accession = _compared(same.methods, units.accession, True, draws, seed) if strict else {}
    names = {method.key: method.name for method in methods}
    columns = ["first", "second", "score", "first value", "second value", "difference", f"{units.slide} low"]
    columns += [f"{units.slide} high"] + [f"{units.accession} low", f"{units.accession} high"] * strict
    columns += [f"{units.slide} sign-flip p"] + [f"{units.accession} sign-flip p"] * strict + ["Holm p"]
    columns += ["Wilcoxon p", "lowest Wilcoxon p", "image p"]
    rows: list[list[Cell]] = []
    sentences, data = [], []
    for (one, two, metric), row in by_slide.items():
        other = by_accession.get((one, two, metric), {})
        values = [
            row["first_value"],
            row["second_value"],
            row["difference"],
            row["difference_low"],
            row["difference_high"],
        ]
        values += [other.get("difference_low"), other.get("difference_high")] * strict
        values += [row["sign_flip_p"]] + [other.get("sign_flip_p")] * strict + [row["holm_p"]]
        several = row["folds"] > 1
        image_p = row["mcnemar_p"] if metric == "accuracy" else row["delong_p"]
        values += [row["wilcoxon_p"] if several else None, row["wilcoxon_floor"] if several else None, image_p]
        rows.append([names[one], names[two], metric, *values])
        data.append(dict(zip(columns, rows[-1], strict=True)))
        if metric == "accuracy":
            sentences.append(_sentence(names[one], names[two], row, other, units, image_p))
    caption = (
        "A row per pair of methods and score, on the same images: mean over folds of each, the difference with its 95 % intervals from "
        f"resampled groups, and p of the test that swaps the two methods' predictions of whole {units.slide}s. Holm's p corrects for all "
        "pairs. Wilcoxon's test on folds cannot be below its lowest p. image p is McNemar's (accuracy) or DeLong's (auc), which take "
        "images for independent and reject far too often."
    )
    formats = dict.fromkeys(columns[3:8], ".4f") | {name: ".3g" for name in columns if name.endswith(" p")}
    formats |= {name: ".4f" for name in columns if name.endswith((" low", " high"))}
    title = "Comparison of " + " and ".join(method.name for method in methods)
    return Section(
        title,
        sentences,
        [Table("predictions-comparisons", caption, columns, rows, formats)],
        (),
        {"pairs": data},
        same.warnings,
    )


def _compared(
    methods: Sequence[Method], unit: str, accession: bool, draws: int, seed: int
) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Return the rows of :func:`analyse` by the keys of both methods and the score."""
    pairs, runs = [], {}
    for method in methods:
        runs |= method.runs(method.accession if accession else None)
    for first, second in combinations(methods, 2):
        pairs += [(f"{first.key}/{a}", f"{second.key}/{b}") for a in first.logits for b in second.logits]
    modes = {method.key: method for method in methods}
    found = {}
    for row in analyse(list(runs), runs, splits_of(methods, unit), pairs, draws, seed).comparisons:
        (one, a), (two, b) = (str(row[name]).split("/") for name in ("first", "second"))
        metric = row["metric"]
        if metric in METRICS and (modes[one].mode(metric), modes[two].mode(metric)) == (a, b):
            found[one, two, metric] = row
    return found


def _sentence(
    first: str, second: str, row: dict[str, Any], other: dict[str, Any], units: Units, image_p: float | None
) -> str:
    """Return what a pair's accuracies say."""
    difference, low, high = row["difference"], row["difference_low"], row["difference_high"]
    if low is None:
        return f"{first} and {second} differ by {difference:+.4f} in accuracy; there are too few {units.slide}s for an interval."
    text = (
        f"The accuracy of {first} is {abs(difference):.4f} {'higher' if difference >= 0 else 'lower'} than that of {second} "
        f"({row['first_value']:.4f} and {row['second_value']:.4f}); the 95 % interval of the difference is {low:+.4f} to {high:+.4f} "
        f"if {units.slide}s are resampled"
    )
    ends = [(low, high)]
    if other and other["difference_low"] is not None:
        ends.append((other["difference_low"], other["difference_high"]))
        text += f" and {ends[1][0]:+.4f} to {ends[1][1]:+.4f} if {units.accession}s are"
    told = all(one > 0 or two < 0 for one, two in ends)
    text += ", which excludes 0" if told else ": it includes 0, so that these images do not tell the two methods apart"
    text += f" (sign-flip p = {row['sign_flip_p']:.3g})."
    if image_p is not None and image_p <= 0.05 and not told:
        text += f" McNemar's test on images gives p = {image_p:.2g}, because it takes images of one {units.slide} for independent."
    return text
