"""What an audit says of a split: sentences first, then tables."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace

from histobench.audit import names, overlaps
from histobench.audit.findings import Cell, Section, Table
from histobench.audit.overlaps import Overlap, overlap
from histobench.audit.split_tables import (
    SHARE_COLUMNS,
    SHARES,
    class_groups,
    composition,
    group_intervals,
    plural,
    shares,
    shares_caption,
    sizes,
    unit_of,
)
from histobench.audit.splits import Split, Splits
from histobench.evaluation.statistics import binomial_interval
from histobench.evaluation.summary import FEW

SET_NAMES = {"train": "training set", "val": "validation set", "test": "test set"}
NO_PROOF = "An overlap does not prove that scores are inflated: whether they are shows only in a comparison of scores with and without it."


def sections(found: Splits, figures: Sequence[tuple[str, str]] = ()) -> list[Section]:
    """Return a section for each split, and first one for all of them where they are folds; figures go with the first."""
    own = [of_split(found, split) for split in found.splits]
    first, *rest = own if len(own) == 1 else [of_folds(found), *own]
    return [replace(first, figures=figures), *rest]


def of_split(found: Splits, split: Split) -> Section:
    """Return what is said of one hold-out or one fold."""
    several = len(found.splits) > 1
    title = split.title if several else found.title
    key = f"-{slug(split.title)}" if several else ""
    evaluated = [name for name in split.sets if name != "train"]
    main = overlap(split.sets[split.evaluated], split.sets["train"])
    sentences = [
        _certain(found.dataset, split, main),
        _strict(found.dataset, split, main),
        _group_sentence(found.dataset, split),
    ]
    sentences += [
        f"{_set(name)}: {_certain(found.dataset, split, part, name)} {_strict(found.dataset, split, part, name)}".replace(
            f"{_set(name)}: Certain", "Certain"
        )
        for name in evaluated
        if name != split.evaluated
        for part in [overlap(split.sets[name], split.sets["train"])]
    ]
    if main.accession or main.certain:
        sentences.append(NO_PROOF)
    if not several:
        sentences += _name_sentences(found)
    return Section(
        title if several else f"Split: {title}",
        sentences,
        [
            sizes(f"sizes{key}", found.dataset, split),
            shares(f"overlaps{key}", found.dataset, split),
            composition(f"composition{key}", split),
            group_intervals(f"groups{key}", found.dataset, split),
        ],
        data=_data(found, split),
        warnings=[] if several else _warnings(found, split),
    )


def of_folds(found: Splits) -> Section:
    """Return what is said of several folds together."""
    parts = [(split, overlap(split.sets[split.evaluated], split.sets["train"])) for split in found.splits]
    count = len(parts)
    tested = overlaps.tested_times(found.splits)
    slides = {
        key: tested[one.image] for one in found.images.values() for key in [(one.subtype, one.slide)] if one.slide
    }
    certain = [part.certain for _, part in parts]
    sentences = []
    if any(certain):
        folds = [split.title for (split, _), number in zip(parts, certain, strict=True) if number]
        sentences.append(
            f"Certain: in {len(folds)} of {count} folds some evaluation images, their pixel twins or their slides also train "
            f"({_listed(folds)}), up to {_percent(max(part.certain / part.images for _, part in parts))} of a fold's images."
        )
    else:
        sentences.append(
            f"Certain: in none of the {count} folds an evaluation image, its pixel twin or its slide also trains."
        )
    low, high = (end([part.accession / part.images for _, part in parts]) for end in (min, max))
    sentences.append(
        f"Strict reading: {_percent(low)} to {_percent(high)} of the evaluation images have an image of the same {unit_of(found.dataset)} in "
        "training"
        + "".join(
            f"; of the {label} ones {_percent(min(shares))} to {_percent(max(shares))}"
            for label in _labels(found.images.values())
            for shares in [[_class_share(split, label) for split, _ in parts]]
        )
        + "."
    )
    sentences.append(_coverage(tested, slides, count))
    sentences += [NO_PROOF] if high or any(certain) else []
    sentences += _name_sentences(found)
    labels = _labels(found.images.values())
    columns = ("fold", *SHARE_COLUMNS, *(f"accession number trains, {label}" for label in labels))
    rows: list[list[Cell]] = [
        [
            split.title,
            part.images,
            *(part.share(what) for what in SHARES),
            *(_class_share(split, label) for label in labels),
        ]
        for split, part in parts
    ]
    of_images, of_slides = Counter(tested.values()), Counter(slides.values())
    times = sorted(of_images | of_slides)
    tables = [
        Table(
            "folds", shares_caption(found.dataset, "A row per fold."), columns, rows, dict.fromkeys(columns[2:], ".1%")
        ),
        Table(
            "tested",
            "In how many folds images, and slides of one subtype, are evaluated.",
            ("folds", "images", "slides"),
            [[number, of_images[number], of_slides[number] if slides else None] for number in times],
        ),
    ]
    data = {"tested_times": {"images": dict(sorted(of_images.items())), "slides": dict(sorted(of_slides.items()))}}
    return Section(
        f"All {count} folds: {found.title}", sentences, tables, data=data, warnings=_warnings(found, *found.splits)
    )


def slug(text: str) -> str:
    """Return a title as part of the name of a table."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _certain(dataset: str, split: Split, part: Overlap, evaluated: str = "") -> str:
    where = f"of the {part.images:,} images of the {_set(evaluated or split.evaluated)}"
    said = []
    if part.image:
        said.append(f"{part.image:,} ({_percent(part.image / part.images)}) are themselves in the training set")
    if part.twin:
        said.append(f"{part.twin:,} have a pixel twin there under another diagnosis")
    if part.slide:
        said.append(f"{part.slide:,} ({_percent(part.slide / part.images)}) have an image of the same slide there")
    if said:
        return f"Certain: {where}, {_listed(said)}."
    slide = ", a pixel twin or an image of its slide" if dataset == "breakhis" else ""
    return f"Certain: {where}, none is itself{slide} in the training set."


def _strict(dataset: str, split: Split, part: Overlap, evaluated: str = "") -> str:
    evaluated = evaluated or split.evaluated
    unit = unit_of(dataset)
    if not part.known:
        return f"Strict reading: no {unit} is known for images of the {_set(evaluated)}, so that nothing can be said of it."
    unknown = part.images - part.known
    unknown_there = sum(not one.accession for one in split.sets["train"])
    lacking = [f"{unknown:,} of them"] if unknown else []
    lacking += [f"{unknown_there:,} training images"] if unknown_there else []
    of_those = f" ({' and '.join(lacking)} have no known {unit})" if lacking else ""
    if not part.accession:
        return f"Strict reading: no image of the {_set(evaluated)} has the {unit} of a training image{of_those}."
    classes = "; ".join(
        f"{_percent(own.accession / own.images)} of the {label} ones"
        for label, images in overlaps.by_class(split.sets[evaluated], lambda one: one.label).items()
        for own in [overlap(images, split.sets["train"])]
    )
    why = ", which may or may not be one patient" if dataset == "breakhis" else ""
    return (
        f"Strict reading: {part.accession:,} images of the {_set(evaluated)} ({_percent(part.accession / part.images)}"
        f"{f'; {classes}' if classes else ''}) have the {unit} of a training image{why}{of_those}."
    )


def _group_sentence(dataset: str, split: Split) -> str:
    """Return which class of the evaluation set has the fewest groups, and what interval these leave."""
    fewest = min(class_groups(dataset, split, split.evaluated), key=lambda row: row[1])
    label, number, unit = fewest
    low, _ = binomial_interval(number, number)
    kind = f"{label} " if label else ""
    few = f"; fewer than {FEW} say little" if number < FEW else ""
    return (
        f"The {_set(split.evaluated)} has {number:,} {kind}{plural(unit, number)}, the smallest number of a class: even if a classifier is "
        f"right for all of them, the 95 % interval of the share of {plural(unit, 2)} reaches down to {_percent(low)}{few}."
    )


def _coverage(tested: dict[str, int], slides: dict[tuple[str, str], int], count: int) -> str:
    def said(times: Sequence[int], what: str) -> str:
        never, several = sum(number == 0 for number in times), sum(number > 1 for number in times)
        return f"{never:,} of {len(times):,} {what} are never evaluated and {several:,} in more than one fold"

    parts = [said(list(tested.values()), "images")]
    parts += [said(list(slides.values()), "slides (of one subtype)")] if slides else []
    if set(tested.values()) == {1}:
        return f"Each of the {len(tested):,} images is evaluated in exactly one of the {count} folds."
    return f"The folds are no partition: {'; '.join(parts)}."


def _name_sentences(found: Splits) -> list[str]:
    said = []
    images = found.images
    if found.dataset in names.KNOWN:
        scales = {one.magnification for one in images.values() if one.official}
        expected = [one for one in names.official(found.dataset).values() if one.magnification in scales]
        missing = [one.image for one in expected if one.image not in images]
        if missing:
            at = f" at {', '.join(f'{scale}X' for scale in sorted(scales))}" if any(scales) else ""
            said.append(
                f"{len(missing):,} of the {len(expected):,} official images{at} are in no set, the first is {missing[0]}."
            )
        surplus = [one.image for one in images.values() if not one.official]
        if surplus:
            said.append(f"{len(surplus):,} names do not exist in the official archive, the first is {surplus[0]}.")
    if found.unknown:
        said.append(
            f"{len(found.unknown):,} names are not of the dataset's form and were left out, the first is {found.unknown[0]!r:.100}."
        )
    if found.contradictions:
        said.append(
            f"{len(found.contradictions):,} rows name another class than the image's name does, the first is {found.contradictions[0]}."
        )
    return said


def _warnings(found: Splits, *splits: Split) -> list[str]:
    repeated = sum(split.repeated for split in splits)
    notes = (
        list(found.notes)
        if len(found.notes) <= 8
        else [*found.notes[:7], f"And {len(found.notes) - 7} notes more of this kind."]
    )
    return [
        *notes,
        *([f"{repeated:,} names repeat an image of the same set; each image counts once."] if repeated else []),
    ]


def _data(found: Splits, split: Split) -> dict:
    shared = {
        unit: len(
            {getattr(one, unit) for one in split.sets["train"]}
            & {getattr(one, unit) for one in split.sets[split.evaluated]} - {""}
        )
        for unit in ("slide", "accession")
    }
    return {
        "dataset": found.dataset,
        "sets": {name: len(images) for name, images in split.sets.items()},
        "evaluated": split.evaluated,
        "shared_slides": shared["slide"],
        "shared_accessions": shared["accession"],
        "overlaps": {
            name: {
                label: asdict(overlap(images, split.sets["train"]))
                for label, images in {"all": list(part), **overlaps.by_class(part, lambda one: one.label)}.items()
            }
            for name, part in split.sets.items()
            if name != "train"
        },
        "slides_with_siblings": {
            label: overlaps.slides_with_siblings(split, split.evaluated, label)
            for label in _labels(split.sets[split.evaluated])
        },
        "repeated": split.repeated,
    }


def missing_official(found: Splits) -> list[str]:
    """Return the official images, at the magnifications that occur, that are in no set."""
    images = found.images
    scales = {one.magnification for one in images.values() if one.official}
    return [
        one.image
        for one in names.official(found.dataset).values()
        if one.magnification in scales and one.image not in images
    ]


def _class_share(split: Split, label: str) -> float:
    images = [one for one in split.sets[split.evaluated] if one.label == label]
    return overlap(images, split.sets["train"]).share("accession") or 0.0


def _labels(images) -> list[str]:
    return sorted({one.label for one in images} - {""})


def _set(name: str) -> str:
    return SET_NAMES[name]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
