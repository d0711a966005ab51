"""Claims about the images and patients of BreakHis, and about a paper's split of them.

`table` has a row for each magnification, `benign`, `malignant`, `total`, `train` and `test` images, and a row `total`.
"""

import math
from fractions import Fraction

import numpy as np

from histobench.claims.published import Paper
from histobench.claims.table_cells import Unavailable, rounding, table_title
from histobench.claims.verdicts import IMPLAUSIBLE, Verdict, holds


def counts(paper: Paper, table: str, images: int, benign: int, malignant: int) -> Verdict:
    """Return whether the rows of a table add up to its totals, and these are the numbers of the text."""
    wanted = {"total": images, "benign": benign, "malignant": malignant}
    sums = {column: sum(paper.images(table, column).values()) for column in (*wanted, "train", "test")}
    last = next(row for row in paper.table(table) if row["magnification"] == "total")
    wrong = [name for name, total in sums.items() if {int(last[name]), wanted.get(name, total)} != {total}]
    text = f"the rows of {table_title(table)} add up to {', '.join(f'{column} {sums[column]}' for column in wanted)}"
    return holds(not wrong, f"{text}, which is not what {wrong[0]} is said to be." if wrong else f"{text}.")


def class_ratio(paper: Paper, table: str, malignant_per_benign: str) -> Verdict:
    """Return whether there are so many malignant images per benign one, to the last digit."""
    malignant, benign = (sum(paper.images(table, column).values()) for column in ("malignant", "benign"))
    error = abs(Fraction(malignant, benign) - Fraction(malignant_per_benign))
    return holds(error <= rounding(malignant_per_benign), f"{malignant} / {benign} = {malignant / benign:.3f}.")


def patient_count(paper: Paper, patients: int) -> Verdict:
    """Return whether the archive holds so many patients, that is distinct slide ids: there cannot be more than these."""
    slides = [patient.slide for patient in paper.census]
    accessions = {patient.accession for patient in paper.census}
    double = sorted({slide for slide in slides if slides.count(slide) > 1})
    twice = f" ({', '.join(double)} occurs under two subtypes)" if double else ""
    return holds(
        len(set(slides)) == patients,
        f"the archive has {len(slides)} pairs of subtype and slide, {len(set(slides))} slides{twice} "
        f"and {len(accessions)} accession numbers, so that there are at most {len(set(slides))} patients.",
    )


def split_sizes(paper: Paper, table: str, train_share: str) -> Verdict:
    """Return whether the training sets of a table are this share of the images, to the nearest image."""
    total, train, test = (paper.images(table, column) for column in ("total", "train", "test"))
    exact = _exact_sizes(paper, table, train_share)
    adds_up = all(train[size] + test[size] == total[size] for size in total)
    return holds(
        exact == len(total) and adds_up,
        f"train is the whole number nearest to {train_share} n at {exact} of {len(total)} magnifications.",
    )


def split_of_patients(
    paper: Paper, table: str, train_share: str, fewest: int, most: int, draws: int, seed: int
) -> Verdict:
    """Return whether a table of image numbers is a split of images rather than of patients.

    Any given set of sizes is rare among splits of patients. But sizes that equal round(share x n) at every magnification
    are what a split of images gives every time, and a split of patients only by chance; how rarely is counted here.
    Of `draws` random splits, each gives `train_share` of the patients, `fewest` to `most` of them, to the training set.
    """
    exact, sizes = _exact_sizes(paper, table, train_share), len(paper.images(table, "total"))
    hits, near = patient_splits(paper, table, float(train_share), (fewest, most), draws, seed)
    evidence = (
        f"train is round({train_share} n) at {exact} of {sizes} magnifications, as a split of images gives; "
        f"{hits} of {draws:,} random splits of patients ({fewest} to {most} of {len(paper.census)} "
        f"in train, seed {seed}) have these sizes, and {near} come within 3 images at every magnification."
    )
    if exact < sizes or hits >= draws / 1000:
        raise Unavailable(evidence.removesuffix("."))
    return Verdict(IMPLAUSIBLE, evidence)


def all_partitions(paper: Paper, patients: int, folds: int) -> Verdict:
    """Return whether cross-validation tests every set of patients that a fold could hold."""
    size = patients // folds
    sets = math.comb(patients, size)
    evidence = f"{folds} folds test {folds} of the {sets:.1e} sets of {size} of {patients} patients."
    return holds(sets <= folds, evidence)


def patient_splits(
    paper: Paper, table: str, share: float, size: tuple[int, int], draws: int, seed: int, near: int = 3
) -> tuple[int, int]:
    """Return how many random splits of patients have the training sizes of a table, exactly and within `near` images.

    Each patient goes to the training set with probability `share`; a draw with fewer or more patients than `size` says
    is drawn again. Given its size, each set of patients is then equally likely.
    """
    images = np.array([patient.images for patient in paper.census], np.float32)  # exact: all sums are below 2^24
    wanted = np.array(list(paper.images(table, "train").values()), np.float32)
    generator = np.random.default_rng(seed)
    drawn = exact = close = 0
    while drawn < draws:
        chosen = generator.random((100_000, len(images)), np.float32) < share
        members = chosen.sum(axis=1)
        chosen = chosen[(members >= size[0]) & (members <= size[1])][: draws - drawn]
        distance = abs(chosen.astype(np.float32) @ images - wanted).max(axis=1)
        drawn += len(chosen)
        exact += int((distance == 0).sum())
        close += int((distance <= near).sum())
    return exact, close


def _exact_sizes(paper: Paper, table: str, share: str) -> int:
    """Return at how many magnifications the training set is `share` of the images, to the nearest image."""
    total, train = paper.images(table, "total"), paper.images(table, "train")
    return sum(abs(train[size] - Fraction(share) * total[size]) <= Fraction(1, 2) for size in total)
