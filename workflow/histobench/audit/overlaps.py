"""What the evaluation images of a split have in common with its training images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from histobench.audit.names import ImageName
from histobench.audit.splits import Split
from histobench.datasets import breakhis

ALL = ""
"""In place of a class: the images of every class, and those of none."""


@dataclass(frozen=True)
class Overlap:
    """Counts of some evaluation images: how many have something in common with the images of another set."""

    images: int
    image: int
    """The same image is in both sets."""
    twin: int
    """An image with the same pixels is, but not the image itself (BreakHis: slide 13412 under its other diagnosis)."""
    namesake: int
    """BreakHis: an image of slide 13412 with the same magnification and number is, under its other diagnosis. It is not always the twin,
    because the numbers of the two copies have different gaps."""
    slide: int
    """An image of the same slide is; 0 where no slides are named."""
    accession: int
    """An image of the same accession number, or of the same known patient, is."""
    known: int
    """Images whose accession number or patient is known."""

    @property
    def certain(self) -> int:
        """Images that are there themselves or by their pixels, or by their slide: the slide includes the others in BreakHis."""
        return max(self.slide, self.image + self.twin)

    def share(self, what: str) -> float | None:
        """Return a count as a share of the images; None if there are none, or nothing is known."""
        known = self.known if what == "accession" else self.images
        return getattr(self, what) / self.images if known else None


def overlap(images: Sequence[ImageName], others: Sequence[ImageName]) -> Overlap:
    """Count what `images` have in common with `others`."""
    return overlap_of_classes(images, others)[ALL]


def overlap_of_classes(images: Sequence[ImageName], others: Sequence[ImageName]) -> dict[str, Overlap]:
    """Count what all `images` (:data:`ALL`), and those of each class, have in common with `others` of any class."""
    there = {one.image for one in others}
    slides = {one.slide for one in others} - {""}
    accessions = {one.accession for one in others} - {""}
    twins = _twins() if any(one.dataset == "breakhis" for one in images) else {}

    def count(part: Sequence[ImageName]) -> Overlap:
        own = [one.image for one in part]
        twinned = [image for image in own if image in twins]
        return Overlap(
            images=len(own),
            image=sum(image in there for image in own),
            twin=sum(twins[image] in there and image not in there for image in twinned),
            namesake=sum(_namesake(image) in there for image in twinned),
            slide=sum(one.slide in slides for one in part),
            accession=sum(one.accession in accessions for one in part),
            known=sum(bool(one.accession) for one in part),
        )

    return {ALL: count(images)} | {
        label: count(part) for label, part in by_class(images, lambda one: one.label).items()
    }


Shared = Mapping[tuple[str, str], Mapping[str, Overlap]]
"""(set, other set) -> class or :data:`ALL` -> overlap."""


def of_split(split: Split) -> Shared:
    """Return what validation and test set have in common with the training set, and the test set with the validation set."""
    pairs = [(name, "train") for name in split.sets if name != "train"]
    pairs += [("test", "val")] if {"val", "test"} <= split.sets.keys() else []
    return {pair: overlap_of_classes(split.sets[pair[0]], split.sets[pair[1]]) for pair in pairs}


@cache
def _twins() -> Mapping[str, str]:
    return breakhis.twins()


def _namesake(image: str) -> str:
    return image.replace("_DC-", "_LC-") if "_DC-" in image else image.replace("_LC-", "_DC-")


def by_class(images: Sequence[ImageName], of: Callable[[ImageName], str]) -> dict[str, list[ImageName]]:
    """Return images by their class, subtype or magnification, in the order of the names; without those that have none."""
    found: dict[str, list[ImageName]] = {}
    for one in images:
        if of(one):
            found.setdefault(of(one), []).append(one)
    return dict(sorted(found.items(), key=lambda item: item[0].rjust(9) if item[0].isdigit() else item[0]))


def slides_with_siblings(split: Split, evaluated: str, label: str) -> tuple[int, int]:
    """Return how many slides of a class have a slide of the same accession number in training, and how many there are.

    A slide that trains itself counts too.
    """
    trained = {one.accession for one in split.sets["train"]} - {""}
    slides = {one.slide: one.accession for one in split.sets[evaluated] if one.label == label and one.slide}
    return sum(accession in trained for accession in slides.values()), len(slides)


def groups(images: Sequence[ImageName]) -> tuple[int, int]:
    """Return how many slides there are, and how many accession numbers or known patients; images of unknown ones do not count."""
    return len({one.slide for one in images} - {""}), len({one.accession for one in images} - {""})


def tested_times(splits: Sequence[Split]) -> dict[str, int]:
    """Return in how many folds each image is evaluated."""
    times: dict[str, int] = {}
    for split in splits:
        for name, images in split.sets.items():
            for one in images:
                times[one.image] = times.get(one.image, 0) + (name == split.evaluated)
    return times
