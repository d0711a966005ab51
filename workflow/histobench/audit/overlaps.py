"""What the evaluation images of a split have in common with its training images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from histobench.audit.names import ImageName
from histobench.audit.splits import Split
from histobench.datasets import breakhis


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
        """Return a count as a share of the images; None if there are none."""
        return getattr(self, what) / self.images if self.images else None


@cache
def twins() -> Mapping[str, str]:
    """Return :func:`histobench.datasets.breakhis.twins`."""
    return breakhis.twins()


def overlap(images: Sequence[ImageName], others: Sequence[ImageName]) -> Overlap:
    """Count what `images` have in common with `others`."""
    there = {one.image for one in others}
    slides = {one.slide for one in others} - {""}
    accessions = {one.accession for one in others} - {""}
    pairs = [(one.image, twins().get(one.image)) for one in images if one.dataset == "breakhis"]
    twinned = [(image, twin) for image, twin in pairs if twin in there and image not in there]
    return Overlap(
        images=len(images),
        image=sum(one.image in there for one in images),
        twin=len(twinned),
        namesake=sum(_namesake(image) in there for image, twin in pairs if twin),
        slide=sum(one.slide in slides for one in images),
        accession=sum(one.accession in accessions for one in images),
        known=sum(bool(one.accession) for one in images),
    )


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
