"""Tables of a split: its sizes, what its sets share, what they are made of, and the intervals that their groups leave."""

from collections import Counter
from collections.abc import Callable

from histobench.audit import overlaps
from histobench.audit.findings import Cell, Table
from histobench.audit.names import ImageName
from histobench.audit.overlaps import Shared
from histobench.audit.splits import Split
from histobench.evaluation.statistics import binomial_interval


def sizes(name: str, dataset: str, split: Split) -> Table:
    rows: list[list[Cell]] = []
    for kind, images in split.sets.items():
        slides, accessions = overlaps.groups(images)
        classes = Counter(one.label for one in images if one.label)
        said = "; ".join(f"{label} {number:,}" for label, number in sorted(classes.items())) or None
        unknown = sum(not one.accession for one in images)
        rows.append([kind, len(images), said, slides or None, accessions or None, unknown])
    columns = ("set", "images", "classes", "slides", f"{unit_of(dataset)}s", f"images without known {unit_of(dataset)}")
    return Table(name, "Images and their groups in each set.", columns, rows)


def shares(name: str, dataset: str, shared: Shared) -> Table:
    kinds = shares_of(dataset)
    rows: list[list[Cell]] = [
        [kind, against, label or "all", part.images, *(part.share(what) for what in kinds)]
        for (kind, against), parts in shared.items()
        for label, part in parts.items()
    ]
    caption = "A row per evaluation set and class, against the images of all classes in the set in the column against."
    columns = ("set", "against", "class", "images", *kinds.values())
    return Table(name, caption + shares_caption(dataset), columns, rows, dict.fromkeys(kinds.values(), ".1%"))


def shares_of(dataset: str) -> dict[str, str]:
    """Return the counts of :class:`Overlap` that a dataset's names allow -> head of the column of their shares."""
    known = ("image", "twin", "slide", "accession") if dataset == "breakhis" else ("image", "accession")
    heads = {
        "image": "same image trains",
        "twin": "twin trains",
        "slide": "slide trains",
        "accession": f"{unit_of(dataset)} trains",
    }
    return {what: heads[what] for what in known}


def shares_caption(dataset: str) -> str:
    if dataset != "breakhis":
        return " Shares of evaluation images that train too, and of those whose patient has another image that trains."
    return (
        " Shares of evaluation images of which the same image, an image with the same pixels under another name (twin), an image of the "
        "same slide, or one of the same accession number also trains."
    )


def composition(name: str, split: Split) -> list[Table]:
    """Return the table of classes, subtypes and magnifications, where any is known."""
    kinds: list[tuple[str, Callable[[ImageName], str]]] = [
        ("class", lambda one: one.label),
        ("subtype", lambda one: one.subtype),
        ("magnification", lambda one: f"{one.magnification}X" if one.magnification else ""),
    ]
    rows: list[list[Cell]] = []
    for kind, of in kinds:
        counts = [Counter(map(of, images)) for images in split.sets.values()]
        for value in sorted(set().union(*counts) - {""}, key=lambda text: (len(text), text)):
            rows.append([kind, value, *(count[value] for count in counts)])
    caption = "Images of each class, subtype and magnification in each set."
    return [Table(name, caption, ("by", "value", *split.sets), rows)] if rows else []


def group_intervals(name: str, dataset: str, split: Split) -> Table:
    rows: list[list[Cell]] = []
    for kind in (kind for kind in split.sets if kind != "train"):
        for label, number, _ in class_groups(dataset, split, kind):
            nine = round(0.9 * number)
            ends = [binomial_interval(number, number)[0], nine, *binomial_interval(nine, number)]
            siblings = overlaps.slides_with_siblings(split, kind, label)[0] if dataset == "breakhis" else None
            rows.append([kind, label or "all", number, siblings, *ends])
    columns = ("set", "class", "groups", "groups with a sibling in training", "low, all right")
    columns += ("nine tenths", "low, nine tenths right", "high, nine tenths right")
    group, sibling = "patients, and single images of unknown patients", ""
    if dataset == "breakhis":
        group, sibling = (
            "slides",
            ", how many have a slide of the same accession number in training (or train themselves)",
        )
    return Table(
        name,
        f"Groups of the evaluation sets ({group}){sibling}, and the exact 95 % interval of the share of groups that a classifier gets right: "
        "its low end if all are right (the high end is 100 %), and both ends if nine tenths (rounded) are. Groups count as independent.",
        columns,
        rows,
        {name: ".1%" for name in columns if name.startswith(("low", "high"))},
    )


def class_groups(dataset: str, split: Split, name: str) -> list[tuple[str, int, str]]:
    """Return class, number of groups and what they are called, of each class of a set."""
    images = split.sets[name]
    classes = overlaps.by_class(images, lambda one: one.label) or {"": list(images)}
    unit = "slide" if dataset == "breakhis" else "patient" if all(one.accession for one in images) else "group"
    return [(label, len({one.group for one in part}), unit) for label, part in classes.items()]


def unit_of(dataset: str) -> str:
    return "accession number" if dataset == "breakhis" else "patient"


def plural(unit: str, number: int) -> str:
    return unit if number == 1 else f"{unit}s"
