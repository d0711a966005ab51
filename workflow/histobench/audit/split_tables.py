"""Tables of a split: its sizes, what its sets share, what they are made of, and the intervals that their groups leave."""

from collections import Counter
from collections.abc import Callable

from histobench.audit import overlaps
from histobench.audit.findings import Cell, Table
from histobench.audit.names import ImageName
from histobench.audit.overlaps import overlap
from histobench.audit.splits import Split
from histobench.evaluation.statistics import binomial_interval

SHARES = ("image", "twin", "slide", "accession")
SHARE_COLUMNS = ("images", "same image trains", "twin trains", "slide trains", "accession number trains")


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


def shares(name: str, dataset: str, split: Split) -> Table:
    rows: list[list[Cell]] = []
    references = [("train", "train"), *([("val", "val")] if "val" in split.sets and "test" in split.sets else [])]
    for evaluated in (kind for kind in split.sets if kind != "train"):
        for against in dict(references):
            if against == evaluated:
                continue
            kinds = {
                "all": list(split.sets[evaluated]),
                **overlaps.by_class(split.sets[evaluated], lambda one: one.label),
            }
            for label, images in kinds.items():
                part = overlap(images, split.sets[against])
                rows.append(
                    [
                        evaluated,
                        against,
                        label,
                        part.images,
                        *(part.share(what) for what in SHARES),
                        part.twin,
                        part.namesake,
                    ]
                )
    columns = ("set", "against", "class", *SHARE_COLUMNS, "twins", "namesakes")
    caption = shares_caption(
        dataset,
        "A row per evaluation set and class, against images of all classes of the set in `against`. Twins: images of slide 13412 of BreakHis, which is in the archive under two diagnoses; namesakes: those whose magnification and number occur there under the other diagnosis.",
    )
    return Table(name, caption, columns, rows, dict.fromkeys(SHARE_COLUMNS[1:], ".1%"))


def shares_caption(dataset: str, rows: str) -> str:
    third = "" if dataset == "breakhis" else f" Accession number here means {unit_of(dataset)}."
    return (
        f"{rows} Shares of evaluation images of which the same image, an image with the same pixels under another name (twin), an image of "
        f"the same slide, or of the same accession number also trains.{third}"
    )


def composition(name: str, split: Split) -> Table:
    kinds: list[tuple[str, Callable[[ImageName], str]]] = [
        ("class", lambda one: one.label),
        ("subtype", lambda one: one.subtype),
        ("magnification", lambda one: f"{one.magnification}X" if one.magnification else ""),
    ]
    everything = [one for images in split.sets.values() for one in images]
    rows: list[list[Cell]] = []
    for kind, of in kinds:
        for value in sorted(overlaps.by_class(everything, of), key=lambda text: (len(text), text)):
            rows.append([kind, value, *(sum(of(one) == value for one in images) for images in split.sets.values())])
    return Table(
        name, "Images of each class, subtype and magnification in each set.", ("by", "value", *split.sets), rows
    )


def group_intervals(name: str, dataset: str, split: Split) -> Table:
    rows: list[list[Cell]] = []
    for kind in (kind for kind in split.sets if kind != "train"):
        for label, number, unit in class_groups(dataset, split, kind):
            nine = round(0.9 * number)
            ends = [*binomial_interval(number, number), nine, *binomial_interval(nine, number)]
            shared = overlaps.slides_with_siblings(split, kind, label)[0] if dataset == "breakhis" else None
            rows.append([kind, label or "all", number, plural(unit, 2), shared, *ends])
    columns = (
        "set",
        "class",
        "groups",
        "group is",
        "groups with a sibling in training",
        "low, all right",
        "high, all right",
    )
    columns += ("nine tenths", "low, nine tenths right", "high, nine tenths right")
    formats = {name: ".1%" for name in columns if name.startswith(("low", "high"))}
    return Table(
        name,
        "Groups of the evaluation sets, how many have a group of the same accession number in training (or train themselves), and the exact "
        "95 % interval of the share of groups that a classifier gets right, if it gets all right, or nine tenths (rounded). Groups count as "
        "independent.",
        columns,
        rows,
        formats,
    )


def class_groups(dataset: str, split: Split, name: str) -> list[tuple[str, int, str]]:
    """Return class, number of groups and what they are called, of each class of a set."""
    classes = overlaps.by_class(split.sets[name], lambda one: one.label) or {"": list(split.sets[name])}
    unit = "slide" if dataset == "breakhis" else "group" if dataset == "bach" else "patient"
    return [(label, len({one.group for one in images}), unit) for label, images in classes.items()]


def unit_of(dataset: str) -> str:
    return "accession number" if dataset == "breakhis" else "patient"


def plural(unit: str, number: int) -> str:
    return unit if number == 1 else f"{unit}s"
