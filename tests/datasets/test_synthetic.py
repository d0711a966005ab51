"""Synthetic datasets: names, bytes, colours, and the known truth."""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from histobench.datasets import breakhis, synthetic
from histobench.datasets.archives import members
from histobench.study.synthetic_settings import SyntheticSettings

ROOT = Path(__file__).parents[2]
SMALL = SyntheticSettings(patients_per_class=4, images_per_patient=1, magnifications=(40, 400), width=70, height=46)
BACH = SyntheticSettings(kind="bach", patients_per_class=2, images_per_patient=2, width=64, height=48)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("synthetic") / "archive.tar.gz"
    synthetic.generate(SMALL, path)
    return path


def test_the_reader_of_breakhis_reads_it(archive: Path) -> None:
    """It accepts nothing but the grammar and the folders of BreakHis."""
    images = breakhis.read(archive, complete=False, workers=1)
    assert Counter((image.label, image.magnification) for image in images) == Counter(
        {(label, magnification): 4 for label in ("benign", "malignant") for magnification in (40, 400)}
    )
    assert {image.subtype for image in images} == {"A", "F", "PT", "TA", "DC", "LC", "MC", "PC"}
    assert all(image.slide.startswith("99-") for image in images)  # a year that BreakHis does not have
    assert all(image.member.startswith("BreaKHis_v1/histology_slides/breast/") for image in images)
    assert len({image.patient for image in images}) == 8
    assert len({image.accession for image in images}) == 6  # the last slide of each class has that of the one before
    assert len({image.sha256 for image in images}) == len(images)
    assert {(image.width, image.height) for image in images} <= {(70, 46), (70, 45)}


def test_an_archive_contains_no_time_and_no_user(archive: Path) -> None:
    content = archive.read_bytes()
    assert content[3] == 0  # no file name
    assert content[4:8] == bytes(4)  # no time in the header of gzip
    with tarfile.open(archive) as tar:
        assert {(member.mtime, member.uid, member.uname) for member in tar.getmembers()} == {(0, 0, "")}


def test_an_image_is_a_function_of_its_field(archive: Path) -> None:
    last = list(synthetic.fields(SMALL))[-1]  # drawn first here, last in the archive
    with tarfile.open(archive) as tar:
        stored = np.asarray(Image.open(tar.extractfile(last.member)))  # type: ignore[arg-type]
    drawn = synthetic.image(SMALL, last)
    np.testing.assert_array_equal(drawn, stored)
    assert (drawn != synthetic.image(SMALL.model_copy(update={"seed": 1}), last)).mean() > 0.5


def test_without_class_effect_the_class_leaves_no_trace() -> None:
    """Exact, not statistical: with everything but the class the same, the image is the same."""
    field = next(synthetic.fields(SMALL))
    assert (field.label, field.kind) == ("benign", "A")
    turned = replace(field, label="malignant", kind="DC")
    none = SMALL.model_copy(update={"class_effect": 0.0})
    np.testing.assert_array_equal(synthetic.image(none, field), synthetic.image(none, turned))
    assert (synthetic.image(SMALL, field) != synthetic.image(SMALL, turned)).mean() > 0.5


def test_patients_are_alike_without_patient_effect() -> None:
    settings = SMALL.model_copy(update={"patient_effect": 0.0, "patients_per_class": 5})
    first, *_, fifth = [field for field in synthetic.fields(settings) if field.label == "benign"]
    assert first.kind == fifth.kind == "A"
    assert first.patient != fifth.patient
    one, other = synthetic.tissue(settings, first), synthetic.tissue(settings, fifth)
    np.testing.assert_array_equal(one.stains, other.stains)
    assert one.atypia == other.atypia
    assert one.architecture == other.architecture


def test_colours_are_mixtures_of_haematoxylin_and_eosin() -> None:
    """Optical densities lie in the plane of the two dyes; vectors from Ruifrok & Johnston (2001), table 1."""
    settings = SMALL.model_copy(update={"patient_effect": 0.0, "width": 350, "height": 230})
    dyes = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
    amounts = {}
    for field in synthetic.fields(settings):
        if field.magnification == 400 and field.kind in ("F", "DC"):
            pixels = synthetic.image(settings, field).reshape(-1, 3).astype(float)
            density = -np.log10((pixels + 1) / 256) + np.log10([0.90, 0.90, 0.91])
            amount, *_ = np.linalg.lstsq(dyes.T, density.T, rcond=None)
            residual = density.T - dyes.T @ amount
            # Beside the dyes: the light's fall-off (at most -log10 0.94 = 0.03), noise (1.5 of 255), blurred edges.
            assert np.sqrt(np.mean(residual**2)) < 0.03
            amounts[field.kind] = amount.mean(axis=1)
    assert amounts["DC"][0] > 2 * amounts["F"][0]  # sheets of tumour nuclei against a fibrous stroma
    assert amounts["F"][1] > amounts["F"][0]  # which is pink


# --- what a classifier finds -----------------------------------------------------------------------------------------


def _features(pixels: np.ndarray) -> np.ndarray:
    """Mean and deviation of each channel, and the mean step between neighbours: 12 numbers."""
    image = pixels.astype(float)
    steps = [np.abs(np.diff(image, axis=axis)).mean(axis=(0, 1)) for axis in (0, 1)]
    return np.concatenate([image.mean(axis=(0, 1)), image.std(axis=(0, 1)), *steps])


@pytest.mark.slow
def test_patient_level_splits_score_above_chance_and_below_image_level_ones() -> None:
    """Nearest neighbours, five folds, in four datasets of 20 patients with three images each."""
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), KNeighborsClassifier(1))
    scores, heights = [], Counter()
    for seed in range(4):
        settings = SyntheticSettings(patients_per_class=10, images_per_patient=3, magnifications=(40,), seed=seed)
        fields = list(synthetic.fields(settings))
        images = [synthetic.image(settings, field) for field in fields]
        heights.update(len(image) for image in images)
        features = np.array([_features(image) for image in images])
        labels = np.array([field.label == "malignant" for field in fields])
        for groups in ([field.patient for field in fields], range(len(fields))):
            folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
            scores.append(
                np.mean(cross_val_predict(classifier, features, labels, groups=list(groups), cv=folds) == labels)
            )
    assert set(heights) == {92, 91}  # as 460 to 456
    assert 0.01 < heights[91] / heights.total() < 0.1
    by_patient, by_image = np.mean(np.reshape(scores, (4, 2)), axis=0)
    # The images of a patient may all be judged alike, so patients are counted: 4 datasets of 20 patients are 80 coin
    # tosses with the standard deviation sqrt(0.25 / 80) = 0.056.
    assert 0.5 + 3 * np.sqrt(0.25 / 80) < by_patient < by_image - 0.03


# --- BACH, settings, script ------------------------------------------------------------------------------------------


def test_bach_tree(tmp_path: Path) -> None:
    assert synthetic.generate(BACH, tmp_path / "archive") == 16
    found = {member.name: member.read() for member in members(tmp_path / "archive")}
    folders = {"Normal": "n", "Benign": "b", "InSitu": "is", "Invasive": "iv"}
    images = [f"Photos/{folder}/{short}{n:03}.tif" for folder, short in folders.items() for n in range(101, 105)]
    assert list(found) == ["README.txt", "Photos/microscopy_ground_truth.csv", "Photos/Thumbs.db", *images]
    truth = found["Photos/microscopy_ground_truth.csv"].decode().splitlines()
    assert truth == [f"{Path(name).name},{name.split('/')[1]}" for name in images]
    for name in images:
        picture = Image.open(io.BytesIO(found[name]))
        assert (picture.format, picture.mode, picture.size) == ("TIFF", "RGB", (64, 48))


def test_script_with_several_processes(archive: Path, tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "scripts" / "synthesize.py", "--output", tmp_path / "archive.tar.gz"]
    command += ["--settings", json.dumps(SMALL.model_dump(mode="json")), "--workers", "2"]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT / "workflow")}, capture_output=True, check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["archive.tar.gz"]
    assert (tmp_path / "archive.tar.gz").read_bytes() == archive.read_bytes()
