"""Folds: what is divided, what is never divided, and which folds files are refused."""

import csv
import hashlib
import json
import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from histobench.datasets import folds, make_folds, manifest
from histobench.datasets.breakhis import official
from histobench.datasets.manifest import Image
from histobench.io.errors import HistoBenchError
from tests.scripts.running import run

ROOT = Path(__file__).parents[2]


def image(subtype: str, slide: str, magnification: int, number: int, pixels: str | None = None) -> Image:
    """Return a manifest row of a made-up image; `pixels` names its content, by default its own."""
    letter, label = ("B", "benign") if subtype in ("A", "F", "PT", "TA") else ("M", "malignant")
    name = f"SOB_{letter}_{subtype}-{slide}-{magnification}-{number:03d}"
    digest = hashlib.sha256((pixels or name).encode()).hexdigest()
    accession = slide.rstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return Image(name, label, subtype, slide, slide, accession, magnification, 700, 460, digest, f"{name}.png")


def small(patients: int = 6, per_cell: int = 2) -> list[Image]:
    """Return `patients` of each class with `per_cell` images at 40x and at 200x."""
    return manifest.ordered(
        image(subtype, f"14-{base + patient}", magnification, number + 1)
        for subtype, base in (("A", 100), ("DC", 200))
        for patient in range(patients)
        for magnification in (40, 200)
        for number in range(per_cell)
    )


@pytest.fixture(scope="module")
def breakhis() -> list[Image]:
    """Return a manifest of all official images; 14-13412 has the same pixels under DC and LC."""
    number: dict[tuple[str, int], int] = defaultdict(int)
    images = []
    for one in official():
        number[one.subtype + one.slide, one.magnification] += 1
        order = number[one.subtype + one.slide, one.magnification]
        twin = f"14-13412 {one.magnification} {order}" if one.slide == "14-13412" else None
        made = image(one.subtype, one.slide, one.magnification, int(one.image_id[-3:]), twin)
        assert (made.image_id, made.label, made.accession) == (one.image_id, one.label, one.accession)
        images.append(made)
    return manifest.ordered(images)


def sides(made: folds.Folds, images: list[Image]) -> list[tuple[set[str], set[str]]]:
    """Return for each fold the ids that train and the ids that evaluate, all magnifications together."""
    result = []
    for fold in range(1, made.count + 1):
        train: set[str] = set()
        test: set[str] = set()
        for magnification in {one.magnification for one in images}:
            rows = made.rows(images, fold, magnification)
            for side, indices in zip((train, test), rows, strict=True):
                assert indices.dtype == np.int64
                assert np.all(np.diff(indices) > 0)
                assert {images[row].magnification for row in indices} <= {magnification}
                side |= {images[row].image_id for row in indices}
        result.append((train, test))
    return result


@pytest.mark.parametrize(("by", "groups"), [("patient", 81), ("accession", 70), ("image", 7909)])
def test_breakhis_partition(breakhis: list[Image], by: str, groups: int) -> None:
    made = make_folds.stratified(breakhis, by, 5, 0)
    assert len(made.tested) == groups
    everything = {one.image_id for one in breakhis}
    tested: list[str] = []
    for train, test in sides(made, breakhis):
        assert train | test == everything
        assert not train & test
        tested += sorted(test)
        if by != "image":
            key = {one.image_id: getattr(one, by) for one in breakhis}
            assert not {key[name] for name in train} & {key[name] for name in test}
        # 2480 benign of 7909; StratifiedGroupKFold of scikit-learn < 1.8, shuffled, misses both by far
        benign = np.mean(["_B_" in name for name in test])
        assert abs(benign - 2480 / 7909) < 0.012
        assert abs(len(test) / 7909 - 0.2) < 0.01
    assert sorted(tested) == sorted(everything)


def test_breakhis_twins(breakhis: list[Image]) -> None:
    assert folds.twins(breakhis, "patient") == []
    assert folds.twins(breakhis, "accession") == []
    pairs = folds.twins(breakhis, "image")
    assert len(pairs) == 123
    assert all("DC-14-13412" in a and "LC-14-13412" in b for a, b in pairs)

    made = make_folds.stratified(breakhis, "image", 5, 0)
    leaks = [sum((a in test) != (b in test) for a, b in pairs) for _, test in sides(made, breakhis)]  # from the rows
    census = folds.census(breakhis, made)
    assert [sum(row["equal_pixels"] for row in census if row["fold"] == fold) for fold in range(1, 6)] == leaks
    assert sum(leaks) > 100


PUBLIC = {"benign": [0.872, 0.869, 0.000, 0.529, 0.543], "malignant": [0.000, 0.000, 0.246, 0.117, 0.058]}
"""Shares of images whose accession number also trains in the folds of scikit-learn alone: 5 folds of slides, seed 0."""
BALANCED = {"benign": [0.628, 0.727, 0.399, 0.530, 0.256], "malignant": [0.057, 0.173, 0.271, 0.000, 0.059]}


@pytest.mark.parametrize(
    ("make", "by", "expected"),
    [
        (make_folds.divided, "patient", PUBLIC),
        (make_folds.stratified, "patient", BALANCED),
        (make_folds.stratified, "accession", dict.fromkeys(PUBLIC, [0.0] * 5)),
    ],
)
def test_which_evaluation_images_have_their_accession_number_in_training(breakhis, make, by, expected) -> None:
    census = folds.census(breakhis, make(breakhis, by, 5, 0))
    assert [(row["fold"], row["label"]) for row in census] == [
        (fold, label) for fold in range(1, 6) for label in PUBLIC
    ]
    for label, shares in expected.items():
        rows = [row for row in census if row["label"] == label]
        assert [row["accession_in_training"] for row in rows] == pytest.approx(shares, abs=0.0005)
        assert [row["slide_in_training"] + row["pixels_in_training"] + row["shared_patients"] for row in rows] == [
            0
        ] * 5


def test_a_census_by_hand() -> None:
    """One fold: of the benign images that evaluate, two share the slide, a third the accession number, a fourth nothing."""
    training = [image("A", "14-100A", 40, 1), image("A", "14-100B", 40, 1), image("DC", "14-200", 40, 1, "twin")]
    benign = [image("A", "14-100A", 40, 2), image("A", "14-100A", 100, 1), image("A", "14-100C", 40, 1), image("F", "14-101", 40, 1)]  # fmt: skip
    malignant = [image("LC", "14-201", 40, 1, "twin"), image("DC", "14-201", 40, 2)]
    made = folds.Folds("image", {one.image_id: (one not in training,) for one in [*training, *benign, *malignant]})
    first, second = folds.census(manifest.ordered([*training, *benign, *malignant]), made)
    assert tuple(first.values()) == (1, "benign", 2, 2, 4, 4, 0, 1, 0.5, 0.75, 0)
    assert tuple(second.values()) == (1, "malignant", 1, 1, 2, 2, 1, 0, 0, 0, 0.5)
    assert tuple(first) == folds.CENSUS_COLUMNS


def counted(made: folds.Folds, images: list[Image], *names: str) -> dict[tuple, list[int]]:
    """Return the images that evaluate in each fold of a partition, by the values of some fields."""
    found: dict[tuple, list[int]] = defaultdict(lambda: [0] * made.count)
    for one in images:
        fold = made.tested[getattr(one, made.policy)].index(True)
        found[tuple(getattr(one, name) for name in names)][fold] += 1
    return found


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("by", ["patient", "accession"])
def test_folds_are_balanced_by_subtype_within_the_bound(breakhis: list[Image], by: str, seed: int) -> None:
    before, after = (make(breakhis, by, 5, seed) for make in (make_folds.divided, make_folds.stratified))
    for names in (("label", "magnification"), ("label",), ("magnification",), ()):
        now = counted(after, breakhis, *names)
        for key, numbers in counted(before, breakhis, *names).items():
            even = sum(numbers) / 5
            assert max(abs(number - even) for number in now[key]) <= max(abs(number - even) for number in numbers)
    squares = []
    for made in (before, after):
        found = counted(made, breakhis, "subtype")
        shares = np.array([np.array(numbers) / sum(numbers) for numbers in found.values()])
        squares.append(np.sum((shares - 0.2) ** 2))
        lacking = {name: numbers.count(0) for (name,), numbers in found.items()}
    # No fewer are possible. There are three groups of PT, and of A four slides; the other types have five or more.
    if by == "patient":
        assert {name: number for name, number in lacking.items() if number} == {"PT": 2, "A": 1}
        assert squares[1] < squares[0] / 2
    else:  # A has two groups, LC four; the benign images of one fold are those of a single accession number, of F and PT
        assert lacking == {"A": 3, "PT": 2, "LC": 1, "TA": 1, "F": 0, "DC": 0, "MC": 0, "PC": 0}
    assert squares[1] < squares[0]


def test_an_exchange_that_balances(tmp_path: Path) -> None:
    """Two folds, of two A and two F with as many images: one of each is exchanged; without subtypes nothing is."""
    images = manifest.ordered(
        image(subtype, f"14-{base + patient}", 40, number)
        for subtype, base in (("A", 100), ("F", 200), ("DC", 300))
        for patient in range(2)
        for number in (1, 2)
    )
    first = {"14-100", "14-101", "14-300"}
    made = folds.Folds(
        "patient", {name: (name in first, name not in first) for name in sorted({i.patient for i in images})}
    )
    after = make_folds.balanced(made, images)
    assert counted(after, images, "subtype") == {("A",): [2, 2], ("F",): [2, 2], ("DC",): [2, 2]}
    folds.save(after, images, tmp_path / "patient.csv")
    assert folds.load(tmp_path / "patient.csv", images, "patient") == after
    alike = [replace(one, subtype=one.label) for one in images]
    assert make_folds.balanced(made, alike) is made


def test_the_seed_alone_decides() -> None:
    images = small()
    made = make_folds.stratified(images, "patient", 3, 7)
    assert made == make_folds.stratified(images, "patient", 3, 7)
    assert made != make_folds.stratified(images, "patient", 3, 8)
    # Pinned: another version of scikit-learn must not silently give other folds for the same seed.
    assert [row.index(True) + 1 for row in made.tested.values()] == [2, 3, 3, 2, 1, 1, 2, 1, 1, 3, 2, 3]


@pytest.mark.parametrize(
    ("by", "count", "found"), [("patient", 7, "only 6 benign patients"), ("image", 25, "only 24 benign images")]
)
def test_too_few_groups_are_refused(by: str, count: int, found: str) -> None:
    with pytest.raises(HistoBenchError, match=found):
        make_folds.stratified(small(), by, count, 0)


def test_a_class_that_a_fold_lacks_at_one_magnification() -> None:
    images = [one for one in small() if one.magnification == 200 or one.label == "malignant" or one.patient == "14-100"]
    with pytest.raises(
        HistoBenchError, match=r"fold \d has no benign image on its (test|train) side at 40x; use fewer"
    ):
        make_folds.stratified(images, "patient", 3, 0)


def test_only_the_magnifications_in_use_must_have_both_classes(tmp_path: Path) -> None:
    images = [one for one in small() if one.magnification == 200 or one.label == "malignant"]
    made = make_folds.stratified(images, "patient", 3, 0, [200])
    folds.save(made, images, tmp_path / "patient.csv")
    assert folds.load(tmp_path / "patient.csv", images, "patient", [200]) == made
    for scales in ([40], [40, 200], None):
        with pytest.raises(HistoBenchError, match="fold 1 has no benign image on its test side at 40x"):
            make_folds.stratified(images, "patient", 3, 0, scales)
        with pytest.raises(HistoBenchError, match="fold 1 has no benign image on its test side at 40x"):
            folds.load(tmp_path / "patient.csv", images, "patient", scales)
    manifest.save(tmp_path / "manifest.csv", images)
    outputs = {"manifest": "manifest.csv", "output": "folds.csv", "census": "census.csv"}
    split = json.dumps({"by": "patient", "folds": 3, "seed": 0})
    assert run("folds", tmp_path, split=split, magnifications="200", **outputs) == (0, "")
    assert folds.load(tmp_path / "folds.csv", images, "patient", [200]) == made
    assert "at 40x" in run("folds", tmp_path, split=split, magnifications="40", **outputs)[1]


def test_equal_pixels_in_two_groups() -> None:
    images = small()
    images[5] = replace(images[5], sha256=images[0].sha256)  # 14-100 and 14-102
    images[2] = replace(images[2], sha256=images[3].sha256)  # both of 14-101
    for by in ("patient", "accession"):
        with pytest.raises(HistoBenchError) as raised:
            make_folds.stratified(images, by, 3, 0)
        assert f"{images[0].image_id} and {images[5].image_id} have equal pixels" in str(raised.value)
        assert "(such pairs: 1)" in str(raised.value)
    made = make_folds.stratified(images, "image", 3, 0)
    assert len(folds.twins(images, made.policy)) == 2


def test_every_pair_of_equal_pixels_on_two_sides_is_counted() -> None:
    images = [replace(image, sha256="same") if place < 3 else image for place, image in enumerate(small())]
    ids = [image.image_id for image in images]
    # Of three equal images the first is on no side, one trains and one evaluates; two evaluate, one trains; or two train.
    for evaluates, unused, pairs in ((1, 1, 1), (2, 0, 2), (1, 0, 2)):
        tested = {
            name: (place < unused + evaluates or place % 2 == 0,) for place, name in enumerate(ids) if place >= unused
        }
        tested[ids[2]] = (False,)
        rows = folds.census(images, folds.Folds("image", dict(sorted(tested.items()))))
        assert sum(row["equal_pixels"] for row in rows) == pairs


def test_an_unknown_magnification_is_refused() -> None:
    images = small()
    with pytest.raises(HistoBenchError, match="choose one of 40x, 200x"):
        make_folds.stratified(images, "patient", 3, 0).rows(images, 1, 100)


@pytest.mark.parametrize("by", ["patient", "accession", "image"])
def test_save_and_load(tmp_path: Path, by: str) -> None:
    images = small()
    made = make_folds.stratified(images, by, 3, 0)
    path = tmp_path / f"{by}.csv"
    folds.save(made, images, path)
    assert folds.load(path, images, by) == made
    rows = list(csv.DictReader(path.open()))
    assert list(rows[0]) == ["group", "images", "label", "fold_1", "fold_2", "fold_3"]
    assert len(rows) == (48 if by == "image" else 12)
    assert [list(row.values()).count("test") for row in rows] == [1] * len(rows)
    line = f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {by}.csv\n"
    assert (tmp_path / f"{by}.csv.sha256").read_text() == line
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"{by}.csv", f"{by}.csv.sha256"]


@pytest.mark.parametrize(("made", "wanted"), [("image", "patient"), ("patient", "image"), ("patient", "official")])
def test_a_folds_file_of_another_policy_is_refused(tmp_path: Path, made: str, wanted: str) -> None:
    images = small()
    path = tmp_path / "patient.csv"
    folds.save(make_folds.stratified(images, made, 3, 0), images, path)
    with pytest.raises(HistoBenchError, match=rf"split by {wanted}.: group \S+ with .* is only in \w+ \w+; delete"):
        folds.load(path, images, wanted)


def sign(path: Path) -> None:
    """Make a changed folds file pass for the one that was saved."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(path.name + ".sha256").write_text(f"{digest}  {path.name}\n")


def test_an_edit_by_hand_is_refused(tmp_path: Path) -> None:
    images = small()
    path = tmp_path / "patient.csv"
    folds.save(make_folds.stratified(images, "patient", 3, 0), images, path)
    path.write_text(path.read_text().replace("test", "train", 1))
    with pytest.raises(HistoBenchError) as raised:
        folds.load(path, images, "patient")
    assert str(raised.value) == (
        f"{path}: was edited after it was made (its SHA-256 is not the one in patient.csv.sha256); delete {path} and "
        "patient.csv.sha256 to have both made again, or write your own folds as a CSV table and configure a split of their own "
        "with `by: file`"
    )
    path.with_name("patient.csv.sha256").unlink()
    with pytest.raises(HistoBenchError, match="digest of the folds cannot be read; delete"):
        folds.load(path, images, "patient")
    path.unlink()
    with pytest.raises(HistoBenchError, match="no such file"):
        folds.load(path, images, "patient")


@pytest.mark.parametrize(
    ("edit", "found"),
    [
        (lambda rows: rows[1:], "group 14-100 with 4 benign images is only in the manifest"),
        (lambda rows: [*rows, ["14-999", "4", "benign", "test", "train", "train"]], "14-999 with 4 benign images is only in these folds"),
        (lambda rows: [[*rows[0][:3], "test", "test", "test"], *rows[1:]], "14-100 is test in 3 folds instead of 1"),
        (lambda rows: [[*rows[0][:3], "train", "train", "train"], *rows[1:]], "is test in 0 folds instead of 1"),
        (lambda rows: [[rows[0][0], "5", *rows[0][2:]], *rows[1:]], "14-100 with 4 benign images is only in the manifest"),
        (lambda rows: [[*rows[0][:2], "malignant", *rows[0][3:]], *rows[1:]], "14-100 with 4 benign images is only in the manifest"),
        (lambda rows: [[*row[:3], "test", "train", "train"] for row in rows], "fold 2 has no benign image on its test"),
    ],
)  # fmt: skip
def test_every_fault_is_refused_at_load(tmp_path: Path, edit, found: str) -> None:
    """Also with a valid digest."""
    images = small()
    path = tmp_path / "patient.csv"
    folds.save(make_folds.stratified(images, "patient", 3, 0), images, path)
    header, *rows = list(csv.reader(path.open()))
    path.write_text("".join(",".join(row) + "\n" for row in [header, *edit(rows)]))
    sign(path)
    with pytest.raises(HistoBenchError, match=found):
        folds.load(path, images, "patient")


def write_official(folder: Path, images: list[Image], tested: list[set[str]]) -> list[Path]:
    """Write dsfold files; `tested` holds for each fold the slides that evaluate."""
    files = []
    for fold, slides in enumerate(tested, start=1):
        rows = (
            f"{one.image_id}.png|{one.magnification}|{fold}|{'test' if one.slide in slides else 'train'}"
            for one in images
        )
        files.append(folder / f"dsfold{fold}.txt")
        files[-1].write_text("\n".join(rows) + "\n")
    return files


def test_official_folds_without_files(breakhis: list[Image]) -> None:
    made = make_folds.official(breakhis)
    assert made.count == 5
    assert len(made.tested) == 82
    test = made.sides(breakhis)[1]
    assert test.sum(axis=0).tolist() == [2904, 2403, 2577, 2698, 3083]  # rows of the authors' lists that end with test
    times = [sum(row) for row in made.tested.values()]
    assert [times.count(number) for number in range(6)] == [13, 21, 30, 13, 5, 0]
    # counted in the authors' lists: images that evaluate whose slide, accession number and pixels train
    census = folds.census(breakhis, made)
    also = [[round(row[column] * row["test_images"]) for column in folds.SHARED.values()] for row in census]
    malignant = [[123, 450, 123], [0, 265, 0], [123, 410, 123], [0, 189, 0], [123, 185, 123]]
    assert also == [
        row
        for pair in zip([[0, number, 0] for number in (695, 409, 287, 647, 814)], malignant, strict=True)
        for row in pair
    ]
    few = [image for image in breakhis if image.magnification == 40]
    assert make_folds.official(few).tested == made.tested
    with pytest.raises(HistoBenchError, match="SOB_B_A-14-100-40-001 is of no slide of BreakHis"):
        make_folds.official(small())


def test_official_folds_are_holdouts(tmp_path: Path) -> None:
    images = small()
    tested = [{"14-100", "14-200"}, {"14-100", "14-101", "14-203"}]
    files = write_official(tmp_path, images, tested)
    # such files may have spaces, CR, blank lines, a byte order mark
    text = files[0].read_text().replace("|train\n", "|train \r\n")
    files[0].write_bytes(("\ufeff" + text + "\r\n").encode())
    made = make_folds.official(images, files)
    assert next(iter(made.tested)) == "SOB_B_A-14-100"
    for (train, test), slides in zip(sides(made, images), tested, strict=True):
        assert test == {one.image_id for one in images if one.slide in slides}
        assert train == {one.image_id for one in images if one.slide not in slides}
    folds.save(made, images, tmp_path / "official.csv")
    assert folds.load(tmp_path / "official.csv", images, "official") == made


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("SOB_B_A-14-100-40-001.png", "SOB_B_A-14-100-40-009.png", "line 1: the manifest has no image 'SOB_B_A"),
        ("SOB_B_A-14-100-40-001.png|40|1|test\n", "", "1 of the manifest's images have no row, the first"),
        ("40-002.png|40|1|test", "40-002.png|40|1|train", "earlier row has another image of the slide folder SOB_B_A"),
        ("40-001.png|40|1|", "40-001.png|40|2|", "the row is of fold 2, but the file is listed as fold 1"),
        ("|test\n", "|validation\n", "expected name|magnification|fold|train or test"),
        ("|40|1|test\n", ";40;1;test\n", "line 1: found"),
        ("|test\n", "|train\n", "fold 1 has no benign image on its test side at 40x; correct the fold files"),
    ],
)  # fmt: skip
def test_a_wrong_official_list_is_refused(tmp_path: Path, old: str, new: str, found: str) -> None:
    images = small()
    (file,) = write_official(tmp_path, images, [{"14-100", "14-200"}])
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new) if old == "|test\n" else text.replace(old, new, 1))
    with pytest.raises(HistoBenchError, match=found.replace("|", r"\|")) as raised:
        make_folds.official(images, [file])
    assert "\n" not in str(raised.value)


def test_the_real_first_fold(breakhis: list[Image], tmp_path: Path) -> None:
    shared = os.environ.get("HISTOBENCH_SHARED_DATA")
    if not shared:
        pytest.skip("HISTOBENCH_SHARED_DATA does not name the folder of breakhis_files.csv")
    rows = list(csv.DictReader((Path(shared) / "breakhis_files.csv").open()))
    file = tmp_path / "dsfold1.txt"
    names = [(row["path"].rsplit("/", 1)[1], row["dsfold1"]) for row in rows]
    file.write_text("".join(f"{name}|{name.split('-')[-2]}|1|{side}\n" for name, side in names))
    made = make_folds.official(breakhis, [file])
    assert len(made.tested) == 82
    ((train, test),) = sides(made, breakhis)
    assert train == {name[:-4] for name, side in names if side == "train"}
    assert test == {name[:-4] for name, side in names if side == "test"}
    # DC trains and LC evaluates: this leak is in the official fold; it is counted and not refused
    benign, malignant = folds.census(breakhis, made)
    assert (benign["equal_pixels"], malignant["equal_pixels"]) == (0, 123)
    # as counted in the list itself
    accessions = [
        (name.rsplit("-", 2)[0].split("_")[2].split("-", 1)[1].rstrip("ABCDEFGH"), name, side) for name, side in names
    ]
    training = {accession for accession, _, side in accessions if side == "train"}
    tested = [accession in training for accession, name, side in accessions if side == "test" and "_B_" in name]
    assert benign["accession_in_training"] == sum(tested) / len(tested)
    assert malignant["pixels_in_training"] == 123 / malignant["test_images"]
    folds.save(made, breakhis, tmp_path / "official.csv")
    assert folds.load(tmp_path / "official.csv", breakhis, "official") == made


def test_loading_needs_no_heavy_library(tmp_path: Path) -> None:
    """Every training job loads folds: scikit-learn and pandas would cost seconds each time."""
    images = small()
    manifest.save(tmp_path / "manifest.csv", images)
    folds.save(make_folds.stratified(images, "patient", 3, 0), images, tmp_path / "patient.csv")
    code = (
        "import sys; from pathlib import Path; from histobench.datasets import folds, make_folds, manifest\n"
        "folds.load(Path('patient.csv'), manifest.load(Path('manifest.csv')), 'patient').rows\n"
        "print([name for name in ('sklearn', 'scipy', 'pandas', 'cv2', 'torch', 'pydantic') if name in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_script_makes_folds(tmp_path: Path) -> None:
    images = small()
    images[1] = replace(images[1], sha256=images[0].sha256)
    manifest.save(tmp_path / "manifest.csv", images)
    outputs = {"manifest": "manifest.csv", "output": "folds.csv", "census": "census.csv"}
    split = {"by": "image", "folds": 3, "seed": 0, "files": []}
    assert run("folds", tmp_path, split=json.dumps(split), **outputs) == (0, "")
    made = folds.load(tmp_path / "folds.csv", images, "image")
    assert made.count == 3
    images_of = {one.image_id: one for one in images}
    rest = {}
    for fold, (train, test) in enumerate(sides(made, images), start=1):
        patients = [{images_of[name].patient for name in side} for side in (train, test)]
        for label in manifest.LABELS:
            own = [images_of[name] for name in test if images_of[name].label == label]
            twins = sum(
                {one.image_id, other} == {images[0].image_id, images[1].image_id} for one in own for other in train
            )
            slides = sum(one.patient in patients[0] for one in own) / 8
            both = len(patients[0] & {one.patient for one in own})
            rest[fold, label] = [str(number) for number in (twins, both, slides, slides, twins / 8)]
    assert list(csv.reader((tmp_path / "census.csv").open())) == [
        list(folds.CENSUS_COLUMNS),
        *(
            [str(fold), label, "16", "16", "8", "8"] + rest[fold, label]
            for fold in (1, 2, 3)
            for label in manifest.LABELS
        ),
    ]
    split |= {"by": "patient", "folds": 9}
    message = "split by patient into 9 folds with seed 0: the manifest has only 6 benign patients"
    status, said = run("folds", tmp_path, split=json.dumps(split), **outputs)
    assert (status, said.count("\n"), said.startswith(f"error: {message}")) == (1, 1, True)
