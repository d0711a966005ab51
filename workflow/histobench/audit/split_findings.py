"""What an audit says of a split: sentences first, then tables."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from histobench.audit import names, overlaps
from histobench.audit.findings import Cell, Section, Table, percent
from histobench.audit.overlaps import ALL, Overlap, Shared
from histobench.audit.split_tables import (
    class_groups,
    composition,
    group_intervals,
    plural,
    shares,
    shares_caption,
    shares_of,
    sizes,
    unit_of,
)
from histobench.audit.splits import Split, Splits
from histobench.evaluation.statistics import FEW, binomial_interval

SET_NAMES = {"train": "training", "val": "validation", "test": "test"}
NO_PROOF = "A leak does not prove that scores are inflated: only a comparison of scores with and without the shared images can show that."


def sections(found: Splits, figures: Sequence[tuple[str, str]] = ()) -> list[Section]:
    """Return a section for each split, and first one for all of them where they are folds; figures go with the first."""
    shared = [overlaps.of_split(split) for split in found.splits]
    own = [_of_split(found, split, part) for split, part in zip(found.splits, shared, strict=True)]
    first, *rest = own if len(own) == 1 else [_of_folds(found, shared), *own]
    return [replace(first, figures=figures), *rest]


def _of_split(found: Splits, split: Split, shared: Shared) -> Section:
    """Return what is said of one hold-out or one fold."""
    several = len(found.splits) > 1
    title = split.title if several else found.title
    key = f"-{slug(split.title)}" if several else ""
    main = shared[split.evaluated, "train"]
    sentences = [_certain(found.dataset, split.evaluated, main), _strict(found.dataset, split, split.evaluated, main)]
    if not several and (main[ALL].accession or main[ALL].certain):
        sentences.append(NO_PROOF)
    sentences.append(_group_sentence(found.dataset, split))
    for name in split.sets.keys() - {"train", split.evaluated}:
        part = shared[name, "train"]
        sentences += [_certain(found.dataset, name, part), _strict(found.dataset, split, name, part)]
        if both := shared[split.evaluated, name][ALL].image:
            same = _number(both, main[ALL].images)
            sentences.append(f"Certain: of {main[ALL].images:,} test images, {same} are also {SET_NAMES[name]} images.")
    if not several:
        sentences += _name_sentences(found)
    tables = [
        sizes(f"sizes{key}", found.dataset, split),
        shares(f"overlaps{key}", found.dataset, shared),
        *composition(f"composition{key}", split),
        group_intervals(f"groups{key}", found.dataset, split),
    ]
    return Section(
        title if several else f"Split: {title}",
        sentences,
        tables,
        data=_data(found, split, shared),
        warnings=[*([] if several else _warnings(found, split)), *_doubts(main[ALL])],
        is_part=several,
    )


def _of_folds(found: Splits, shared: Sequence[Shared]) -> Section:
    """Return what is said of several folds together."""
    parts = [(split, part[split.evaluated, "train"]) for split, part in zip(found.splits, shared, strict=True)]
    count, images = len(parts), found.images
    tested = overlaps.tested_times(found.splits)
    slides = {(one.subtype, one.slide): tested[one.image] for one in images.values() if one.slide}
    labels = sorted({one.label for one in images.values()} - {""})
    certain = {split.title: part[ALL].certain / part[ALL].images for split, part in parts if part[ALL].certain}
    said = f"folds, evaluation and training images have {_common(found.dataset)} in common"
    if certain:
        which = f"{_listed(list(certain))}; " if len(certain) <= 5 else ""
        which += f"at most {percent(max(certain.values()))} of a fold's images"
        sentences = [f"Certain: in {len(certain)} of {count} {said} ({which})."]
    else:
        sentences = [f"Certain: in none of the {count} {said}."]
    strict = {label: _range([part[label] for _, part in parts if label in part]) for label in [ALL, *labels]}
    by_class = "; ".join(f"{label} {strict[label]}" for label in labels)
    sentences.append(
        f"{_reading(found.dataset)}: per fold, {strict[ALL]} of the evaluation images{f' ({by_class})' if by_class else ''} "
        f"{_same_patient(found.dataset)}."
    )
    if certain or any(part[ALL].accession for _, part in parts):
        sentences.append(NO_PROOF)
    sentences += [_coverage(tested, slides, count), *_name_sentences(found)]
    unit, kinds = unit_of(found.dataset), shares_of(found.dataset)
    columns = ("fold", "images", *kinds.values(), *(f"{unit} trains, {label}" for label in labels))
    rows: list[list[Cell]] = [
        [
            *(split.title, part[ALL].images, *(part[ALL].share(kind) for kind in kinds)),
            *(part[label].share("accession") if label in part else None for label in labels),
        ]
        for split, part in parts
    ]
    of_images, of_slides = Counter(tested.values()), Counter(slides.values())
    tables = [
        Table(
            "folds", "A row per fold." + shares_caption(found.dataset), columns, rows, dict.fromkeys(columns[2:], ".1%")
        ),
        Table(
            "tested",
            "In how many folds images, and slides of one subtype, are evaluated.",
            ("folds", "images", "slides"),
            [
                [times, of_images[times], of_slides[times] if slides else None]
                for times in sorted(of_images | of_slides)
            ],
        ),
    ]
    data = {"tested_times": {"images": dict(sorted(of_images.items())), "slides": dict(sorted(of_slides.items()))}}
    return Section(
        f"All {count} folds: {found.title}",
        sentences,
        tables,
        data=data | {"missing_official": len(found.missing_official[0])},
        warnings=_warnings(found, *found.splits),
    )


def slug(text: str) -> str:
    """Return a title as part of the name of a table."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _common(dataset: str) -> str:
    return "an image, pixels or a slide" if dataset == "breakhis" else "an image"


def _reading(dataset: str) -> str:
    return "Strict reading" if dataset == "breakhis" else "By patient"


def _same_patient(dataset: str) -> str:
    if dataset == "breakhis":
        return "have the accession number of a training image, and may be of the same patient"
    return "are of a patient with training images"


def _certain(dataset: str, name: str, parts: Mapping[str, Overlap]) -> str:
    part, kind = parts[ALL], SET_NAMES[name]
    said = []
    if part.image:
        said.append(f"{_number(part.image, part.images)} are also training images")
    if part.slide:
        said.append(f"{_number(part.slide, part.images)} are of a slide with training images")
    if part.twin:
        said.append(f"{part.twin:,} have the pixels of a training image that has another diagnosis")
    if said:
        return f"Certain: of {part.images:,} {kind} images, {_listed(said)}."
    common = _common(dataset).replace("an image", "no image").replace("a slide", "slide")
    return f"Certain: {kind} and training images have {common} in common."


def _strict(dataset: str, split: Split, name: str, parts: Mapping[str, Overlap]) -> str:
    part, kind, unit, reading = parts[ALL], SET_NAMES[name], unit_of(dataset), _reading(dataset)
    if not part.known:
        return f"{reading}: nothing can be said, because no {unit} is known for the {kind} images."
    unknown = {kind: part.images - part.known, "training": sum(not one.accession for one in split.sets["train"])}
    lacking = " and ".join(f"{number:,} {kind} {plural('image', number)}" for kind, number in unknown.items() if number)
    more = f" The {unit} of {lacking} is not known." if lacking else ""
    if not part.accession:
        return f"{reading}: no {kind} image has the {unit} of a training image.{more}"
    by_class = [f"{label} {percent(own.share('accession') or 0)}" for label, own in parts.items() if label != ALL]
    same = _number(part.accession, part.images, f"; {', '.join(by_class)}" if by_class else "")
    return f"{reading}: of {part.images:,} {kind} images, {same} {_same_patient(dataset)}.{more}"


def _group_sentence(dataset: str, split: Split) -> str:
    """Return which class of the evaluation set has the fewest groups, and what interval these leave."""
    label, number, unit = min(class_groups(dataset, split, split.evaluated), key=lambda row: row[1])
    low, _ = binomial_interval(number, number)
    what = f"{number:,} {plural(unit, number)}"
    fewest = f" of class {label}, the fewest of a class" if label else ""
    few = f" Fewer than {FEW} say little." if number < FEW else ""
    return (
        f"The {SET_NAMES[split.evaluated]} set has {what}{fewest}. If all are classified right, the 95 % interval of the share of right "
        f"{plural(unit, 2)} is still {percent(low)} to 100 %.{few}"
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
    if found.dataset in names.KNOWN:
        missing, expected, scales = found.missing_official
        if missing:
            at = f" at {', '.join(f'{scale}X' for scale in sorted(scales))}" if any(scales) else ""
            said.append(
                f"{len(missing):,} of the {expected:,} official images{at} are in no set; the first is {missing[0]}."
            )
        surplus = [one.image for one in found.images.values() if not one.official]
        if surplus:
            said.append(f"{len(surplus):,} names are not in the official archive; the first is {surplus[0]}.")
    if found.unknown:
        said.append(
            f"{len(found.unknown):,} names do not have the form of the dataset's and were left out; the first is {found.unknown[0]!r:.100}."
        )
    if found.contradictions:
        said.append(
            f"{len(found.contradictions):,} rows name another class than the image's name does; the first is {found.contradictions[0]}."
        )
    return said


def _warnings(found: Splits, *splits: Split) -> list[str]:
    notes, repeated = list(found.notes), sum(split.repeated for split in splits)
    if len(notes) > 8:
        notes[7:] = [f"And {len(notes) - 7} more notes of this kind."]
    return notes + [f"{repeated:,} names repeat an image of the same set; each image counts once."] * bool(repeated)


def _doubts(part: Overlap) -> list[str]:
    """Return a note where nearly all evaluation images train: more often a file is misread than a split is like that."""
    if part.image < 0.95 * part.images:
        return []
    return [
        "nearly all evaluation images are training images: if the files hold several folds that were read as one split, give each with a "
        "--split of its own, or the column of folds (--fold-column)."
    ]


def _data(found: Splits, split: Split, shared: Shared) -> dict:
    train, evaluated = split.sets["train"], split.sets[split.evaluated]
    own = {
        unit: len({getattr(one, unit) for one in train} & {getattr(one, unit) for one in evaluated} - {""})
        for unit in ("slide", "accession")
    }
    return {
        "dataset": found.dataset,
        "sets": {name: len(images) for name, images in split.sets.items()},
        "evaluated": split.evaluated,
        "shared_slides": own["slide"],
        "shared_accessions": own["accession"],
        "overlaps": {
            name: {label: asdict(part) for label, part in parts.items() if label != ALL} | {"all": asdict(parts[ALL])}
            for (name, against), parts in shared.items()
            if against == "train"
        },
        "slides_with_siblings": {
            label: overlaps.slides_with_siblings(split, split.evaluated, label)
            for label in shared[split.evaluated, "train"]
            if label != ALL
        },
        "missing_official": len(found.missing_official[0]),
        "repeated": split.repeated,
    }


def _range(parts: Sequence[Overlap]) -> str:
    shares = [part.share("accession") or 0.0 for part in parts]
    return f"{percent(min(shares))} to {percent(max(shares))}"


def _number(count: int, total: int, more: str = "") -> str:
    return "all" if count == total else f"{count:,} ({percent(count / total)}{more})"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
