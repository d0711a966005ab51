"""The rows of ../shared/data/public-audit/README.md, from the files as other people have published them."""

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from histobench.audit import names, overlaps, split_findings, splits
from histobench.audit.overlaps import ALL, Overlap, overlap
from histobench.audit.split_columns import Options
from histobench.audit.splits import Splits
from histobench.io.errors import HistoBenchError

pytestmark = pytest.mark.skipif(
    "HISTOBENCH_SHARED_DATA" not in os.environ,
    reason="HISTOBENCH_SHARED_DATA does not name the folder of public-audit/raw",
)
RAW = Path(os.environ.get("HISTOBENCH_SHARED_DATA", "none")) / "public-audit/raw"
FOUR_TYPES = Options(others="train", magnifications=(40,), subtypes=("F", "TA", "DC", "MC"))


@dataclass(frozen=True)
class Row:
    """A row of the README: shares are percentages."""

    pattern: str
    images: tuple[int | None, int | None, int]
    """In training, validation and evaluation."""
    magnifications: str
    slides: tuple[int, int, int]
    """In training and in evaluation, and shared."""
    accessions: int
    slide_share: float
    accession_share: tuple[float, float, float]
    siblings: tuple[int, int]
    namesakes: int
    missing: int
    validation: tuple[float, float] | None = None
    """Share of validation images whose slide and whose accession number also trains."""
    options: Options | None = None


SCALES = "40,100,200,400"
FOLD_1 = ((5005, None, 2904), SCALES, (54, 28, 1), 8, 4.2, (39.4, 69.0, 23.7), (5, 9), 121, 0)
ROWS = [
    Row("dthiagarajan__breakhis_gp/mkfold/dsfold1.txt", *FOLD_1),
    Row("dthiagarajan__breakhis_gp/mkfold/dsfold2.txt", (5506, None, 2403), SCALES, (53, 28, 0), 6, 0.0, (28.1, 56.5, 15.8), (4, 9), 0, 0),
    Row("dthiagarajan__breakhis_gp/mkfold/dsfold3.txt", (5332, None, 2577), SCALES, (54, 28, 1), 7, 4.8, (27.1, 36.9, 22.8), (3, 9), 121, 0),
    Row("dthiagarajan__breakhis_gp/mkfold/dsfold4.txt", (5211, None, 2698), SCALES, (53, 28, 0), 7, 0.0, (31.0, 69.2, 10.7), (6, 9), 0, 0),
    Row("dthiagarajan__breakhis_gp/mkfold/dsfold5.txt", (4826, None, 3083), SCALES, (54, 28, 1), 6, 4.0, (32.4, 76.1, 9.2), (6, 9), 121, 0),
    Row(
        *("jeromerony__survey_wsl_histology/**/*.csv", (4007, 998, 2904), SCALES, (54, 28, 1), 8, 4.2, (39.4, 69.0, 23.7), (5, 9), 95, 0),
        validation=(100.0, 100.0),
    ),
    Row(
        *("caiojohnston__breakhis-dataaug/**/*.csv", (4892, 1514, 1503), SCALES, (53, 17, 0), 1, 0.0, (8.6, 26.6, 0.0), (1, 5), 0, 0),
        validation=(0.0, 24.2),
    ),
    Row(
        *("lizbaka__BreakHis-exp/**/*.csv", (5361, 1534, 768), SCALES, (80, 80, 80), 69, 100.0, (100.0, 100.0, 100.0), (24, 24), 0, 246),
        validation=(100.0, 100.0),
    ),
    Row("ivanfelipecp__breakhis/*.csv", (5531, None, 2378), SCALES, (81, 81, 81), 70, 100.0, (100.0,) * 3, (24, 24), 48, 0),
    Row(
        *("kaiko-ai__eva/breakhis_val_patients.txt", (1132, None, 339), "40", (50, 14, 0), 4, 0.0, (26.8, 38.0, 20.0), (2, 5), 0, 524),
        options=FOUR_TYPES,
    ),
    Row(
        *("MICS-Lab__thunder/breakhis_patients.csv", (936, 196, 339), "40", (40, 14, 0), 3, 0.0, (22.1, 38.0, 12.4), (2, 5), 0, 524),
        validation=(0.0, 0.0),
        options=FOUR_TYPES,
    ),
    Row(
        "bmpofu-create__Breast-Cancer-Histopathology-CNN/**/*.csv",
        *((5491, 1072, 1346), SCALES, (56, 13, 0), 0, 0.0, (0.0, 0.0, 0.0), (0, 4), 0, 0),
        validation=(0.0, 32.7),
    ),
    Row(
        "shilatorkaby__Breast-Cancer-Histopathology-Classification/files_name.txt",
        *((2067, None, 517), SCALES, (81, 81, 81), 70, 100.0, (100.0, 100.0, 100.0), (24, 24), 3, 5325),
    ),
    Row(
        "Harvard-AI-and-Robotics-Lab__Medical_InContext_Learning/**/*.csv",
        *((5507, 1252, 1150), SCALES, (56, 13, 0), 0, 0.0, (0.0, 0.0, 0.0), (0, 4), 0, 0),
        validation=(0.0, 0.0),
    ),
]  # fmt: skip


def read(pattern: str, options: Options | None = None) -> Splits:
    files = sorted(RAW.glob(pattern))
    assert files, pattern
    return splits.read(files, options)


def percent(part: Overlap, what: str) -> float:
    """Return a share as the README has it: the share rounded to four decimals, and then the percentage to one."""
    return round(100 * round(part.share(what) or 0, 4), 1)


@pytest.mark.parametrize(
    "row", ROWS, ids=lambda row: row.pattern.replace("__", "/").split("/")[1] + "/" + Path(row.pattern).name
)
def test_a_row_of_the_readme_comes_out_of_the_files(row: Row) -> None:
    found = read(row.pattern, row.options)
    (split,) = found.splits
    evaluated = split.sets[split.evaluated]
    own = overlaps.overlap_of_classes(split.sets[split.evaluated], split.sets["train"])
    (section,) = split_findings.sections(found)
    data = section.data
    sizes = (len(split.sets["train"]), len(split.sets["val"]) if "test" in split.sets and "val" in split.sets else None)
    assert found.dataset == "breakhis"
    assert (*sizes, len(evaluated)) == row.images
    assert ",".join(map(str, sorted({one.magnification for one in found.images.values()}))) == row.magnifications
    slides = tuple(overlaps.groups(split.sets[name])[0] for name in ("train", split.evaluated))
    assert (*slides, data["shared_slides"]) == row.slides
    assert data["shared_accessions"] == row.accessions
    assert percent(own[ALL], "slide") == row.slide_share
    assert tuple(percent(own[label], "accession") for label in (ALL, "benign", "malignant")) == row.accession_share
    assert overlaps.slides_with_siblings(split, split.evaluated, "benign") == row.siblings
    assert own[ALL].namesake == row.namesakes
    assert data["missing_official"] == row.missing
    assert not found.unknown
    assert not found.contradictions
    if row.validation:
        validation = overlap(split.sets["val"], split.sets["train"])
        assert (percent(validation, "slide"), percent(validation, "accession")) == row.validation


def test_five_lists_are_five_folds_and_equal_those_of_the_names_alone() -> None:
    given, known = read("dthiagarajan__breakhis_gp/mkfold/dsfold*.txt"), splits.official()
    assert len(given.splits) == len(known.splits) == 5
    for one, other in zip(given.splits, known.splits, strict=True):
        assert {name: {image.image for image in part} for name, part in one.sets.items()} == {
            name: {image.image for image in part} for name, part in other.sets.items()
        }


def test_the_row_of_thunders_bach() -> None:
    """Patients are known for all 132 test images; none of theirs trains. The 13 known training images are of 5 patients."""
    file = RAW.parent / "normalised/MICS-Lab__thunder__bach.csv"
    found = splits.read([file])
    (split,) = found.splits
    (section,) = split_findings.sections(found)
    part = overlap(split.sets["test"], split.sets["train"])
    assert found.dataset == "bach"
    assert section.data["sets"] == {"train": 218, "val": 50, "test": 132}
    assert (part.known, part.accession, part.image) == (132, 0, 0)
    assert (section.data["shared_accessions"], section.data["missing_official"]) == (0, 0)
    assert {name: overlaps.groups(images)[1] for name, images in split.sets.items()} == {
        "train": 5,
        "val": 0,
        "test": 24,
    }
    assert (overlap(split.sets["train"], []).known, overlap(split.sets["val"], []).known) == (13, 0)
    assert section.sentences[1].endswith("The patient of 205 training images is not known.")
    with pytest.raises(HistoBenchError, match="which names train and which evaluate"):
        read("MICS-Lab__thunder/bach_patients.csv")  # images and patients without sets


def test_the_known_patients_of_bach_are_those_of_thunders_list() -> None:
    with (RAW / "MICS-Lab__thunder/bach_patients.csv").open(newline="") as file:
        listed = {row["image"].removesuffix(".tif"): row["patient"] for row in csv.DictReader(file)}
    known = {one.image: one.accession for one in names.official("bach").values() if one.accession}
    assert len(listed) == 145
    assert known.keys() == listed.keys()
    assert len({(known[image], listed[image]) for image in listed}) == len(set(listed.values())) == 29


def test_a_split_of_bach_divides_no_known_patient() -> None:
    found = read("kaiko-ai__eva/bach_split.csv")
    (split,) = found.splits
    part = overlap(split.sets["val"], split.sets["train"])
    assert (found.dataset, len(split.sets["train"]), len(split.sets["val"])) == ("bach", 268, 132)
    assert (part.known, part.accession, part.image) == (132, 0, 0)
